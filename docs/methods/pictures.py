"""Draws a picture for each method's page, from short runs: docs/methods/pictures/NAME.webp.

    python docs/methods/pictures.py              # all of them, half an hour of one core
    python docs/methods/pictures.py sefa moco    # some

Runs are kept in runs/pictures and taken up again; delete one to make it anew. They are the quick presets at seed 0,
many of them shortened, so that the pictures show what a method gives, not how well it can do it: the pages' tables do.
Fashion-MNIST's files must be there (Debian: dataset-fashion-mnist).

Shape suffixes: N images, J codes, K factors, D directions, S samples, M steps of a sweep.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL.Image import Image
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from torch import Tensor

import contrafact as cf
from contrafact.core.dataset import ImageDataset
from contrafact.core.files import atomic_path
from contrafact.core.finished import FinishedRun
from contrafact.core.generator import Generator
from contrafact.core.pictures import to_bytes, webp
from contrafact.data import Shapes3D
from contrafact.metrics import mig
from contrafact.nn.attributes import Predictor, load_predictor
from contrafact.report.classes import class_rows
from contrafact.report.figures import Sweep, magnitude_labels, sweep_run, traversal
from contrafact.report.sheets import sheet
from contrafact.report.translation import translation_sheet, translations

RUNS = Path("runs/pictures")
OUT = Path(__file__).with_name("pictures")
QUALITY = 82
ROWS, FRAMES, SPAN = 6, 7, 2.0
JUDGED, CHANGED = 64, 0.3
"""Samples that name a direction, and the share of them whose attribute must change before it is named after that."""
READ = 2000
"""Images whose codes are compared."""
SMALL = 16
"""Side of digits that a GAN draws here, and of rooms that are taken apart and put together again."""
GARMENTS = (0, 1, 5, 7, 8, 9)
"""Classes that queries are of: T-shirt, trousers, sandal, sneaker, bag, boot."""


def fitted(name: str, source: ImageDataset | Generator, preset: str = "quick", **settings: object) -> FinishedRun:
    """The method's run in ``runs/pictures``, made where it is not there."""
    folder = RUNS / name
    if not (folder / "result.json").exists():
        cls = cf.methods.CATALOG.get(name)
        cls.preset(preset, **settings).fit(source, folder)
    return cf.load_run(folder)


def rooms(size: int = 32, **options: object) -> ImageDataset:
    return cf.load_dataset("shapes3d", size=size, **options)


def garments(split: str = "train", **options: object) -> ImageDataset:
    return cf.load_dataset("fashion-mnist", split=split, **options)


def digits(split: str = "train") -> ImageDataset:
    return cf.load_dataset("digits", split=split, size=SMALL)


def judge() -> Predictor:
    """Names what changes in rooms, of 32 pixels."""
    fitted("attribute_predictor", rooms())
    return load_predictor(RUNS / "attribute_predictor")


@torch.no_grad()
def changes(frames_SM: Tensor, predictor: Predictor) -> str:
    """What the two ends of a sweep change, in most rooms first: ``wall hue 95 %``; ``little`` where nothing does.

    A factor counts as changed where the predictor's value moves by a fifth of its range or more; hues go around.

    Args:
        frames_SM: ``(S, 3, C, H, W)``, the unchanged rooms in the middle.
        predictor: of images of 32 pixels.
    """
    small = [F.interpolate(frames_S, 32, mode="area").clamp(0, 1) for frames_S in frames_SM.unbind(dim=1)]
    low, middle, high = (predictor.labels(images) for images in small)
    names, sizes = predictor.learn_names(small[0]), dict(zip(Shapes3D.factor_names, Shapes3D.factor_sizes, strict=True))
    share = {}
    for k, name in enumerate(names):
        steps_2S = torch.stack([low[:, k] - middle[:, k], high[:, k] - middle[:, k]]).abs()
        if name.endswith("hue"):
            steps_2S = torch.minimum(steps_2S, sizes[name] - steps_2S)
        share[name] = float((steps_2S.amax(dim=0) >= max(1, sizes[name] / 5)).float().mean())
    told = sorted((name for name in names if share[name] > CHANGED), key=lambda name: -share[name])[:2]
    return "\n".join(f"{name} {share[name]:.0%}".replace("%", " %") for name in told) or "little"


def sliders(name: str, source: Generator, **settings: object) -> Image:
    """The strongest directions on one room, each with what it changes in other rooms."""
    run, predictor = fitted(name, source, **settings), judge()
    swept = sweep_run(run, 1, FRAMES, SPAN, most=ROWS)
    others = run.generator.sample(JUDGED, seed=1)
    frames = traversal(run.generator, run.directions, others, [-SPAN, 0.0, SPAN], indices=swept.indices)
    labels = [f"{which}\n{changes(one, predictor)}" for which, one in zip(swept.names, frames, strict=True)]
    return strips(swept, labels)


def strips(swept: Sweep, labels: Sequence[str]) -> Image:
    """One sample's rows of a sweep."""
    larger = max(1, 64 // swept.frames.shape[-1])
    return sheet(to_bytes(swept.frames[:, 0]), "", labels, magnitude_labels(swept.magnitudes), upscale=larger)


def codes(name: str, data: ImageDataset | None = None, **settings: object) -> Image:
    """A VAE's strongest codes on one room, each with the factor it tells most of."""
    images = rooms() if data is None else data
    run = fitted(name, images, **settings)
    swept = sweep_run(run, 1, FRAMES, SPAN, most=ROWS)
    chosen = np.random.default_rng(0).permutation(len(images))[:READ]
    information_JK = mig(encoded(run, images, chosen), images.factors_of(chosen)).matrix
    shares_JK = information_JK / np.log(images.factor_sizes)  # every value of a factor is as likely
    labels = []
    for j, which in zip(swept.indices, swept.names, strict=True):
        best = int(shares_JK[j].argmax())
        told = f"{images.factor_names[best]} {shares_JK[j, best]:.2f}" if shares_JK[j, best] > 0.05 else "nothing"
        labels.append(f"{which}\n{told}")
    return strips(swept, labels)


@torch.no_grad()
def encoded(run: FinishedRun, images: ImageDataset, chosen: np.ndarray) -> Tensor:
    return torch.cat([run.encoder(images.batch(rows)) for rows in np.array_split(chosen, max(1, len(chosen) // 250))])


def neighbours(codes_NJ: Tensor, queries: Sequence[int], count: int = 8) -> list[list[int]]:
    """Of each query the row itself, then those whose codes have the largest cosines with its."""
    unit_NJ = F.normalize(codes_NJ, dim=1)
    return [(unit_NJ @ unit_NJ[query]).argsort(descending=True)[: count + 1].tolist() for query in queries]


def neighbour_sheet(images: Tensor, found: Sequence[Sequence[int]], labels: Sequence[str]) -> Image:
    rows = torch.stack([images[list(row)] for row in found])
    return sheet(to_bytes(rows), "", labels, ["image", "nearest", *[""] * (rows.shape[1] - 2)], upscale=2)


def nearest_garments(name: str, **settings: object) -> Image:
    """Test images and those whose codes are nearest, of all classes."""
    labels = settings.pop("labels", None)
    run = fitted(name, garments() if labels is None else garments(labels=labels), **settings)
    test = garments("test")
    chosen = np.arange(READ)
    queries = [int(np.flatnonzero(test.labels[:READ] == kind)[0]) for kind in GARMENTS]
    found = neighbours(encoded(run, test, chosen), queries)
    right = [
        f"{test.class_names[test.labels[row[0]]]}\n{sum(test.labels[row[1:]] == test.labels[row[0]])} of 8 alike"
        for row in found
    ]
    return neighbour_sheet(test.batch(chosen), found, right)


def nearest_rooms(name: str, **settings: object) -> Image:
    """Rooms and those whose codes are nearest."""
    images = rooms()
    run = fitted(name, images, **settings)
    chosen = np.random.default_rng(1).permutation(len(images))[:READ]
    return neighbour_sheet(
        images.batch(chosen), neighbours(encoded(run, images, chosen), range(5)), [f"room {n + 1}" for n in range(5)]
    )


def halves(name: str) -> Image:
    """Nearest by each half of z: in one the garment decides, in the other the digit does."""
    pairs = cf.load_dataset("digits-garments")
    settings = {"encoder": "mlp", "code_dim": 128, "augmentations": "none", "steps": 2000, "warmup_steps": 100}
    settings |= {"batch_size": 128, "temperature": 0.1, "regulariser": "hessian", "weight": 0.003}
    run, test = fitted(name, pairs, **settings), cf.load_dataset("digits-garments", split="test")
    parts = run.encoder.parts(run.encoder.project(encoded(run, test, np.arange(READ))))
    factors = test.factors_of(range(READ))
    rows, labels, alike = [], [], []
    for part in range(parts.shape[1]):
        near = np.array(neighbours(parts[:, part], range(500)))
        same_K = (factors[near[:, 1:]] == factors[near[:, :1]]).mean(axis=(0, 1))
        alike.append(f"digits {same_K[0]:.0%} alike, garments {same_K[1]:.0%}".replace("%", " %"))
    for wanted in ((8, 8), (3, 2), (5, 1)):  # a digit and a bag, a pullover, trousers
        query = int(np.flatnonzero((factors == wanted).all(axis=1))[0])
        for part in range(parts.shape[1]):
            rows += neighbours(parts[:, part], [query])
            labels.append(f"by half {part + 1} of z\n{alike[part]}")
    shown = test.batch(range(READ))[:, :, 4:12]  # above and below all is black
    cells = torch.stack([shown[row] for row in rows])
    return sheet(to_bytes(cells), "", labels, ["image", "nearest", *[""] * 7], upscale=4)


def sorted_rooms(name: str) -> Image:
    """Rooms in the order of each hue's code."""
    run, images = fitted(name, rooms(labels=100)), rooms()
    chosen = np.random.default_rng(1).permutation(len(images))[:READ]
    codes_NJ = encoded(run, images, chosen)
    places = np.linspace(0, READ - 1, 11).round().astype(int)[1:-1]
    rows = torch.stack([images.batch(chosen[codes_NJ[:, j].argsort()[places].numpy()]) for j in range(3)])
    return sheet(to_bytes(rows), "", run.encoder.factor_names, ["low", *[""] * 7, "high"], upscale=2)


def judged_rooms(name: str) -> Image:
    """Generated rooms by the value that the predictor reads off them."""
    predictor, generator = judge(), cf.load_generator("shapes3d-64")
    images = generator(generator.sample(600, seed=0)).detach()
    labels_NA = predictor.labels(F.interpolate(images, 32, mode="area").clamp(0, 1))
    names = predictor.learn_names(images[:2])
    kinds = [names.index(wanted) for wanted in ("floor hue", "wall hue", "object hue", "shape", "scale")]
    rng, rows = np.random.default_rng(0), []
    for a in kinds:
        values = np.linspace(0, int(labels_NA[:, a].max()), 8).round().astype(int)
        there = [np.flatnonzero(labels_NA[:, a].numpy() == value) for value in values]
        rows.append(
            torch.stack([images[int(rng.choice(one))] if len(one) else torch.ones_like(images[0]) for one in there])
        )
    return sheet(to_bytes(torch.stack(rows)), "", [names[a] for a in kinds], ["least", *[""] * 6, "most"], upscale=1)


def translated(name: str, **settings: object) -> Image:
    """Rooms with the labelled factors of one image and the rest of another."""
    run, images = fitted(name, rooms(SMALL, labels=100), **settings), rooms(SMALL)
    shown = images.batch(np.random.default_rng(3).permutation(len(images))[:10])
    return translation_sheet(run.encoder, run.generator, shown[:4], shown[4:])


def rewritten(name: str, **settings: object) -> Image:
    """Digits of one image in the hand of another, nearly all of them labelled."""
    run = fitted(name, cf.load_dataset("digits", split="train", size=SMALL, labels=1400), **settings)
    test = digits("test")
    columns = test.batch([int(np.flatnonzero(test.labels == kind)[0]) for kind in range(10)])
    rows = test.batch([int(np.flatnonzero(test.labels == kind)[3]) for kind in (7, 4, 2, 0)])
    made = translations(run.encoder, run.generator, rows, columns)
    blank = torch.ones_like(rows[:1])
    cells = torch.cat([torch.cat([blank, columns])[None], torch.cat([rows[:, None], made], dim=1)])
    return sheet(to_bytes(cells), "", ["digits", *["in this hand"] * len(rows)], upscale=3)


def knob(name: str, **settings: object) -> Image:
    """Samples of every position of the class knob."""
    run = fitted(name, digits(), **settings)
    rows = class_rows(run.generator, 10, 0)
    return sheet(to_bytes(rows), "", [f"class {k}" for k in range(len(rows))], upscale=3)


def samples(name: str, **settings: object) -> Image:
    run = fitted(name, digits(), **settings)
    images = torch.cat([run.generator(part).detach() for part in run.generator.sample(48, seed=0).split(16)])
    return sheet(to_bytes(images.unflatten(0, (4, 12))), "", upscale=3)


def found_again(name: str, **settings: object) -> Image:
    """Test images, and under each what the generator makes of the latent that was found for it."""
    run, test = fitted(name, digits(), **settings), digits("test")
    images = test.batch(np.concatenate([np.flatnonzero(test.labels == kind)[:2] for kind in range(10)]))
    with torch.no_grad():
        made = run.generator(run.encoder(images).roll(-run.encoder.class_dim, dims=1))  # a code has the class first
    halves = [(images[k : k + 10], made[k : k + 10]) for k in (0, 10)]
    cells = torch.stack([row for pair in halves for row in pair])
    return sheet(to_bytes(cells), "", ["image", "found"] * 2, upscale=3)


def clusters(name: str, **settings: object) -> Image:
    """Ten clusters of the codes of test images, named after the class that they hold most of."""
    run, test = fitted(name, digits(), **settings), digits("test")
    chosen = np.arange(len(test))
    codes_NJ = encoded(run, test, chosen).numpy()
    cluster_N = KMeans(10, n_init=4, random_state=0).fit_predict(codes_NJ)
    table = np.array([[(test.labels[chosen][cluster_N == c] == k).sum() for k in range(10)] for c in range(10)])
    order = [int(c) for c in linear_sum_assignment(-table.T)[1]]
    rows, labels, rng = [], [], np.random.default_rng(0)
    for c in order:
        members = np.flatnonzero(cluster_N == c)
        rows.append(test.batch(rng.choice(members, 10, replace=len(members) < 10)))
        most = int(table[c].argmax())
        labels.append(f"digit {test.class_names[most]}, {table[c, most] / len(members):.0%}".replace("%", " %"))
    return sheet(to_bytes(torch.stack(rows)), "", labels, upscale=3)


SMALL_GAN = {"width": 0.25, "steps": 600}
SHORT_VAE = {"steps": 400}


def sharp() -> Generator:
    return cf.load_generator("shapes3d-64")


def blurred() -> Generator:
    return cf.load_generator("shapes3d")


def unnamed_sliders(name: str) -> Image:
    """Directions of a denoiser, whose rooms of 16 pixels are too blurred for the predictor to name what changes."""
    run = fitted(name, fitted("encdiff", rooms(SMALL)).generator, steps=120, batch_size=4)
    swept = sweep_run(run, 1, FRAMES, SPAN, most=ROWS)
    return strips(swept, swept.names)


PICTURES: dict[str, Callable[[str], Image]] = {
    "attention_decoder": lambda name: codes(name, data=rooms(SMALL)),
    "attribute_predictor": judged_rooms,
    "beta_tcvae": lambda name: codes(name, steps=800),
    "beta_vae": lambda name: codes(name, steps=600),
    "cluster_gan": lambda name: knob(name, width=0.25, steps=1500),
    "cmc": lambda name: nearest_rooms(name, steps=100),
    "contralord": lambda name: translated(name, num_images=5000, latent_rate=0.05, steps=800, encoder_steps=250),
    "deep_spectral": lambda name: sliders(name, blurred(), layer="image"),
    "dip_vae": lambda name: codes(name, **SHORT_VAE),
    "disdiff": lambda name: codes(name, data=rooms(SMALL)),
    "disco": lambda name: sliders(name, blurred(), steps=120),
    "factor_vae": lambda name: codes(name, **SHORT_VAE),
    "gan_features": lambda name: clusters(name, **SMALL_GAN),
    "ganspace": lambda name: sliders(name, sharp()),
    "gan_inversion": lambda name: found_again(name, **SMALL_GAN | {"steps": 3000}),
    "glow": lambda name: samples(name, steps=4000),
    "hessian_penalty": lambda name: sliders(name, blurred(), steps=100),
    "infogan": lambda name: knob(name, width=0.25, steps=600),
    "infogan_cr": lambda name: knob(name, width=0.25, steps=3000),
    "interfacegan": lambda name: sliders(
        name, blurred(), num_latents=4000, predictor=str(RUNS / "attribute_predictor")
    ),
    "labels_only": sorted_rooms,
    "latent_discovery": lambda name: sliders(name, blurred(), steps=150),
    "lord": lambda name: rewritten(name, factor_dim=16, steps=1200, encoder_steps=400),
    "moco": lambda name: nearest_garments(name, steps=250),
    "noiseclr": unnamed_sliders,
    "overlord": lambda name: rewritten(name, correlated="none", steps=1000, encoder_steps=400, synthesis_steps=50),
    "random": lambda name: sliders(name, sharp()),
    "sefa": lambda name: sliders(name, sharp()),
    "semi_supervised_vae": lambda name: codes(name, data=rooms(labels=100), **SHORT_VAE),
    "simclr": lambda name: nearest_garments(name, steps=120),
    "sngan": lambda name: samples(name, width=0.25, steps=4000),
    "sub_infomax": halves,
    "sup_con": lambda name: nearest_garments(name, labels=0.024, steps=150),
    "vae": lambda name: codes(name, steps=600, flow_steps=300),
    "wgan_gp": lambda name: samples(name, width=0.25, steps=6000),
    "zerodim": lambda name: translated(name, num_images=5000, steps=1000),
}


def main() -> None:
    names = sys.argv[1:] or list(PICTURES)
    unknown = sorted(set(names) - set(PICTURES))
    if unknown:
        raise SystemExit(f"no picture of {', '.join(unknown)} is drawn here; there are {', '.join(PICTURES)}")
    OUT.mkdir(exist_ok=True)
    judge()
    for name in names:
        picture = PICTURES[name](name)
        with atomic_path(OUT / f"{name}.webp") as temporary:
            temporary.write_bytes(webp(picture.convert("RGB"), QUALITY))
        print(f"{name}: {picture.width} x {picture.height}, {(OUT / f'{name}.webp').stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
