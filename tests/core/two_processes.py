"""Started by torchrun in two processes: fit, then write what each process ended with."""

import json
import sys
from pathlib import Path

from contrafact.core.artefact import fingerprint
from contrafact.core.run import Run
from contrafact.generators.analytic import Analytic
from contrafact.methods.disco import DisCo, Edits


def main(folder: Path) -> None:
    """Fit DisCo on a tiny scene in this process's share of the work."""
    drawn = []
    draw_edits = Edits.draw

    def watched(self, num_directions, rng):
        index, magnitude = draw_edits(self, num_directions, rng)
        drawn.append([int(index[0]), float(magnitude[0])])
        return index, magnitude

    Edits.draw = watched
    method = DisCo.of(
        num_directions=16, code_dim=4, encoder_width=0.1, steps=8, num_queries=3, num_positives=3, num_negatives=4
    )
    run = Run(folder / "run", device="cpu", precision="float32", progress=False, resume=True, log_every=2)
    learned = method.fit(Analytic.tiny(), run)
    result = {
        "encoder": fingerprint(learned.encoder),
        "directions": fingerprint(learned.directions),
        "drawn": drawn,
        "world_size": run.world_size,
    }
    (folder / f"rank{run.rank}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
