"""Class transfer: do directions that were found on one class of a generator do the same to images of others?

Ours, after "LatentCLR" (Yüksel et al., ICCV 2021), Section 4.1, Q2, where directions found on one class of BigGAN are
applied to others and looked at. Here a change of an image is given back to the direction that made it, by the changes
that the directions make in the class they were found on: what LatentCLR's loss asks of latents, asked of classes.

Shape suffixes: N latents, D directions, C other classes, F features, S edits of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from contrafact.core.dataset import check_count
from contrafact.core.directions import Directions
from contrafact.core.generator import IMAGE, Generator
from contrafact.core.metric import FloatArray, MetricInfo, MetricResult, measured
from contrafact.metrics._edits import start_latents
from contrafact.nn.features import Extractor, extractor_name, run

INFO = MetricInfo(
    kind="directions",
    low=0.0,
    high=1.0,
    higher_is_better=True,
    source="ours, after Yüksel et al. 2021 (LatentCLR), Section 4.1, Q2",
    ranges={"similarity": (-1.0, 1.0), "own_similarity": (-1.0, 1.0)},
)
MOST_CLASSES = 9
FEWEST = 2


@dataclass(frozen=True, kw_only=True)
class ClassTransferResult(MetricResult):
    """``score`` is the share of edits of other classes that are given back to their direction.

    ``per_factor`` ``(C,)`` is that share in each other class, ``matrix`` ``(D, C)`` in each for each direction.

    Attributes:
        own: the same share in the class itself, of the same latents.
        chance: what guessing scores, 1/D.
        similarity: mean cosine of an edit of another class with its direction's mean edit in the class itself.
        own_similarity: the same of edits in the class itself.
        label: the class itself.
        classes: the other classes.
    """

    own: float
    chance: float
    similarity: float
    own_similarity: float
    label: int
    classes: tuple[int, ...]

    def scores(self) -> dict[str, float]:
        names = ("score", "own", "similarity", "own_similarity")
        return {name: float(getattr(self, name)) for name in names}

    def details(self) -> list[str]:
        """What to read the score beside, each class's share, and which directions transfer best."""
        assert self.per_factor is not None, "it is always given"
        assert self.matrix is not None, "it is always given"
        shares = ", ".join(f"{c} {share:.2f}" for c, share in zip(self.classes, self.per_factor, strict=True))
        per_direction = self.matrix.mean(axis=1)
        best = np.argsort(-per_direction, kind="stable")[:5]
        named = ", ".join(f"{d} {per_direction[d]:.2f}" for d in best)
        return [
            f"found on class {self.label}, where it is {self.own:.2f}; chance is {self.chance:.2f}",
            f"class: {shares}",
            f"best directions: {named}",
        ]


@measured
@torch.no_grad()
def class_transfer(
    generator: Generator,
    directions: Directions,
    *,
    extractor: Extractor | None = None,
    layer: str = IMAGE,
    classes: Sequence[int] | None = None,
    num_latents: int = 64,
    magnitude: float = 3.0,
    batch_size: int = 64,
    seed: int = 0,
) -> ClassTransferResult:
    """Share of edits in other classes that look like the same direction's edits in the class it was found on.

    An edit's change of features is given to the direction with the largest cosine between the change and the
    direction's mean change (each of unit length) in the generator's own class, from half of the latents; the other half
    is given back. Edits forwards and backwards are told apart each by themselves, so that signs do not matter.

    Args:
        generator: a conditional one, fixed to the class that the directions were found on.
        directions: at least two.
        extractor: images ``(n, C, H, W)`` to features ``(n, F)``; None compares pixels.
        layer: one of the generator's, whose activations are compared in place of images, as the paper's loss does.
        classes: the other classes; None takes all, or nine drawn by the seed where there are more.
        num_latents: how many to draw, at least two; all classes have the same noise.
        magnitude: α, in standard deviations of the edit space.
        batch_size: images per call.
        seed: of the draws.

    Returns:
        score in [0, 1], higher is better; chance is 1/D. What it can be at most is ``own``, about.

    Raises:
        ValueError: a generator without a fixed class, one direction, a class that is none or the generator's own, an
            extractor and a layer, directions that do not fit, features that are not finite rows, or a setting out of
            range.

    >>> import contrafact as cf
    >>> from contrafact.core.directions import GlobalDirections
    >>> generator = cf.generators.BigGAN.tiny().freeze()
    >>> generator.fix_label(0)
    >>> axes = GlobalDirections.of(torch.eye(4))
    >>> result = class_transfer(generator, axes, num_latents=16)
    >>> result.classes, result.matrix.shape, result.chance
    ((1, 2, 3, 4), (4, 4), 0.25)
    """
    if not 0 < magnitude < float("inf"):
        raise ValueError(f"magnitude must be positive and finite, got {magnitude}")
    if extractor is not None and layer != IMAGE:
        raise ValueError(f"give an extractor of images or a layer, not both; got layer {layer!r}")
    generator.check_layer(layer)
    others = _others(generator, classes, seed)
    number = directions.num_directions
    if number < 2:
        raise ValueError("directions are told apart by their edits, which needs at least two; got 1")
    if check_count("num_latents", num_latents) < FEWEST:
        raise ValueError(f"class transfer needs at least {FEWEST} latents, half of them to learn from; got 1")
    check_count("batch_size", batch_size)
    half = num_latents // 2

    def look(source: Generator, latents: Tensor) -> Tensor:
        if layer != IMAGE:
            features = source.activations(latents, layer)
        else:
            images = source(latents).clamp(0, 1)
            features = torch.as_tensor(images if extractor is None else run(extractor, images))
        if features.ndim < 2 or len(features) != len(latents) or not torch.isfinite(features).all():
            what = "layer" if extractor is None else "extractor"
            raise ValueError(f"the {what} must give one row of finite features per image, got {tuple(features.shape)}")
        return features.flatten(1).float()

    def edits(source: Generator, latents: Tensor, sign: float) -> Iterator[tuple[Tensor, Tensor]]:
        """All changes of unit length ``(S, F)`` and their directions ``(S,)``, a batch at a time."""
        before_NF = torch.cat([look(source, part) for part in latents.split(batch_size)])
        for cells in torch.arange(len(latents) * number, device=latents.device).split(batch_size):
            rows, index = cells // number, cells % number
            moved = directions(latents[rows], index, torch.full((len(cells),), sign * magnitude).to(latents))
            yield F.normalize(look(source, moved) - before_NF[rows], dim=1), index

    sources = (generator, *others)
    drawn = [start_latents(source, directions, None, num_latents, seed) for source in sources]
    right_CD = torch.zeros(len(sources), number, dtype=torch.float64)
    alike_CD = torch.zeros_like(right_CD)
    for sign in (1.0, -1.0):
        summed: list[Tensor] = []
        for change_SF, index in edits(generator, drawn[0][:half], sign):
            summed = summed or [change_SF.new_zeros(number, change_SF.shape[1])]
            summed[0].index_add_(0, index, change_SF)
        centres_DF = F.normalize(summed[0], dim=1)
        does_D = (centres_DF != 0).any(dim=1)  # a direction that does nothing looks like nothing, not like the first
        for place, (source, latents) in enumerate(zip(sources, drawn, strict=True)):
            for change_SF, index in edits(source, latents[half:], sign):
                cosine_SD = change_SF @ centres_DF.T
                found_S = cosine_SD.masked_fill(~does_D, -2.0).argmax(dim=1)
                hit_S = (found_S == index) & does_D[index] & (change_SF != 0).any(dim=1)
                own_S = cosine_SD.gather(1, index[:, None])[:, 0]
                right_CD[place].index_add_(0, index.cpu(), hit_S.double().cpu())
                alike_CD[place].index_add_(0, index.cpu(), own_S.double().cpu())
    count = 2 * (num_latents - half)
    share_CD, similar_CD = (right_CD / count).numpy(), (alike_CD / count).clamp(-1, 1).numpy()
    matrix: FloatArray = share_CD[1:].T.copy()
    seen = layer if extractor is None else extractor_name(extractor)
    return ClassTransferResult(
        score=float(matrix.mean()),
        protocol=f"class_transfer_{seen}_n{num_latents}_classes{len(others)}_magnitude{magnitude:g}",
        num_train=half,
        num_test=num_latents - half,
        per_factor=matrix.mean(axis=0),
        matrix=matrix,
        seed=seed,
        own=float(share_CD[0].mean()),
        chance=1.0 / number,
        similarity=float(similar_CD[1:].mean()),
        own_similarity=float(similar_CD[0].mean()),
        label=int(generator.label or 0),
        classes=tuple(int(other.label or 0) for other in others),
    )


def _others(generator: Generator, classes: Sequence[int] | None, seed: int) -> list[Generator]:
    """The generator of each other class that is asked for."""
    if generator.label is None:
        raise ValueError(
            f"class transfer needs a conditional generator, fixed to the class that the directions were found on; this "
            f'{type(generator).__name__} has no class fixed: load it with {{"label": 0}} (--set label=0)'
        )
    if classes is None:
        free = [c for c in range(generator.class_count) if c != generator.label]
        drawn = np.random.default_rng(seed).permutation(len(free))[:MOST_CLASSES]
        classes = [free[place] for place in sorted(drawn)]
    if not len(classes) or generator.label in classes or len(set(classes)) < len(classes):
        raise ValueError(
            f"classes must name others than the generator's own, {generator.label}, each once; got {list(classes)}"
        )
    return [generator.of_class(int(label)) for label in classes]
