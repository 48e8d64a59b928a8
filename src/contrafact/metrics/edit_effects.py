"""Edit effects: how much of the identity does a step along each direction keep, and how far does the picture move?

Identity as the cosine of a face network's embeddings before and after: Abdal et al., "StyleFlow", TOG 2021. Distance:
LPIPS, Zhang et al., CVPR 2018. Whether the change goes where words point: the directional similarity of CLIP
embeddings, Gal et al., "StyleGAN-NADA", SIGGRAPH 2022.

Shape suffixes: N latents, L latent dimensions, D directions, E embedding dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from contrafact.core.dataset import check_count
from contrafact.core.directions import Directions
from contrafact.core.generator import Generator
from contrafact.core.metric import ArrayLike, FloatArray, MetricInfo, MetricResult, check_codes, measured
from contrafact.metrics._edits import Predictor, answers_to, check_names, start_latents
from contrafact.metrics.lpips import judge_of
from contrafact.nn.features import Extractor, extractor_name, features_of

INFO = MetricInfo(
    kind="directions",
    low=-1.0,
    high=1.0,
    higher_is_better=True,
    source="Abdal et al. 2021, identity; Gal et al. 2022, CLIP direction",
)


@dataclass(frozen=True, kw_only=True)
class EditEffectsResult(MetricResult):
    """``score`` is the mean of ``identity``. Means below are over latents and both signs of the step.

    Attributes:
        identity: cosine of an image's embeddings before and after a step along each direction ``(D,)``.
        distance: LPIPS between the two images ``(D,)``; None when not asked for.
        alignment: cosine of the change of the embedding and the wished one ``(D,)``; None when none was given.
        change: what the step does to each attribute, in the predictor's unit ``(D, A)``: half the difference of the
            mean answers after +α and after -α, as in rescoring; None when no predictor was given.
        attributes: A names, empty when none were given.
    """

    identity: FloatArray
    distance: FloatArray | None = None
    alignment: FloatArray | None = None
    change: FloatArray | None = None
    attributes: tuple[str, ...] = ()

    def scores(self) -> dict[str, float]:
        columns = {"distance": self.distance, "alignment": self.alignment}
        means = {name: float(values.mean()) for name, values in columns.items() if values is not None}
        return {"score": self.score, **means}

    def details(self) -> list[str]:
        """A line per direction: what it changes, and its side effects."""
        columns = {"identity": self.identity, "distance": self.distance, "alignment": self.alignment}
        known = {name: values for name, values in columns.items() if values is not None}
        lines = []
        for d in range(len(self.identity)):
            cells = [f"{name} {values[d]:.3f}" for name, values in known.items()]
            if self.change is not None:
                names = self.attributes or [f"attribute {a}" for a in range(self.change.shape[1])]
                cells = [f"{name} {value:+.3f}" for name, value in zip(names, self.change[d], strict=True)] + cells
            lines.append(f"direction {d}: {', '.join(cells)}")
        return lines


def _cosine(first_NE: FloatArray, second_NE: FloatArray) -> FloatArray:
    """Cosines of rows ``(N,)``, 0 where one of the two is no change at all."""
    dots_N = (first_NE * second_NE).sum(axis=1)
    lengths_N = np.linalg.norm(first_NE, axis=1) * np.linalg.norm(second_NE, axis=1)
    return np.asarray(np.divide(dots_N, lengths_N, out=np.zeros(len(dots_N)), where=lengths_N > 0), dtype=np.float64)


@measured
@torch.no_grad()
def edit_effects(
    generator: Generator,
    directions: Directions,
    extractor: Extractor,
    *,
    distance: Extractor | str | None = None,
    wishes: ArrayLike | None = None,
    predictor: Predictor | None = None,
    attributes: Sequence[str] = (),
    latents: Tensor | None = None,
    num_latents: int = 200,
    magnitude: float = 3.0,
    batch_size: int = 32,
    seed: int = 0,
) -> EditEffectsResult:
    """Identity kept, perceptual distance and direction of change when latents move by ±``magnitude``.

    Args:
        generator: what makes the images.
        directions: where to move.
        extractor: images ``(n, C, H, W)`` to embeddings ``(n, E)``: a face recogniser for identity, CLIP for wishes.
        distance: ``"alex"`` or ``"vgg"`` for LPIPS as published, or a function from images to feature maps; None leaves
            it out.
        wishes: the change of embedding that each direction should make ``(D, E)``: with CLIP, the embedding of words
            for the image after +α minus that of words for the one before. None leaves it out.
        predictor: images ``(n, C, H, W)`` to attributes ``(n, A)``, whose change by each direction then stands beside
            its side effects; None leaves it out.
        attributes: names of the predictor's A attributes.
        latents: ``(N, L)``, the same for every method compared; None draws ``num_latents`` by the seed.
        num_latents: how many to draw.
        magnitude: α, in standard deviations of the edit space.
        batch_size: latents per call, each moved both ways.
        seed: of the draw.

    Returns:
        score in [-1, 1], higher keeps more: the mean cosine of embeddings before and after.

    Raises:
        ValueError: directions and generator do not fit, embeddings are not finite rows or are 0, wishes do not fit
            them, the predictor misbehaves, the published network is not at hand, or a setting is not positive.

    >>> import torch
    >>> import contrafact as cf
    >>> from contrafact.core.directions import GlobalDirections
    >>> pixels = cf.wrap(torch.nn.Unflatten(1, (1, 1, 2)), latent_dim=2, image_range=(-8.0, 8.0))
    >>> axes = GlobalDirections.of(torch.eye(2))  # each changes one of two pixels
    >>> result = edit_effects(pixels, axes, lambda images: images.flatten(1), wishes=[[1.0, 0.0], [1.0, 1.0]])
    >>> result.alignment.round(2).tolist()  # as wished, and half of what is wished
    [1.0, 0.71]
    >>> lightness = edit_effects(pixels, axes, lambda x: x.flatten(1) + 0.01, predictor=lambda x: x.mean((1, 2, 3)))
    >>> lightness.change.round(3).tolist()  # a step of 3 of the 16 between black and white, in one of two pixels
    [[0.094], [0.094]]
    """
    if not magnitude > 0:
        raise ValueError(f"magnitude must be positive, got {magnitude}")
    judge = None if distance is None else judge_of(distance)
    wishes_DE = None if wishes is None else check_codes(wishes, "wishes")
    start = start_latents(generator, directions, latents, num_latents, seed)
    asked = {"identity": extractor, "distance": judge, "alignment": wishes_DE}
    total = {name: np.zeros(directions.num_directions) for name, given in asked.items() if given is not None}
    change_DA: FloatArray | None = None

    def embed(images: Tensor) -> FloatArray:
        embeddings_NE = features_of(images, extractor, "edited images", batch_size)
        if (np.linalg.norm(embeddings_NE, axis=1) == 0).any():
            raise ValueError("the extractor returned an embedding of length 0, which has no direction")
        return embeddings_NE

    for batch in start.split(check_count("batch_size", batch_size)):
        images = generator(batch)
        before_NE = embed(images)
        if wishes_DE is not None and wishes_DE.shape != (directions.num_directions, before_NE.shape[1]):
            raise ValueError(
                f"wishes must have a row for each of {directions.num_directions} directions and a column for each of "
                f"{before_NE.shape[1]} embedding dimensions, got {wishes_DE.shape}"
            )
        # Forwards and backwards at once; one direction at a time bounds memory.
        signs_N = torch.tensor([1.0, -1.0], dtype=batch.dtype, device=batch.device).repeat_interleave(len(batch))
        twice, images, before_NE = torch.cat((batch, batch)), torch.cat((images, images)), np.tile(before_NE, (2, 1))
        for d in range(directions.num_directions):
            index = torch.full((len(twice),), d, device=batch.device)
            moved = generator(directions(twice, index, magnitude * signs_N))
            after_NE = embed(moved)
            total["identity"][d] += _cosine(before_NE, after_NE).sum()
            if predictor is not None:
                answers_NA = answers_to(predictor, moved).astype(np.float64)
                if change_DA is None:
                    change_DA = np.zeros((directions.num_directions, answers_NA.shape[1]))
                change_DA[d] += 0.5 * (signs_N.cpu().numpy()[:, None] * answers_NA).sum(axis=0) / len(start)
            if judge is not None:
                total["distance"][d] += judge(images, moved).sum()
            if wishes_DE is not None:
                wish_NE = signs_N.cpu().numpy()[:, None] * wishes_DE[d]
                total["alignment"][d] += _cosine(after_NE - before_NE, wish_NE).sum()
    mean = {name: values / (2 * len(start)) for name, values in total.items()}
    judged = "" if distance is None else f"_{distance if isinstance(distance, str) else extractor_name(distance)}"
    return EditEffectsResult(
        score=float(mean["identity"].mean()),
        protocol=f"edit_effects_{extractor_name(extractor)}{judged}_n{len(start)}_magnitude{magnitude:g}",
        num_train=len(start),
        seed=seed if latents is None else None,
        identity=mean["identity"],
        distance=mean.get("distance"),
        alignment=mean.get("alignment"),
        change=change_DA,
        attributes=() if change_DA is None else check_names(attributes, change_DA.shape[1]),
    )
