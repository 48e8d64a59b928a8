"""SubInfoMax: parts of an embedding told apart by contrast and a regulariser, with no decoder.

Unsupervised Disentanglement without Autoencoding: Pitfalls and Future Directions, Burns, Sarna, Krishnan & Maschinot,
2021, https://arxiv.org/abs/2108.06613.

The paper gives no optimiser, rate, temperature, batch size or number of steps: SimCLR-like ones stand in. Sums over
the batch are means here (λ has no stated scale), loss inputs have unit length, and the Hessian's gradients are those of
the summed loss with respect to them. Eq. 4's denominator is read with k' for k. Eq. 8 takes every pair of parts.

Shape suffixes: N images of one view, V views (2), P parts, D dimensions of a part, K known factors.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from contrafact.core.dataset import ImageDataset, PairDataset
from contrafact.core.method import Artefacts
from contrafact.core.ranges import CountOrZero, Rate, Size, Steps, Weight
from contrafact.core.run import Run
from contrafact.losses.contrastive import nt_xent_loss, supervised_contrastive_loss, unit
from contrafact.methods._views import ViewContrast
from contrafact.nn.projected import Heads, ProjectedEncoder
from contrafact.nn.trainable import EncoderChoice
from contrafact.training.gather import gathered, gathered_rows
from contrafact.training.pairs import draw_pairs
from contrafact.training.schedule import set_rate, warmup_cosine
from contrafact.training.views import SIMCLR_SMALL, Views, choose_kinds

Regulariser = Literal["none", "infomin", "ortho", "permuted_ortho", "hessian"]
_QUICK = {
    "encoder": "resnet18",
    "width": 0.25,
    "stem": "imagenet",
    "steps": 800,
    "warmup_steps": 100,
    "batch_size": 128,
    "temperature": 0.1,
    "weight": 0.001,
}


@dataclass(frozen=True)
class SubInfoMax(ViewContrast):
    """InfoMax on parts of the projection, with a regulariser between them (Eq. 3).

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16)
    >>> run = cf.methods.SubInfoMax.preset("quick", width=0.1, steps=1, batch_size=8).fit(images, "runs/sub-infomax")
    >>> run.encoder.num_parts, "z" in run.encoder.representations
    (2, True)
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "ceiling": {"positives": "disjoint_labels", "heads": "none"},
        "quick": _QUICK,
        "tiny": {"encoder": "conv", "positives": "pair"},
    }

    regulariser: Regulariser = "none"
    """R: none, infomin (Eq. 4), ortho (Eq. 5), permuted_ortho (Eq. 6) or hessian (Eq. 8)."""
    weight: Weight = 0.1
    """Weight λ of the regulariser; the paper tries 0.001 and 0.1."""
    num_parts: Size = 2
    """Sub-embeddings K; must divide r and, with a joint head, z."""
    heads: Heads | None = None
    """separate (one per part of r), joint (one on r, z is sliced) or none (z is r); empty: joint for hessian, else
    separate."""
    infomax: Literal["parts", "whole"] | None = None
    """InfoMax on each part (Eq. 2) or on the whole z (Eq. 1); empty: whole for hessian, else parts."""
    hessian: Literal["per_sample", "batch"] = "per_sample"
    """Eq. 8 of each sample's gradient, averaged, or of the gradients' outer products summed over the batch."""
    positives: Literal["pair", "joint_labels", "disjoint_labels"] = "pair"
    """Positives of a view: its other view (Eq. 1), all views of equal held factors, or, for part k, of equal kth held
    factor (the supervised ceiling of Table 1). Labels need a dataset of pairs, such as mnist-stl."""
    augmentations: str = "auto"
    """Changes of views: auto (those that leave held factors alone), none, or some of crop, flip, light, color,
    grayscale, blur, separated by commas."""
    encoder: EncoderChoice = "resnet34"
    """Network that makes r."""
    feature_dim: Size | None = None
    """Outputs of a head; empty: 8 for separate heads, 8 per part for a joint one."""
    head_norm: bool = True
    """Batch normalisation in the heads, as in SimCLR's program; without it InfoMax stays at chance for much longer."""
    steps: Steps = 78_000
    """Training steps (the paper shows more than 55,000)."""
    warmup_steps: CountOrZero = 3900
    """Steps over which the learning rate rises (10 epochs)."""
    batch_size: Size = 256
    """Pairs per step and process."""
    learning_rate: Rate = 0.5
    """SGD's learning rate for 256 pairs; scaled by the pairs of a step over 256."""

    def check_options(self) -> None:
        """Refuse parts that nothing tells apart, and code dimensions that do not divide into the parts."""
        if self.regulariser != "none" and self.num_parts < 2:
            raise ValueError(f"{self.regulariser} works between parts; num_parts must be at least 2, got 1")
        if self.positives == "disjoint_labels" and self._over_whole():
            raise ValueError("disjoint labels give each part its own; set infomax=parts")

    def check_source(self, source: ImageDataset, run: Run) -> None:
        """Refuse images without the pairs or the views that are asked for."""
        _held_columns(source, self.positives, self.num_parts)
        choose_kinds(source, self.augmentations)

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Minimise InfoMax plus the weighted regulariser over view pairs."""
        held = _held_columns(source, self.positives, self.num_parts)
        views = Views(choose_kinds(source, self.augmentations), SIMCLR_SMALL)
        with run.seeded_init("networks"):
            encoder = self._networks(source.image_shape).to(run.device)
        parameters = list(encoder.parameters())
        optimizer = torch.optim.SGD(parameters, lr=0.0, momentum=0.9, weight_decay=self.weight_decay)
        pairs_rng, views_rng = run.numpy_rng("pairs"), run.rng("views")
        permutation_rng = run.rng("permutation", shared=True)
        state = {"encoder": encoder, "optimizer": optimizer, "pairs": pairs_rng, "views": views_rng}
        state["permutation"] = permutation_rng
        rate = self.learning_rate * self.batch_size * run.world_size / 256

        for step in run.steps(self.steps, state):
            set_rate(optimizer, rate * warmup_cosine(step, self.steps, self.warmup_steps))
            images_VN, factors_VNK = draw_pairs(source, self.batch_size, pairs_rng)
            labels = None
            if factors_VNK is not None:
                labels = torch.stack([gathered_rows(view, run) for view in factors_VNK.to(run.device)])
            images = views(images_VN.flatten(0, 1).to(run.device), views_rng)
            with run.autocast():
                z = encoder.project(encoder.encode(images))
            z_VNPD = self._unit_parts(encoder.parts(z.float()).unflatten(0, (2, -1)), run)
            infomax_P = self._infomax(z_VNPD, labels, held)
            regulariser = self._regulariser(z_VNPD, infomax_P, permutation_rng)
            loss = infomax_P.sum() + self.weight * regulariser
            optimizer.zero_grad(set_to_none=True)
            run.backward(loss, parameters)
            optimizer.step()
            named = {} if self.regulariser == "none" else {self.regulariser: regulariser}
            run.log(loss=loss, infomax=infomax_P.sum(), **named, **_each(infomax_P))
        return Artefacts(encoder=encoder)

    def _networks(self, image_shape: tuple[int, int, int]) -> ProjectedEncoder:
        heads: Heads = self.heads or ("joint" if self.regulariser == "hessian" else "separate")
        feature_dim = self.feature_dim or (8 * self.num_parts if heads == "joint" else 8)
        return ProjectedEncoder(
            *self.body(image_shape),
            heads,
            feature_dim,
            head_norm=self.head_norm,
            num_parts=self.num_parts,
        )

    def _over_whole(self) -> bool:
        return (self.infomax or ("whole" if self.regulariser == "hessian" else "parts")) == "whole"

    def _unit_parts(self, z_VNPD: Tensor, run: Run) -> Tensor:
        """z of all processes' images, of unit length as a whole or part by part, whichever InfoMax sees."""
        scaled = unit(z_VNPD.flatten(2)).view(z_VNPD.shape) if self._over_whole() else unit(z_VNPD)
        return torch.stack([gathered(view, run) for view in scaled])

    def _infomax(self, z_VNPD: Tensor, labels_VNK: Tensor | None, held: list[list[int]]) -> Tensor:
        """InfoMax of every part (Eq. 2), or of the whole (Eq. 1), each a mean over anchors: ``(P,)`` or ``(1,)``."""
        parts = [z_VNPD.flatten(2)] if self._over_whole() else list(z_VNPD.unbind(2))
        losses = []
        for part, columns in zip(parts, held, strict=False):
            if labels_VNK is None or not columns:
                losses.append(nt_xent_loss(part[0], part[1], self.temperature))
                continue
            classes = torch.unique(labels_VNK[..., columns].flatten(0, 1), dim=0, return_inverse=True)[1]
            losses.append(supervised_contrastive_loss(part.flatten(0, 1), classes, self.temperature))
        return torch.stack(losses)

    def _regulariser(self, z_VNPD: Tensor, infomax_P: Tensor, rng: torch.Generator) -> Tensor:
        if self.regulariser == "infomin":
            return infomin(unit(z_VNPD), self.temperature)
        if self.regulariser == "ortho":
            return orthogonality(z_VNPD)
        if self.regulariser == "permuted_ortho":
            return orthogonality(z_VNPD, torch.randperm(z_VNPD.shape[-1], generator=rng))
        if self.regulariser == "hessian":
            return hessian_blocks(infomax_P.sum(), z_VNPD, self.hessian)
        return z_VNPD.new_zeros(())


def infomin(z_VNPD: Tensor, temperature: float) -> Tensor:
    """Eq. 4: log-share of a sample's part k' among all samples' in the batch, seen from its part k, inside a view.

    Summed over ordered pairs of parts and over views, mean over samples; minimised, so that one part tells less of the
    other.

    Args:
        z_VNPD: unit-length parts.
        temperature: τ.
    """
    logits = torch.einsum("vipd,vaqd->vpqia", z_VNPD, z_VNPD) / temperature
    own_VPQN = logits.log_softmax(dim=-1).diagonal(dim1=-2, dim2=-1)
    other_PQ = ~torch.eye(z_VNPD.shape[2], dtype=torch.bool, device=z_VNPD.device)
    return own_VPQN.mean(dim=-1).sum(dim=0)[other_PQ].sum()


def orthogonality(z_VNPD: Tensor, permutation_D: Tensor | None = None) -> Tensor:
    """Eqs 5 and 6: |cosine| of a sample's part k with part k' of itself and of its positive.

    Summed over ordered pairs of parts and over the two, mean over all 2N samples.

    Args:
        z_VNPD: parts of any length; view 1 holds the positives of view 0 and the other way round.
        permutation_D: order of part k's coordinates before the product (Eq. 6).
    """
    z_VNPD = unit(z_VNPD)
    first = z_VNPD if permutation_D is None else z_VNPD[..., permutation_D.to(z_VNPD.device)]
    cosine_VWNPQ = torch.einsum("vipd,wiqd->vwipq", first, z_VNPD)
    other_PQ = ~torch.eye(z_VNPD.shape[2], dtype=torch.bool, device=z_VNPD.device)
    # Over v and i it is a mean, over w (itself and its positive) and pairs of parts a sum.
    return cosine_VWNPQ.abs().mean(dim=(0, 2)).sum(dim=0)[other_PQ].sum()


def hessian_blocks(infomax: Tensor, z_VNPD: Tensor, reading: Literal["per_sample", "batch"] = "per_sample") -> Tensor:
    """Eq. 8: Frobenius norm of the off-diagonal blocks of the Gauss–Newton Hessian g gᵀ of InfoMax; needs its graph.

    Args:
        infomax: mean over anchors; the gradient g is that of their sum, so the norm does not shrink with the batch.
        z_VNPD: what ``infomax`` was computed from.
        reading: ``per_sample``: √Σ_{k<k'} ‖g_k‖²‖g_k'‖², mean over samples; ``batch``: √Σ_{k<k'} ‖G_kᵀ G_k'‖² / 2N with
            all samples' gradients as the rows of G.
    """
    (gradient,) = torch.autograd.grad(infomax, z_VNPD, create_graph=True)
    g_SPD = gradient.flatten(0, 1) * (gradient.shape[0] * gradient.shape[1])
    pairs = list(itertools.combinations(range(g_SPD.shape[1]), 2))
    first, second = (list(side) for side in zip(*pairs, strict=True))
    tiny = torch.finfo(g_SPD.dtype).tiny  # √0 has no derivative
    if reading == "per_sample":
        energy_SP = g_SPD.square().sum(dim=-1)
        return (energy_SP[:, first] * energy_SP[:, second]).sum(dim=1).clamp_min(tiny).sqrt().mean()
    blocks = torch.einsum("spd,spe->pde", g_SPD[:, first], g_SPD[:, second])
    return blocks.square().sum().clamp_min(tiny).sqrt() / len(g_SPD)


def _held_columns(source: ImageDataset, positives: str, num_parts: int) -> list[list[int]]:
    """Factor columns whose equality makes two views of each part positives; none where a pair alone does."""
    if positives == "pair":
        return [[] for _ in range(num_parts)]
    if not isinstance(source, PairDataset):
        raise ValueError(
            f"positives={positives} needs labelled pairs, such as mnist-stl:dc-bc; {source.name} has none. Use "
            "positives=pair"
        )
    columns = [source.factor_names.index(name) for name in source.held]
    if positives == "joint_labels":
        return [columns for _ in range(num_parts)]
    if num_parts != len(columns):
        raise ValueError(
            f"disjoint labels give each part one held factor: {source.name} holds {', '.join(source.held)}, but "
            f"num_parts is {num_parts}"
        )
    return [[column] for column in columns]


def _each(infomax_P: Tensor) -> dict[str, Tensor]:
    return {f"infomax_{k}": value for k, value in enumerate(infomax_P)} if len(infomax_P) > 1 else {}
