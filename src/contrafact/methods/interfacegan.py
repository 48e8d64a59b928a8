"""InterFaceGAN: the supervised reference: normals of linear boundaries between latents with and without an attribute.

InterFaceGAN: Interpreting the Disentangled Face Representation Learned by GANs, Shen, Yang, Tang & Zhou, TPAMI 2020,
https://arxiv.org/abs/2005.09635 (CVPR 2020: https://arxiv.org/abs/1907.10786). Images are generated, an attribute
predictor scores them, a linear support vector machine separates the latents of the highest scores from those of the
lowest, and its unit normal is the direction; a conditional one is that less its part in the span of other normals.

Deviations: attributes whose highest and lowest scores are the same are refused (the release splits ties at random);
directions are conditioned on any number of others by one least-squares projection.

Shape suffixes: N latents, L latent dimensions, A attributes, C conditions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from contrafact.core.catalog import unknown_name_message
from contrafact.core.directions import GlobalDirections
from contrafact.core.generator import Generator
from contrafact.core.method import Artefacts, Method
from contrafact.core.metric import FloatArray
from contrafact.core.ranges import Count, Keep, Layer, Positive, Range, Share
from contrafact.core.run import Run
from contrafact.nn.attributes import load_predictor, no_predictor_message

Judge = Callable[[Tensor, Sequence[str]], Tensor]
"""Latents ``(N, L)`` and A attributes to scores ``(N, A)``."""

OTHERS = "others"
IMAGES_AT_ONCE = 256


@dataclass(frozen=True)
class InterFaceGAN(Method):
    """One direction per attribute of a predictor.

    >>> import contrafact as cf
    >>> scene = cf.load_generator("analytic", {"size": 16})
    >>> run = cf.methods.InterFaceGAN(num_latents=400, chosen=0.1).fit(scene, "runs/interfacegan")
    >>> run.directions.names[:3]  # the scene knows its own attributes; elsewhere a predictor is named
    ['x', 'y', 'size']
    """

    source: ClassVar[Literal["generator", "images"]] = "generator"
    yields: ClassVar[tuple[str, ...]] = ("directions", "generator")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"num_latents": 20_000, "chosen": 0.05},
        "tiny": {"num_latents": 400, "chosen": 0.1},
    }

    predictor: str | None = None
    """Attribute predictor: a run of attribute_predictor, its encoder.safetensors, FILE.py:FUNCTION, faces, or
    silhouette; empty: the true factors of a generator that knows them (analytic)."""
    attributes: tuple[str, ...] = ()
    """Attributes to find, such as "floor hue", or "floor hue:3" for one value against the others; by default all."""
    condition_on: tuple[str, ...] = ()
    """Attributes that must not change: directions are made orthogonal to theirs; "others" for all others found."""
    first_layer: Layer | None = None
    """First layer of a style-based generator the directions act on; empty for all."""
    last_layer: Layer | None = None
    """One past the last such layer."""
    num_latents: Count = 500_000
    """Images generated and scored."""
    truncation: Share | None = None
    """Truncation of their latents, in [0, 1]: 1 for none; by default the generator's own."""
    chosen: Annotated[float, Range(above=0, at_most=0.5)] = 0.02
    """Share of them with the highest scores that count as positive, and of the lowest as negative."""
    held_out: Keep = 0.3
    """Share of those kept from fitting, to measure the boundary's accuracy on."""
    penalty: Positive = 1.0
    """Cost C of a latent on the wrong side of the boundary."""

    def check_source(self, source: Generator, run: Run) -> None:
        """Refuse attributes nobody here can see, and layers or a truncation that the generator does not have."""
        self._judge(source.truncated(self.truncation), run)
        source.layer_range(self.first_layer, self.last_layer)

    def train(self, source: Generator, run: Run) -> Artefacts:
        """Generate, score, separate."""
        judged = source.truncated(self.truncation)
        score, known = self._judge(judged, run)
        names = list(self.attributes or known)
        conditions = [name for name in self.condition_on if name != OTHERS]
        latent_NL = judged.sample(self.num_latents, run.rng("latents"))
        needed = list(dict.fromkeys([*names, *conditions]))
        scores_NA = _scored(score, latent_NL, needed, run)
        places_NL = _places(judged, latent_NL, run)
        found: dict[str, Boundary] = {}
        for name, scores_N in zip(needed, scores_NA.T, strict=True):
            rng = run.numpy_rng(f"boundary {name}")
            try:
                found[name] = boundary(places_NL, scores_N, self.chosen, self.held_out, self.penalty, rng)
            except ValueError as error:
                raise ValueError(f"attribute {name!r}: {error}") from error
        normals = []
        for name in names:
            against = [*conditions, *(names if OTHERS in self.condition_on else [])]
            fixed = [found[other].normal for other in dict.fromkeys(against) if other != name]
            try:
                normals.append(conditioned(found[name].normal, np.array(fixed)))
            except ValueError as error:
                raise ValueError(f"attribute {name!r}: {error}") from error

        layers = source.layer_range(self.first_layer, self.last_layer)
        directions = GlobalDirections(
            source.edit_dim, len(names), "unit", source.latent_scale(), names, layers, source.num_layers,
            source.edit_columns,
        )  # fmt: skip
        with torch.no_grad():
            directions.weight.copy_(torch.from_numpy(np.stack(normals)))
        directions.note = {
            "accuracy": {name: found[name].accuracy for name in names},
            "predictor": self.predictor or "true factors",
            "condition_on": list(self.condition_on),
        }
        return Artefacts(directions=directions.to(run.device), generator=source)

    def _judge(self, source: Generator, run: Run) -> tuple[Judge, Sequence[str]]:
        """What scores latents, and the attributes it knows.

        Raises:
            ValueError: no predictor, and a generator that does not know its factors.
        """
        if self.predictor is not None:
            predictor = load_predictor(self.predictor)
            if isinstance(predictor, nn.Module):
                predictor.to(run.device)
            known = predictor.learn_names(source(source.sample(2, torch.Generator().manual_seed(0))).clamp(0, 1))

            def look(latent_NL: Tensor, names: Sequence[str]) -> Tensor:
                with run.autocast():
                    images = source(latent_NL)
                return predictor.margins(images.float().clamp(0, 1), names)

            return look, known
        known = getattr(source, "factor_names", ())
        factors: Callable[[Tensor], Tensor] | None = getattr(source, "factors", None)
        if not known or factors is None:
            raise ValueError(no_predictor_message("interfacegan", source))
        for name in [*self.attributes, *self.condition_on]:
            if name not in (*known, OTHERS):
                raise ValueError(unknown_name_message("attribute", name, known))
        return (lambda latent, names: factors(latent)[:, [known.index(name) for name in names]]), known


class Boundary(NamedTuple):
    """A linear boundary between latents.

    Attributes:
        normal: unit normal ``(L,)``, towards the positive side.
        accuracy: share of held-out latents on their own side; None without any.
    """

    normal: FloatArray
    accuracy: float | None


@torch.no_grad()
def _scored(score: Judge, latent_NL: Tensor, attributes: Sequence[str], run: Run) -> FloatArray:
    """Scores ``(N, A)`` of all latents, a batch at a time."""
    parts = []
    with run.progress("scoring images", len(latent_NL)) as progress:
        for batch in latent_NL.split(IMAGES_AT_ONCE):
            parts.append(score(batch, attributes).double().cpu().numpy())
            progress.advance(len(batch))
    return np.concatenate(parts)


@torch.no_grad()
def _places(source: Generator, latent_NL: Tensor, run: Run) -> npt.NDArray[Any]:
    """Where latents stand in the edit space: what the boundary lies in."""
    if source.edit_layer is None:
        return source.edit_coordinates(latent_NL).cpu().numpy()
    parts = []
    with run.progress("reading activations", len(latent_NL)) as progress:
        for batch in latent_NL.split(IMAGES_AT_ONCE):
            parts.append(source.edit_coordinates(batch).float().cpu().numpy())
            progress.advance(len(batch))
    return np.concatenate(parts)


def boundary(
    latent_NL: npt.NDArray[Any],
    scores_N: npt.NDArray[Any],
    chosen: Annotated[float, Range(above=0, at_most=0.5)] = 0.02,
    held_out: Keep = 0.3,
    penalty: Positive = 1.0,
    rng: np.random.Generator | None = None,
) -> Boundary:
    """The linear boundary between latents of high and of low scores (a support vector machine's).

    Args:
        latent_NL: latents.
        scores_N: how much of the attribute each one's image has; nan where that cannot be said, which leaves it out.
        chosen: share of the others taken as positive, and as negative.
        held_out: share of those kept to measure accuracy on.
        penalty: C of the support vector machine.
        rng: divides the chosen latents.

    Raises:
        ValueError: no or too few latents that were judged, or scores that are the same at both ends.
    """
    from sklearn.svm import SVC

    judged = np.flatnonzero(~np.isnan(scores_N))
    if not len(judged):
        raise ValueError(f"the predictor could judge none of {len(scores_N)} images")
    count = int(len(judged) * chosen)
    kept = int(count * (1 - held_out))
    if kept < 1:
        raise ValueError(
            f"a share of {chosen:g} of {len(judged)} latents leaves none to separate; raise num_latents or chosen"
        )
    order = judged[np.argsort(scores_N[judged], kind="stable")]
    lowest, highest = order[:count], order[-count:]
    if not scores_N[highest].min() > scores_N[lowest].max():
        raise ValueError(
            f"the {count} highest scores and the {count} lowest overlap (both hold {scores_N[highest].min():.4g}); the "
            "attribute hardly varies in these images: choose another, or a smaller share (chosen)"
        )
    rng = rng or np.random.default_rng(0)
    sides = [rng.permutation(lowest), rng.permutation(highest)]
    fit, test = (np.concatenate([side[part] for side in sides]) for part in (slice(kept), slice(kept, None)))
    machine = SVC(kernel="linear", C=penalty).fit(latent_NL[fit], np.repeat([0, 1], kept))
    truth = np.repeat([0, 1], count - kept)
    accuracy = float((machine.predict(latent_NL[test]) == truth).mean()) if len(test) else None
    normal = machine.coef_[0].astype(np.float64)
    return Boundary(normal / np.linalg.norm(normal), accuracy)


def conditioned(normal_L: FloatArray, conditions_CL: FloatArray) -> FloatArray:
    """The unit vector nearest to ``normal_L`` that is orthogonal to every row of ``conditions_CL``.

    Raises:
        ValueError: nothing is left of it.

    >>> conditioned(np.array([0.6, 0.8]), np.array([[1.0, 0.0]])).tolist()
    [0.0, 1.0]
    """
    if not len(conditions_CL):
        return normal_L
    share = np.linalg.lstsq(conditions_CL.T, normal_L, rcond=None)[0]
    rest: FloatArray = normal_L - conditions_CL.T @ share
    length = np.linalg.norm(rest)
    if length < 1e-6:
        raise ValueError("its direction lies in the span of its conditions, so nothing of it is left; drop some")
    return rest / length
