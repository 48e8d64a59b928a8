"""CMC: two encoders, one of an image's lightness and one of its colour, that agree on the image.

Contrastive Multiview Coding, Tian, Krishnan & Isola, ECCV 2020, https://arxiv.org/abs/1906.05849: the L and ab channels
as the views, each with a network of half the width, contrasted through memory banks of all training images.

Deviations: views leave labelled factors alone unless told otherwise; ``objective="batch"`` contrasts within the batch
and needs no banks; 240 epochs are those of 60,000 images at batch 256.

Shape suffixes: N images, M images of the dataset, K negatives, J feature dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.dataset import ImageDataset
from contrafact.core.encoder import Encoder
from contrafact.core.method import Artefacts, Method
from contrafact.core.ranges import Length, Positive, Rate, Share, Size, Steps, Weight, Width
from contrafact.core.run import Run
from contrafact.losses.contrastive import unit
from contrafact.nn.projected import ProjectedEncoder
from contrafact.nn.resnet import Stem
from contrafact.nn.trainable import EncoderKind
from contrafact.training.gather import gathered, gathered_rows
from contrafact.training.schedule import set_rate
from contrafact.training.views import CMC as CMC_VIEWS
from contrafact.training.views import Views, choose_kinds, is_colourless

Objective = Literal["nce", "infonce", "batch"]
_LOWEST_AB, _HIGHEST_AB = (-86.183, -107.857), (98.233, 94.478)  # of sRGB; what the authors' program scales to −1…1
# sRGB primaries under D65 (IEC 61966-2-1).
_XYZ_OF_RGB = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))


@dataclass(frozen=True)
class CMC(Method):
    """Contrast of lightness and colour.

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16)
    >>> run = cf.methods.CMC.preset("quick", encoder="conv", width=0.1, steps=1, batch_size=8).fit(images, "runs/cmc")
    >>> run.encoder.code_dim // 2, run.encoder(images.batch([0, 1])).shape  # lightness's codes, then colour's
    (13, torch.Size([2, 26]))
    """

    source: ClassVar[Literal["generator", "images"]] = "images"
    yields: ClassVar[tuple[str, ...]] = ("encoder",)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "quick": {
            "encoder": "locatello", "width": 2.0, "steps": 3000, "batch_size": 128,
            "objective": "batch", "temperature": 0.2, "learning_rate": 0.1,
        },
        "tiny": {"encoder": "conv", "feature_dim": 4},
    }  # fmt: skip

    encoder: EncoderKind = "resnet50"
    """Network of each view; none of your own, for it takes two, one of one channel and one of two."""
    width: Width = 1.0
    """Multiplies the channel counts; each of the two networks gets half."""
    stem: Stem = "auto"
    """A ResNet's first layers: imagenet, small, or by the image size."""
    feature_dim: Size = 128
    """Outputs of each linear head."""
    objective: Objective = "nce"
    """Noise-contrastive estimation against the banks, a softmax over the positive and their negatives (infonce), or
    over the batch (batch)."""
    num_negatives: Length = 16_384
    """Negatives K drawn from a bank each step (nce and infonce)."""
    bank_momentum: Share = 0.5
    """Share of its old value that a bank's entry keeps."""
    temperature: Positive = 0.07
    """Temperature τ."""
    augmentations: str = "auto"
    """Changes before the channels are split: auto (crop and flip, less those that destroy a labelled factor), none, or
    some of crop, flip, light, color, grayscale, blur, separated by commas."""
    steps: Steps = 56_280
    """Training steps."""
    batch_size: Size = 256
    """Images per step and process."""
    learning_rate: Rate = 0.03
    """SGD's learning rate; a tenth of it after half, two thirds and five sixths of the steps."""
    weight_decay: Weight = 1e-4
    """SGD's weight decay."""

    def __post_init__(self) -> None:
        """Say why no module can be the encoder, before it is called an unknown name (ValueError)."""
        if isinstance(self.encoder, nn.Module):
            raise ValueError(
                "cmc takes no encoder of your own: it trains two networks, of one channel (lightness) and of two "
                "(colour), and one module cannot be both; use simclr or moco"
            )
        super().__post_init__()

    def check_source(self, source: ImageDataset, run: Run) -> None:
        """Refuse grey images, and views that the images do not have."""
        if source.image_shape[0] != 3:
            raise ValueError(
                f"cmc contrasts lightness with colour, which takes 3 channels, but {source.name} has images of "
                f"{source.image_shape[0]}; use simclr or moco"
            )
        if is_colourless(source):
            raise ValueError(
                f"cmc contrasts lightness with colour, but the images of {source.name} have three equal channels, so "
                "there is no colour to contrast with; use simclr or moco"
            )
        choose_kinds(source, self.augmentations, ("crop", "flip"))

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Contrast each view's features with the other view's bank, both ways."""
        views = Views(choose_kinds(source, self.augmentations, ("crop", "flip")), CMC_VIEWS)
        with run.seeded_init("networks"):
            encoder = LabEncoder(self.encoder, source.image_shape, self.width, self.stem, self.feature_dim, True)
            bank = MemoryBanks(1 if self.objective == "batch" else len(source), self.feature_dim)
        encoder, bank = encoder.to(run.device), bank.to(run.device)
        parameters = list(encoder.parameters())
        optimizer = torch.optim.SGD(parameters, lr=0.0, momentum=0.9, weight_decay=self.weight_decay)
        images_rng, views_rng, negatives_rng = run.numpy_rng("images"), run.rng("views"), run.rng("negatives")
        state = {"encoder": encoder, "bank": bank, "optimizer": optimizer, "images": images_rng, "views": views_rng}
        state["negatives"] = negatives_rng

        for step in run.steps(self.steps, state):
            decays = sum(int(step >= share * self.steps) for share in (1 / 2, 2 / 3, 5 / 6))
            set_rate(optimizer, self.learning_rate * 0.1**decays)
            rows = images_rng.integers(len(source), size=self.batch_size)
            images = views(source.batch(rows).to(run.device), views_rng)
            with run.autocast():
                lightness, color = (unit(z) for z in encoder.project(encoder.encode(images)).chunk(2, dim=1))
            indices_N = torch.from_numpy(rows).to(run.device)
            if self.objective == "batch":
                loss = batch_loss(gathered(lightness, run), gathered(color, run), self.temperature)
            else:
                drawn = torch.randint(len(source), (self.batch_size, self.num_negatives), generator=negatives_rng)
                drawn = drawn.to(run.device)
                loss = torch.stack(
                    [
                        bank.loss(anchor, other, indices_N, drawn, self.temperature, self.objective, run)
                        for anchor, other in ((lightness, 1), (color, 0))
                    ]
                ).sum()
            optimizer.zero_grad(set_to_none=True)
            run.backward(loss, parameters)
            optimizer.step()
            if self.objective != "batch":
                everyone = gathered_rows(indices_N, run)
                for view, features in enumerate((lightness, color)):
                    bank.update(view, everyone, gathered_rows(features, run), self.bank_momentum)
            run.log(loss=loss, agreement=(lightness * color).sum(dim=1).mean())
        return Artefacts(encoder=encoder)


class LabEncoder(Encoder):
    """Codes of an image: those of its lightness, then those of its colour.

    Args:
        kind: network of each.
        image_shape: ``(3, H, W)``.
        width: each network has half of it.
        stem: a ResNet's first layers.
        feature_dim: outputs of each linear head.
        full_range: a and b as the authors' program has them, each −1 to 1 over the colours there are; by default, as in
            files without this argument, both over 110.
    """

    def __init__(
        self,
        kind: EncoderKind,
        image_shape: tuple[int, int, int],
        width: float,
        stem: Stem,
        feature_dim: int,
        full_range: bool = False,
    ) -> None:
        super().__init__()
        channels, height, image_width = image_shape
        self.image_shape = (channels, height, image_width)
        self._arguments = {"kind": kind, "width": width, "stem": stem, "feature_dim": feature_dim}
        self._arguments |= {"full_range": True} if full_range else {}
        self.lightness, self.color = (
            ProjectedEncoder(
                kind, (count, height, image_width), None, width / 2, stem, feature_dim=feature_dim, head_layers=1
            )
            for count in (1, 2)
        )
        self.code_dim = self.lightness.code_dim + self.color.code_dim

    def _split(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Lightness ``(N, 1, H, W)`` and colour ``(N, 2, H, W)`` in CIE Lab, both about −1 to 1."""
        lab = rgb_to_lab(images.float().clamp(0, 1))
        if "full_range" not in self._arguments:
            return lab[:, :1] / 50 - 1, lab[:, 1:] / 110
        low, high = (lab.new_tensor(ends)[:, None, None] for ends in (_LOWEST_AB, _HIGHEST_AB))
        return lab[:, :1] / 50 - 1, (2 * lab[:, 1:] - low - high) / (high - low)

    def encode(self, images: Tensor) -> Tensor:
        lightness, color = self._split(images)
        return torch.cat([self.lightness.encode(lightness), self.color.encode(color)], dim=1)

    def project(self, codes: Tensor) -> Tensor:
        """Both projections side by side ``(N, 2·J)``, not normalised."""
        first, second = codes.split([self.lightness.code_dim, self.color.code_dim], dim=1)
        return torch.cat([self.lightness.project(first), self.color.project(second)], dim=1)

    @property
    def representations(self) -> tuple[str, ...]:
        return ("z",)

    def represent(self, codes: Tensor, name: str) -> Tensor:
        return self.project(codes) if name in self.representations else super().represent(codes, name)

    def arguments(self) -> dict[str, Any]:
        return {**self._arguments, "image_shape": self.image_shape}


def rgb_to_lab(images: Tensor) -> Tensor:
    """CIE L*a*b* (D65) of sRGB images ``(N, 3, H, W)`` in [0, 1]: L* from 0 to 100, a* and b* about ±110 (CIE 15)."""
    linear = torch.where(images > 0.04045, ((images + 0.055) / 1.055) ** 2.4, images / 12.92)
    to_xyz = torch.tensor(_XYZ_OF_RGB, dtype=images.dtype, device=images.device)
    xyz = torch.einsum("xc,nchw->nxhw", to_xyz / to_xyz.sum(dim=1, keepdim=True), linear)  # white is (1, 1, 1)
    root = torch.where(xyz > (6 / 29) ** 3, xyz.clamp_min(1e-9) ** (1 / 3), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = root.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


class MemoryBanks(nn.Module):
    """The latest features of every image of the dataset, one bank per view.

    Args:
        size: M.
        dimensions: J.
    """

    features: Tensor
    normalisers: Tensor

    def __init__(self, size: int, dimensions: int) -> None:
        super().__init__()
        self.register_buffer("features", F.normalize(torch.randn(2, size, dimensions), dim=2))
        self.register_buffer("normalisers", torch.zeros(2))  # 0 until the first batch estimates them

    def loss(
        self,
        anchor_NJ: Tensor,
        other: int,
        own_N: Tensor,
        drawn_NK: Tensor,
        temperature: float,
        objective: Objective,
        run: Run | None = None,
    ) -> Tensor:
        """Anchors of one view against their own images and the drawn ones in the ``other`` view's bank; scalar.

        ``infonce``: cross-entropy of the own among all. ``nce``: binary cross-entropy of h/(h + K/M) with
        h = exp(similarity/τ)/Z; Z is M times the mean of exp(similarity/τ) in the first batch of all processes.
        """
        bank = self.features[other]
        candidates = bank[torch.cat([own_N[:, None], drawn_NK], dim=1)]
        logits = torch.einsum("nj,nkj->nk", anchor_NJ, candidates) / temperature
        if objective == "infonce":
            return -logits.log_softmax(dim=1)[:, 0].mean()
        with torch.no_grad():
            estimate = logits.exp().mean().view(1) * len(bank)
            estimate = (estimate if run is None else gathered_rows(estimate, run)).mean()
            self.normalisers[other] = torch.where(self.normalisers[other] > 0, self.normalisers[other], estimate)
        noise = torch.tensor(drawn_NK.shape[1] / len(bank), device=logits.device).log()
        odds = logits - self.normalisers[other].log() - noise
        return -(F.logsigmoid(odds[:, 0]) + F.logsigmoid(-odds[:, 1:]).sum(dim=1)).mean()

    @torch.no_grad()
    def update(self, view: int, indices_N: Tensor, features_NJ: Tensor, momentum: float) -> None:
        """Move the images' entries towards their new features, on the sphere."""
        mixed = momentum * self.features[view, indices_N] + (1 - momentum) * features_NJ
        self.features[view, indices_N] = F.normalize(mixed, dim=1)


def batch_loss(first_NJ: Tensor, second_NJ: Tensor, temperature: float) -> Tensor:
    """InfoNCE within the batch, both ways: each feature's own other view against all other views."""
    logits_NN = first_NJ @ second_NJ.T / temperature
    return -(logits_NN.log_softmax(dim=1).diagonal() + logits_NN.log_softmax(dim=0).diagonal()).mean()
