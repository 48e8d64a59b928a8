"""Started by torchrun in two processes: fit, then write what each process ended with."""

import json
import sys
from pathlib import Path

import torch
from torch import nn

from contrafact.core.artefact import fingerprint
from contrafact.core.averaging import backward_and_average
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
    (folder / f"rank{run.rank}.json").write_text(json.dumps({**result, **descents(run)}))


def descents(run: Run) -> dict[str, list[float]]:
    """Weights after steps on this process's half of a joint batch, by the ways in which gradients are averaged."""
    found = {}
    for way in ("overlapped", "afterwards", "one bucket"):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))
        lonely = nn.Parameter(torch.ones(3))  # of which the loss of the second process knows nothing
        trained = [*network.parameters(), lonely]
        optimizer = torch.optim.SGD(trained, 0.5, momentum=0.9)
        batches = torch.rand(5, 8, 6, generator=torch.Generator().manual_seed(1))
        for batch in batches:
            output = network(batch[4 * run.rank : 4 * (run.rank + 1)] if run.world_size == 2 else batch)
            loss = output.square().mean()
            if run.rank == 0:
                loss = loss + run.world_size * (lonely**2).sum()
            optimizer.zero_grad(set_to_none=True)
            if way == "afterwards":
                loss.backward()
                run.average_gradients(trained)
            elif run.world_size == 1:
                run.backward(loss, trained)
            else:
                backward_and_average(loss, trained, run.processes, 60 if way == "overlapped" else 2**20)
            optimizer.step()
        found[way] = torch.cat([p.detach().flatten() for p in trained]).tolist()
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
