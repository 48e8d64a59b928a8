"""Encoders of the LORD family: codes of the factors of interest, and a residual for all that is left.

Shape suffixes: N images, F factors, V values of a factor, E dimensions of a factor's code, R residual dimensions,
G encoders side by side, C channels, H height, W width.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.dataset import check_count
from contrafact.core.encoder import Encoder
from contrafact.nn.encoders import num_halvings
from contrafact.nn.own_encoder import Backbone, HeadedEncoder, own_argument
from contrafact.nn.trainable import EncoderChoice, fresh_encoder

LateKernel = Literal[2, 4]
"""Side of the kernels in the second half of a small encoder's convolutions; in the first half it is 4."""
SPREAD = 0.05
"""Rows of latents start uniform in ±SPREAD, as in LORD's release."""
_HIDDEN = 256


class ParallelEncoders(nn.Module):
    """G small convolutional encoders of the same images, run as one by grouped convolution.

    Each is the encoder of Locatello et al. 2019: stride-2 convolutions with 32, 32, 64, 64 channels (one per halving
    down to about 4×4), then linear 256 and the outputs.

    Args:
        image_shape: ``(C, H, W)``.
        num_encoders: G.
        outputs: numbers each gives.
        width: multiplies every channel count.
        late_kernel: side of the kernels of the second half of the convolutions, 2 (theirs) or 4; the first half's is 4.

    Raises:
        ValueError: another side.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        num_encoders: int,
        outputs: int,
        width: float = 1.0,
        late_kernel: int = 4,
    ) -> None:
        super().__init__()
        if late_kernel not in (2, 4):
            raise ValueError(f"late_kernel is the side of the later kernels, 2 or 4; got {late_kernel}")
        channels, height, image_width = image_shape
        halvings = num_halvings(height, image_width)
        sizes = [max(4, round(c * width)) for c in [32, 32, *[64] * halvings][:halvings]]
        hidden = max(8, round(_HIDDEN * width))
        self.num_encoders, count = num_encoders, num_encoders
        layers: list[nn.Module] = [nn.Conv2d(channels, count * sizes[0], 4, stride=2, padding=1), nn.ReLU(inplace=True)]
        for number, (before, after) in enumerate(itertools.pairwise(sizes), start=1):
            kernel = 4 if number < (halvings + 1) // 2 else late_kernel
            layers += [
                nn.Conv2d(count * before, count * after, kernel, stride=2, padding=kernel // 2 - 1, groups=count),
                nn.ReLU(inplace=True),
            ]
        self.convolutions = nn.Sequential(*layers)
        flat = sizes[-1] * (height // 2**halvings) * (image_width // 2**halvings)
        self.weights = nn.ParameterList(
            torch.empty(count, i, o).uniform_(-(i**-0.5), i**-0.5) for i, o in ((flat, hidden), (hidden, outputs))
        )
        self.biases = nn.ParameterList(torch.zeros(count, 1, o) for o in (hidden, outputs))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    def forward(self, images: Tensor) -> Tensor:
        """Outputs ``(N, G, outputs)``."""
        features = self.convolutions(images.contiguous(memory_format=torch.channels_last))
        flat_GNI = features.unflatten(1, (self.num_encoders, -1)).flatten(2).transpose(0, 1)
        hidden = F.relu_(torch.baddbmm(self.biases[0], flat_GNI, self.weights[0]))
        outputs: Tensor = torch.baddbmm(self.biases[1], hidden, self.weights[1]).transpose(0, 1)
        return outputs


def parallel_encoders(
    image_shape: tuple[int, int, int],
    num_encoders: int,
    outputs: int,
    width: float = 1.0,
    own: Backbone = None,
    late_kernel: int = 4,
) -> ParallelEncoders | HeadedEncoder:
    """Encoders side by side; or one copy of somebody's module in the place of all, a linear layer on it for each."""
    if own is None:
        return ParallelEncoders(image_shape, num_encoders, outputs, width, late_kernel)
    return HeadedEncoder(own, image_shape, outputs, groups=num_encoders)


class FactorEncoder(Encoder):
    """An encoder whose codes are F factors of E dimensions each, with a residual kept apart.

    Attributes:
        factor_names: F names.
        factor_dim: E.
        residual_dim: R.
    """

    factor_names: tuple[str, ...]
    factor_dim: int
    residual_dim: int

    @abstractmethod
    def residual(self, images: Tensor) -> Tensor:
        """Residual ``(N, R)`` of images ``(N, C, H, W)``."""

    def latent(self, images: Tensor) -> Tensor:
        """What the generator takes: codes, then residual, ``(N, F·E + R)``."""
        return torch.cat([self(images), self.residual(images)], dim=1)

    def factor_arguments(self) -> dict[str, Any]:
        """Constructor arguments that every kind shares."""
        return {
            "image_shape": self.image_shape,
            "factor_names": self.factor_names,
            "factor_dim": self.factor_dim,
            "residual_dim": self.residual_dim,
        }


def embedded(rows_FVE: Tensor, values_NF: Tensor, shares_NF: Tensor | None = None) -> Tensor:
    """Codes ``(N, F, E)``: the rows of values, or ``shares_NF`` of the way to the next ones.

    >>> embedded(torch.tensor([[[0.0], [4.0]]]), torch.tensor([[0]]), torch.tensor([[0.25]])).item()
    1.0
    """
    factors = torch.arange(len(rows_FVE), device=values_NF.device)[None]
    codes = rows_FVE[factors, values_NF]
    if shares_NF is None:
        return codes
    above = rows_FVE[factors, (values_NF + (shares_NF > 0).long())]
    return torch.lerp(codes, above, shares_NF[..., None].to(codes.dtype))


def residual_dim_of(encoder: Encoder) -> int:
    """How many numbers an encoder keeps beside its codes of labelled factors; 0 where nothing says so.

    A :class:`FactorEncoder`'s residual; or, where ``note["supervised_codes"]`` names the factors that the first codes
    were taught, as a semi-supervised VAE's does, the other codes.

    >>> residual_dim_of(AssignedEncoder((1, 8, 8), ["hue"], [3], residual_dim=5, width=0.1))
    5
    """
    if isinstance(encoder, FactorEncoder):
        return encoder.residual_dim
    taught = len(encoder.note.get("supervised_codes", ()))
    return encoder.code_dim - taught if taught else 0


class ResidualOf(Encoder):
    """What an encoder keeps beside its codes of labelled factors, so that a probe can say what leaked into it.

    Args:
        encoder: one of which :func:`residual_dim_of` knows a residual.

    Raises:
        ValueError: it has none.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder, self.image_shape, self.code_dim = encoder, encoder.image_shape, residual_dim_of(encoder)
        if self.code_dim < 1:
            raise ValueError(
                f"{type(encoder).__name__} has no residual: expected an encoder of labelled factors that keeps other "
                "codes beside theirs; train one with --labels, such as zerodim or semi_supervised_vae"
            )
        self.eval()

    def encode(self, images: Tensor) -> Tensor:
        if isinstance(self.encoder, FactorEncoder):
            return self.encoder.residual(images)
        return self.encoder.encode(images)[:, -self.code_dim :]


def parts_of(
    factor_names: Sequence[str], factor_dim: int, residual_dim: int, extra_dim: int = 0
) -> dict[str, tuple[int, int]]:
    """Columns ``(first, last)``, last excluded, of each factor, of what goes with them, and of the residual.

    >>> parts_of(["hue", "size"], 1, 3)
    {'hue': (0, 1), 'size': (1, 2), 'residual': (2, 5)}
    """
    parts = {name: (f * factor_dim, (f + 1) * factor_dim) for f, name in enumerate(factor_names)}
    place = len(factor_names) * factor_dim
    for name, dim in (("correlated", extra_dim), ("residual", residual_dim)):
        if dim:
            parts[name] = (place, place + dim)
        place += dim
    return parts


class AssignedEncoder(FactorEncoder):
    """ZeroDIM's: a classifier per factor; a code is the mean of the values' embeddings, weighted by the classifier.

    Args:
        image_shape: ``(C, H, W)``.
        factor_names: F names.
        factor_sizes: F numbers of values.
        factor_dim: E.
        residual_dim: R, 0 for none.
        width: multiplies every channel count.
        own: a module that reads the images for all classifiers, and, another copy, for the residual.
        late_kernel: side of the small networks' later kernels, 2 or 4.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        factor_names: Sequence[str],
        factor_sizes: Sequence[int],
        factor_dim: int = 1,
        residual_dim: int = 7,
        width: float = 1.0,
        own: Backbone = None,
        late_kernel: int = 4,
    ) -> None:
        super().__init__()
        channels, height, image_width = image_shape
        self.image_shape = (check_count("channels", channels), height, image_width)
        self.factor_names, self.factor_sizes = tuple(factor_names), tuple(factor_sizes)
        if len(self.factor_names) != len(self.factor_sizes):
            raise ValueError(
                f"expected a size for each of {len(self.factor_names)} factors, got {len(self.factor_sizes)} sizes"
            )
        self.factor_dim, self.residual_dim, self.width = check_count("factor_dim", factor_dim), residual_dim, width
        self.code_dim = len(self.factor_names) * factor_dim
        most = max(self.factor_sizes)
        self._own, self.late_kernel = own_argument(own), late_kernel
        self.classifiers = parallel_encoders(self.image_shape, len(self.factor_names), most, width, own, late_kernel)
        spread = (2 * torch.rand(len(self.factor_names), most, factor_dim) - 1) * SPREAD
        self.embeddings = nn.Parameter(spread)
        self.residual_encoder = _residual_encoder(self.image_shape, residual_dim, width, own, late_kernel)
        absent = torch.arange(most)[None] >= torch.tensor(self.factor_sizes)[:, None]
        self.register_buffer("absent", absent, persistent=False)

    absent: Tensor

    @torch.no_grad()
    def space_values(self, most: float) -> None:
        """Put every factor's values evenly in [−most, most], in their order, along its code's first dimension."""
        for row_VE, size in zip(self.embeddings, self.factor_sizes, strict=True):
            row_VE[:size, 0] = torch.linspace(-most, most, size)

    def logits(self, images: Tensor) -> Tensor:
        """Classifier logits ``(N, F, V)``; values a factor does not have are at −∞."""
        logits: Tensor = self.classifiers(images)
        return logits.float().masked_fill(self.absent, -torch.inf)

    def assign(self, logits_NFV: Tensor) -> Tensor:
        """Codes ``(N, F, E)``: softmax-weighted mean embeddings; no gradient reaches the embeddings."""
        return torch.einsum("nfv,fve->nfe", logits_NFV.softmax(dim=2), self.embeddings.detach())

    def embed(self, values_NF: Tensor, shares_NF: Tensor | None = None) -> Tensor:
        """Codes ``(N, F, E)`` of known values ``(N, F)``, or of places between them and the next ones."""
        return embedded(self.embeddings, values_NF, shares_NF)

    def encode(self, images: Tensor) -> Tensor:
        return self.assign(self.logits(images)).flatten(1)

    def residual(self, images: Tensor) -> Tensor:
        residual: Tensor = self.residual_encoder(images)
        return residual.float()[:, 0, : self.residual_dim]

    def arguments(self) -> dict[str, Any]:
        # A file that does not say has kernels of 4 throughout, as those of earlier versions.
        kernel = {} if self.late_kernel == 4 else {"late_kernel": self.late_kernel}
        sizes = {"factor_sizes": self.factor_sizes, "width": self.width}
        return {**self.factor_arguments(), **sizes, **kernel, **self._own}


class RegressedEncoder(FactorEncoder):
    """LORD's second stage: two encoders that regress the codes and the residual.

    Args:
        image_shape: ``(C, H, W)``.
        factor_names: F names.
        factor_dim: E.
        residual_dim: R, 0 for none.
        width: multiplies every channel count.
        extra_dim: further codes after the factors', such as OverLORD's correlated attributes.
        own: a module that reads the images for the codes, and, another copy, for the residual.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        factor_names: Sequence[str],
        factor_dim: int = 1,
        residual_dim: int = 7,
        width: float = 1.0,
        extra_dim: int = 0,
        own: Backbone = None,
    ) -> None:
        super().__init__()
        channels, height, image_width = image_shape
        self.image_shape = (check_count("channels", channels), height, image_width)
        self.factor_names, self.width = tuple(factor_names), width
        self.factor_dim, self.residual_dim = check_count("factor_dim", factor_dim), residual_dim
        self.extra_dim, self.code_dim = extra_dim, len(self.factor_names) * factor_dim + extra_dim
        self._own = own_argument(own)
        self.code_encoder = parallel_encoders(self.image_shape, 1, self.code_dim, width, own)
        self.residual_encoder = _residual_encoder(self.image_shape, residual_dim, width, own)

    def encode(self, images: Tensor) -> Tensor:
        codes: Tensor = self.code_encoder(images)
        return codes.float()[:, 0]

    def residual(self, images: Tensor) -> Tensor:
        residual: Tensor = self.residual_encoder(images)
        return residual.float()[:, 0, : self.residual_dim]

    def arguments(self) -> dict[str, Any]:
        return {**self.factor_arguments(), "width": self.width, "extra_dim": self.extra_dim, **self._own}


def _residual_encoder(
    image_shape: tuple[int, int, int], residual_dim: int, width: float, own: Backbone, late_kernel: int = 4
) -> ParallelEncoders | HeadedEncoder:
    """One encoder of R outputs; where there is no residual, one that nothing reads, and no copy of a module."""
    return parallel_encoders(image_shape, 1, max(1, residual_dim), width, own if residual_dim else None, late_kernel)


class SharedEncoder(FactorEncoder):
    """ContraLORD's: one network, with a linear head each for the discriminative, the content and the residual code.

    Its codes are the content's where factors are annotated. Else they are the network's features, which linear probes
    read, as they read MoCo's and SimCLR's; the two codes made of them are its representations.

    Args:
        image_shape: ``(C, H, W)``.
        factor_names: F names; ``("content",)`` where no factor is annotated.
        factor_dim: E.
        residual_dim: R, 0 for none.
        discriminative_dim: dimensions of the discriminative code, 0 for none.
        encoder: ``conv``, ``locatello``, ``resnet18``, ``resnet34``, ``resnet50``, or a module.
        width: multiplies the network's channel counts.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        factor_names: Sequence[str],
        factor_dim: int = 1,
        residual_dim: int = 7,
        discriminative_dim: int = 0,
        encoder: EncoderChoice = "resnet50",
        width: float = 1.0,
    ) -> None:
        super().__init__()
        self.factor_names, self.factor_dim = tuple(factor_names), check_count("factor_dim", factor_dim)
        self.residual_dim, self.discriminative_dim = residual_dim, discriminative_dim
        # A dictionary holds a module without making it a part of this one.
        self._arguments = {"discriminative_dim": discriminative_dim, "encoder": encoder, "width": width}
        self.trunk = fresh_encoder(encoder, image_shape, None, width)
        self.image_shape = self.trunk.image_shape
        self.sizes = [discriminative_dim, len(self.factor_names) * factor_dim, residual_dim]
        self.code_dim = self.trunk.code_dim if discriminative_dim else self.sizes[1]
        self.heads = nn.Linear(self.trunk.code_dim, sum(self.sizes))

    def split(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Discriminative ``(N, D)``, content ``(N, F·E)`` and residual ``(N, R)`` code; D and R may be 0."""
        return self._read(self.trunk.encode(images))

    def _read(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        every: Tensor = self.heads(F.relu(features))
        discriminative, content, residual = every.float().split(self.sizes, dim=1)
        return discriminative, content, residual

    def encode(self, images: Tensor) -> Tensor:
        return self.trunk.encode(images) if self.discriminative_dim else self.split(images)[1]

    @property
    def representations(self) -> tuple[str, ...]:
        return ("discriminative", "content") if self.discriminative_dim else ()

    def represent(self, codes: Tensor, name: str) -> Tensor:
        if name not in self.representations:
            return super().represent(codes, name)
        return self._read(codes)[self.representations.index(name)]

    def residual(self, images: Tensor) -> Tensor:
        return self.split(images)[2]

    def latent(self, images: Tensor) -> Tensor:
        return torch.cat(self.split(images), dim=1)

    def arguments(self) -> dict[str, Any]:
        return {**self.factor_arguments(), **self._arguments}
