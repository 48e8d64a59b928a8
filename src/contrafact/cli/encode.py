"""Write the codes of images to a table: what a run's encoder says of each picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from contrafact.cli._globals import answer
from contrafact.cli._parse import Assignments, changes_of, parse
from contrafact.cli._types import Folder
from contrafact.core.ranges import Count, Seed


@dataclass(frozen=True)
class Options:
    """Encode images with a run's encoder; writes codes with file names, class names and factors beside them."""

    run: Positional[Folder]
    """Run folder with an encoder."""
    data: Positional[str | None] = None
    """Images: a dataset's name, its file, or a folder of pictures; by default what the run was trained on."""
    out: Path = Path("codes.npz")
    """File to write: .npz (codes, factors and their names), .csv (a row per image) or .npy (codes alone)."""
    num_images: Count | None = None
    """Encode so many images, drawn at random; by default all, in order."""
    representation: str | None = None
    """Another representation than the codes, such as z, where the encoder has several."""
    generator: str | None = None
    """Generator of a run on a module of your own, which its folder cannot hold: FILE.py:FUNCTION that returns it."""
    changes: Assignments = ()
    """An argument of that generator: depth=3. May be repeated."""
    seed: Seed = 0
    """Seed of the draw."""
    device: str = "auto"
    """Where to encode."""


def encode(arguments: Sequence[str]) -> None:
    """Encode and write."""
    options = parse(Options, arguments, "encode")
    import numpy as np

    from contrafact.core.run import find_device
    from contrafact.evaluation.codes_file import SUFFIXES, encode_images
    from contrafact.evaluation.sampling import dataset_of
    from contrafact.report.subject import find_run

    if options.out.suffix not in SUFFIXES:
        raise ValueError(f"--out must end in {', '.join(SUFFIXES)}, got {options.out.name!r}")
    device = find_device(options.device)
    run = find_run(options.run, options.generator, changes_of(options.changes))
    encoder = run.encoder.to(device)
    dataset = dataset_of(run, options.data)
    if dataset is None:
        raise ValueError(
            f"the run in {options.run} does not say what images it was trained on; name some: "
            f"contrafact encode {options.run} DATA"
        )
    indices = np.arange(len(dataset))
    if options.num_images is not None and options.num_images < len(dataset):
        rng = np.random.default_rng(options.seed)
        indices = np.sort(rng.choice(len(dataset), options.num_images, replace=False))
    encoded = encode_images(encoder, dataset, indices, options.representation)
    encoded.save(options.out)
    answer(
        {
            "file": str(options.out),
            "images": len(indices),
            "codes": list(encoded.code_names),
            "factors": list(encoded.factor_names),
            "class_names": list(encoded.class_names),
        }
    )
    known = f", {', '.join(encoded.factor_names)}" if encoded.factor_names else ""
    print(f"wrote {options.out}: {len(indices)} images, {encoded.codes_NJ.shape[1]} codes{known}")
