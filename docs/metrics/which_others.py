"""Measure the metrics that take more than codes and factors, for docs/which_metric.md: ``which_others.py [NAME …]``.

``which_others.py pages`` prints what was measured into the metrics' own pages.

Three draws of each size: of noise and clean codes where a metric takes matrices, of Gaussians as features of images,
of six factors that an encoder mixes, and of the analytic scenes with their true directions, of which the mean colours
of the upper and the lower half are told. Writes ``others.json``, which ``which.py`` reads.
"""

from __future__ import annotations

import json
import sys
import textwrap
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sample_size import HEADING, put_into, shown
from which import FOLDER, OTHERS, SIZES, codes_and_factors, enough

from contrafact import metrics as m
from contrafact.core.dataset import FactorDataset
from contrafact.core.directions import GlobalDirections
from contrafact.core.metric import MetricResult
from contrafact.generators.analytic import Analytic
from contrafact.generators.wrap import wrap
from contrafact.metrics import CATALOG
from contrafact.nn.attributes import FunctionPredictor

ROWS, LATENTS = (100, 300, 1_000, 3_000, 10_000), (30, 100, 300)
SEEDS = 3


class Counted(Analytic):
    """The scenes, and how many were made."""

    made = 0

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        images = super().forward(latent)
        self.made += len(images)
        return images


SCENES = Counted()


class Pixels(FactorDataset):
    """Images of a pixel for each factor of Shapes3D, and how many were seen."""

    factor_names = tuple("abcdef")
    factor_sizes = tuple(SIZES.tolist())
    image_shape = (1, 1, 6)

    def batch(self, indices: Any) -> torch.Tensor:
        values = torch.from_numpy(self.factors_of(indices) / (SIZES - 1)).float()
        return values[:, None, None, :]


class Mixing:
    """Codes that know a factor best and the others a little."""

    def __init__(self) -> None:
        self.seen = 0
        self.matrix = torch.eye(6) + 0.2 * torch.randn(6, 6, generator=torch.Generator().manual_seed(0))

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        self.seen += len(images)
        return torch.tanh((2 * images.flatten(1) - 1) @ self.matrix)


ENCODER = Mixing()


def colours(images: torch.Tensor) -> torch.Tensor:
    """Six numbers an image."""
    halves = images.unflatten(2, (2, -1)).mean(dim=(3, 4))
    return halves.flatten(1)


JUDGE = FunctionPredictor(colours, "colours")


def features(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Of real images and of made ones."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 16)), 0.3 + 1.1 * rng.normal(size=(n, 16))


def layers(n: int, seed: int) -> list[np.ndarray]:
    """Codes, and a noisy mixture of them."""
    codes, _ = codes_and_factors(n, seed)
    mix = np.random.default_rng(7).normal(size=(10, 10))
    return [codes, 0.5 * codes @ mix + np.random.default_rng(seed).normal(size=codes.shape)]


def models(n: int, seed: int) -> list[np.ndarray]:
    """The same codes in other orders, with noise of their own."""
    codes, rng = codes_and_factors(n, seed)[0], np.random.default_rng(seed)
    return [codes[:, rng.permutation(10)] + 0.3 * rng.normal(size=codes.shape) for _ in range(3)]


def votes(name: str) -> Callable[[int, int], MetricResult]:
    """A metric of votes, from rows."""
    metric = CATALOG.module(name).from_codes
    return lambda n, seed: metric(*codes_and_factors(n, seed), seed=seed)


def edits(name: str, judge: Any) -> Callable[[int, int], MetricResult]:
    """A metric of directions."""
    metric = CATALOG.get(name)
    return lambda n, seed: metric(SCENES, SCENES.own_directions(), judge, num_latents=n, seed=seed)


def pairs(n: int, seed: int) -> MetricResult:
    """Distances of scenes and the same a step along one of their factors."""
    latents = SCENES.sample(n, torch.Generator().manual_seed(seed))
    steps = torch.arange(n) % SCENES.own_directions().num_directions
    with torch.no_grad():
        moved = SCENES.own_directions()(latents, steps, torch.ones(n))
        return m.lpips(SCENES(latents), SCENES(moved), extractor=lambda images: [images])


class Classes(torch.nn.Module):
    """Images of ten classes, which mix eight factors as all do, and as much as they alone do."""

    def __init__(self) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        weights = torch.randn(1, 8, 48, generator=rng) + torch.randn(10, 8, 48, generator=rng)
        self.weights = torch.nn.Parameter(weights / 8)

    def forward(self, latent: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        SCENES.made += len(latent)
        return torch.tanh(torch.einsum("nl,nlp->np", latent, self.weights[label])).view(-1, 3, 4, 4)


def transfer(n: int, seed: int) -> MetricResult:
    """The factors of one class in the nine others."""
    made = SCENES.made
    generator = wrap(Classes(), 8, image_range=(-1.0, 1.0), num_classes=10, label=0)
    SCENES.made = made  # wrapping it tries a few
    return m.class_transfer(generator, GlobalDirections.of(torch.eye(8)), num_latents=n, seed=seed)


MEASURED: dict[str, Callable[[int, int], MetricResult]] = {
    "beta_vae_score": votes("beta_vae_score"),
    "factor_vae_score": votes("factor_vae_score"),
    "cka": lambda n, seed: m.cka(layers(n, seed)),
    "svcca": lambda n, seed: m.svcca(layers(n, seed)),
    "udr": lambda n, seed: m.udr(models(n, seed)),
    "fid": lambda n, seed: m.fid(*features(n, seed)),
    "kid": lambda n, seed: m.kid(*features(n, seed), subset_size=min(n, 1_000), seed=seed),
    "precision_recall": lambda n, seed: m.precision_recall(*features(n, seed)),
    "inception_score": lambda n, seed: m.inception_score(3 * features(n, seed)[0][:, :10], seed=seed),
    "rescoring": edits("rescoring", JUDGE.scores),
    "matched_rescoring": edits("matched_rescoring", colours),
    "mds": edits("mds", lambda images: (colours(images) > 0.5).long()),
    "attribute_dependency": edits("attribute_dependency", JUDGE.scores),
    "edit_effects": edits("edit_effects", colours),
    "class_transfer": transfer,
    "ppl": lambda n, seed: m.ppl(
        SCENES, extractor=lambda images: [images], space="z", epsilon=1e-2, num_latents=n, seed=seed
    ),
    "z_max_variance": lambda n, seed: m.z_max_variance(ENCODER, Pixels(), num_train=n, num_test=n // 2, seed=seed),
    "fairness": lambda n, seed: m.fairness(ENCODER, Pixels(), num_train=n, seed=seed),
    "lpips": pairs,
    "linear_separability": lambda n, seed: m.linear_separability(SCENES, JUDGE.scores, num_latents=n, seed=seed),
}


UNITS = {"z_max_variance": "votes", "fairness": "points to fit on", "lpips": "pairs"}


ROWS_OF = "rows of six codes, each of a factor as Shapes3D has them, with noise of deviation 0.1, and four of noise"
FEATURES = "features of 16 dimensions, normal: of mean 0 and deviation 1, and of mean 0.3 and deviation 1.1"
IN_SCENES = "the analytic sprite with its true directions, judged by the mean colours of its upper and its lower half"
DRAWN = {
    "beta_vae_score": ROWS_OF,
    "factor_vae_score": ROWS_OF,
    "cka": f"{ROWS_OF}; beside a noisy mixture of them",
    "svcca": f"{ROWS_OF}; beside a noisy mixture of them",
    "udr": f"{ROWS_OF}; three such models, their codes in other orders and with more noise",
    "fid": FEATURES,
    "kid": FEATURES,
    "precision_recall": FEATURES,
    "inception_score": "logits of ten classes, normal with deviation 3",
    "rescoring": IN_SCENES,
    "matched_rescoring": IN_SCENES,
    "mds": IN_SCENES.replace("judged by", "whose attributes are"),
    "attribute_dependency": IN_SCENES,
    "edit_effects": IN_SCENES,
    "class_transfer": "ten classes that mix eight factors as all do, and as much as they alone do; pixels",
    "ppl": "the analytic sprite, distances of pixels, space z",
    "linear_separability": "the analytic sprite, judged by the mean colours of its upper and its lower half",
    "lpips": "pairs of analytic sprites a step along one of their true directions apart, distances of pixels",
    "z_max_variance": "codes that know a factor best and the others a little",
    "fairness": "codes that know a factor best and the others a little",
}
"""What was drawn of each, for its page."""


def unit_of(row: dict[str, Any]) -> str:
    """What the numbers count."""
    return str(row.get("unit", "latents" if "images" in row else "rows"))


def section(name: str, row: dict[str, Any]) -> str:
    """What a metric's page says of sample size, as Markdown."""
    sizes = sorted(row["scores"], key=int)
    text = f"The mean over three draws of {DRAWN[name]}. It stays within a twentieth of the last from "
    text += f"{enough(row['scores'])} on."
    return "\n".join(
        [
            HEADING,
            "",
            *textwrap.wrap(text, 118),
            "",
            f"| {unit_of(row)} | " + " | ".join(f"{int(n):,}" for n in sizes) + " |",
            "|---|" + "---|" * len(sizes),
            "| score | " + " | ".join(shown(row["scores"][n]) for n in sizes) + " |",
            "",
        ]
    )


def write_pages(found: dict[str, dict[str, Any]]) -> None:
    """Put each section into its page."""
    for name, row in found.items():
        page = FOLDER / f"{name}.md"
        page.write_text(put_into(page.read_text(encoding="utf-8"), section(name, row)), encoding="utf-8")


def main() -> None:
    """Measure those named, or all, and keep the rest; or print what is known into the pages."""
    found = json.loads(OTHERS.read_text(encoding="utf-8")) if OTHERS.is_file() else {}
    if sys.argv[1:] == ["pages"]:
        return write_pages(found)
    warnings.simplefilter("ignore")
    for name in sys.argv[1:] or MEASURED:
        takes_latents = "num_latents" in CATALOG.get(name).__wrapped__.__code__.co_varnames
        scores, sizes = {}, LATENTS if takes_latents or name == "lpips" else ROWS
        for n in sizes:
            SCENES.made, ENCODER.seen, begin = 0, 0, time.process_time()
            scores[str(n)] = round(float(np.mean([MEASURED[name](n, seed).score for seed in range(SEEDS)])), 5)
            seconds, made = (time.process_time() - begin) / SEEDS, SCENES.made / SEEDS / n
        found[name] = {"scores": scores, "seconds": round(seconds, 3)} | ({"images": round(made)} if made else {})
        found[name] |= {"unit": UNITS[name]} if name in UNITS else {}
        found[name] |= {"encoded": ENCODER.seen // SEEDS} if ENCODER.seen else {}
        print(name, found[name], file=sys.stderr, flush=True)
        OTHERS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
