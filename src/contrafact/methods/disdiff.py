"""DisDiff: a frozen denoiser taken apart into fields, one for each vector of an encoder (Yang et al. 2023).

DisDiff: Unsupervised Disentanglement of Diffusion Probabilistic Models, Yang, Wang, Lu & Zheng, NeurIPS 2023,
https://arxiv.org/abs/2301.13721. A denoiser learns by itself and is frozen. An encoder then makes a vector for each of
K factors of an image, a decoder makes of each a gradient field, and what the denoiser says with all of them added is to
be right. The disentangling loss adds one field alone and encodes the image as it is then predicted: only the vector of
that factor is to have moved (invariant term), and towards the image's own (variant term). Equations and settings are
those of the authors' program (thomasmry/DisDiff).

Deviations: fields are scaled alike in training and in sampling, where the release trains with a coefficient that is a
little smaller at the first times and 0 at time 0; vector and time are told to blocks as one sum, not one after the
other; codes come along each vector's principal axes, in units of the first, which changes nothing of the images; how
long to train is ours, as are the autoencoder's losses (as in ``methods/encdiff.py``). ``quick`` predicts the image
instead of the noise, under squared error with late times, has 8 numbers in a vector, and fields that begin as a copy.

Shape suffixes: N images, K factors, D numbers of a factor's vector.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.dataset import ImageDataset
from contrafact.core.generator import architecture
from contrafact.core.method import Artefacts, load_run
from contrafact.core.ranges import Size, Steps, Weight
from contrafact.core.run import Run
from contrafact.methods._concept_tokens import MULTIPLIERS, QUICK, CodeSettings
from contrafact.methods._noised import NoisedSettings, autoencoder_optimizer, learn_autoencoder
from contrafact.nn.batch_norm_encoder import VectorEncoder
from contrafact.training.momentum import follow, momentum_copy
from contrafact.training.stages import stages


@dataclass(frozen=True)
class DisDiff(NoisedSettings, CodeSettings):
    """A frozen denoiser's gradient, one field for each factor.

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16)
    >>> small = {"width": 0.125, "encoder_width": 0.1, "denoiser_steps": 2, "steps": 2, "decode_steps": 2}
    >>> run = cf.methods.DisDiff.preset("quick", **small).fit(images, "runs/disdiff")
    >>> codes = run.encoder(images.batch([0, 1]))
    >>> codes.shape, run.generator(codes).shape
    (torch.Size([2, 80]), torch.Size([2, 3, 16, 16]))
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "quick": {
            **QUICK,
            "codebook": 0,
            "prediction": "image",
            "distance": "squared",
            "lateness": 3.0,
            "num_factors": 10,
            "factor_dim": 8,
            "denoiser_steps": 300,
            "steps": 300,
            "learning_rate": 2e-3,
            "copied": True,
            "disentangling": 1.0,
        },
        "tiny": {
            "codebook": 16, "levels": 2, "patch": 2, "blocks": 1, "times": 20, "decode_steps": 2, "ema": 0.5,
            "factor_dim": 1,
        },
    }  # fmt: skip

    num_factors: Size = 6
    """Factors K."""
    factor_dim: Size = 32
    """Numbers D of each factor's vector."""
    copied: bool = False
    """Begin the fields' bottleneck and way up as a copy of the denoiser's, which learns sooner, instead of anew."""
    disentangling: Weight = 0.05
    """Weight λ of the disentangling loss; 0 leaves it out (the control)."""
    denoiser_steps: Steps = 300_000
    """Steps that the denoiser trains by itself before it is frozen."""
    denoiser: str | None = None
    """A finished run of disdiff whose frozen denoiser, with its autoencoder, is taken instead of training one."""

    def check_source(self, source: ImageDataset, run: Run) -> None:
        """Refuse a run whose denoiser cannot be taken (ValueError)."""
        if self.denoiser is not None:
            self._taken(source)

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """Train the autoencoder, if there is one, and the denoiser, unless one is given; then encoder and fields."""
        parts = self._parts(source, run)
        encoder, generator, state = parts.encoder, parts.generator, parts.state
        first_stage = None if self.denoiser else generator.first_stage
        autoencoder = autoencoder_optimizer(first_stage, self.autoencoder_rate, state)
        alone = _Learner(self, run, [generator.unet], generator.unet, "denoiser", state)
        fields = _Learner(self, run, [encoder, generator.fields], generator.fields, "fields", state)
        before = (self.autoencoder_steps if autoencoder else 0, 0 if self.denoiser else self.denoiser_steps)
        first, second, third = stages(run, (*before, self.steps), state)
        if autoencoder is not None:
            learn_autoencoder(first, parts, autoencoder, run)
        for step in second:
            _, noise, clean, noised, times_N = self._noised(parts)
            with run.autocast():
                said = generator.alone(noised, times_N)
            loss = self.away(said, noise, clean)
            alone.descend(loss, self.rate(step, self.denoiser_steps))
            run.log(denoiser_loss=loss)
        alone.finish()
        generator.unet.requires_grad_(False)
        for step in third:
            if step == 0 and self.copied:
                generator.fields.begin_as(generator.unet)
                fields.begin()
            images, noise, clean, noised, times_N = self._noised(parts)
            with run.autocast():
                codes = encoder.encode(images)
                said, added = generator.asked_apart(noised, times_N, codes)
            reconstruction = self.away(said + added.sum(dim=1), noise, clean)
            loss, logged = reconstruction, {"reconstruction": reconstruction}
            if self.disentangling:
                chosen_N = torch.randint(self.num_factors, (len(images),), generator=parts.factors).to(run.device)
                with run.autocast():
                    terms = self._terms(parts, codes, said, added, noised, times_N, chosen_N)
                disentangling = (terms.weight * (terms.invariant + terms.variant)).mean()
                loss = loss + self.disentangling * disentangling
                logged |= {name: value.mean() for name, value in terms._asdict().items()}
            fields.descend(loss, self.rate(step))
            run.log(loss=loss, **logged)
        fields.finish()
        return self._artefacts(parts)

    def _noised(self, parts: _Parts) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Images of a step, their noise, what is denoised of them, that with the noise, and the times ``(N,)``."""
        images, generator = parts.batch(), parts.generator
        with torch.no_grad():
            clean = generator.to_denoised(images)
        noise = torch.randn(clean.shape, generator=parts.noise).to(clean.device)
        times_N = self.draw_times(len(images), parts.noise).to(clean.device)
        return images, noise, clean, generator.schedule.noised(clean, noise, times_N), times_N

    def _terms(
        self,
        parts: _Parts,
        codes: Tensor,
        said: Tensor,
        added: Tensor,
        noised: Tensor,
        times_N: Tensor,
        chosen_N: Tensor,
    ) -> Terms:
        """Both terms of each image when the chosen factor's field alone is added, and their weight."""
        generator, one = parts.generator, added[torch.arange(len(added), device=added.device), chosen_N]
        clean, _ = generator.schedule.both(said, noised, times_N, self.prediction)
        moved, _ = generator.schedule.both(said + one, noised, times_N, self.prediction)
        with torch.no_grad():
            seen = parts.read(generator.to_images(clean, nearest=False))
        changed = parts.read(generator.to_images(moved, nearest=False))
        own_NKD, seen_NKD, changed_NKD = (
            part.float().unflatten(1, (self.num_factors, -1)) for part in (codes.detach(), seen, changed)
        )
        weight = (moved - clean).detach().square().flatten(1).mean(dim=1)
        return Terms(*disentangling_terms(own_NKD, seen_NKD, changed_NKD, chosen_N), weight)

    def _parts(self, source: ImageDataset, run: Run) -> _Parts:
        """Fresh networks and random streams, with the denoiser that is given."""
        taken = self._taken(source) if self.denoiser else None
        given = {
            "width": self.width, "multipliers": MULTIPLIERS[: self.levels], "blocks": self.blocks, "heads": self.heads,
            "transformer": self.transformer, "patch": self.patch, "codebook": self.codebook,
            "prediction": self.prediction, "times": self.times,
        }  # fmt: skip
        if taken is not None:
            given = taken.arguments()
        own = {"num_factors": self.num_factors, "factor_dim": self.factor_dim, "steps": self.decode_steps}
        with run.seeded_init("networks"):
            encoder = VectorEncoder(source.image_shape, self.num_factors, self.factor_dim, self.encoder_width)
            generator: Any = architecture("field_diffusion")(**{**given, "image_shape": source.image_shape, **own})
        if taken is not None:
            for name in ("unet", *(["first_stage"] if taken.first_stage is not None else [])):
                getattr(generator, name).load_state_dict(getattr(taken, name).state_dict())
                getattr(generator, name).requires_grad_(False)
            generator.deviation.copy_(taken.deviation)
        return _Parts(source, run, self.batch_size, encoder.to(run.device), generator.to(run.device))

    def _taken(self, source: ImageDataset) -> Any:
        """The generator of the run that is named, whose denoiser fits these images and settings."""
        assert self.denoiser is not None
        generator: Any = load_run(self.denoiser).generator
        if not isinstance(generator, architecture("field_diffusion")):
            raise ValueError(
                f"denoiser {self.denoiser} has a {type(generator).__name__} for its generator; expected the run of "
                "contrafact fit disdiff, whose U-Net was trained without codes"
            )
        if tuple(generator.image_shape) != tuple(source.image_shape):
            raise ValueError(
                f"the denoiser of {self.denoiser} was trained on images of shape {tuple(generator.image_shape)}, these "
                f"have {tuple(source.image_shape)}; choose another --size, or leave out --denoiser"
            )
        if generator.prediction != self.prediction or generator.schedule.times != self.times:
            raise ValueError(
                f"the denoiser of {self.denoiser} says the {generator.prediction} at {generator.schedule.times} times; "
                f"give --prediction {generator.prediction} --times {generator.schedule.times}"
            )
        return generator

    @torch.no_grad()
    def _artefacts(self, parts: _Parts) -> Artefacts:
        """What was learned: vectors along their principal axes, each code drawn as it is distributed, the error."""
        encoder, generator = parts.encoder.eval(), parts.generator
        draw = parts.run.numpy_rng("held out", shared=True)
        batches = [parts.source.random_batch(256, draw).to(parts.run.device) for _ in range(16)]
        codes = torch.cat([encoder.encode(images).float() for images in batches])
        center_KD, axes_KDD = principal_axes(codes.unflatten(1, (self.num_factors, -1)))
        encoder.recoordinate(center_KD, axes_KDD)
        generator.fields.recoordinate(center_KD, axes_KDD)
        generator.fit_prior(torch.cat([encoder.encode(images).float() for images in batches]))
        error = (generator(encoder(batches[0])) - batches[0]).square().mean()
        deviations = (1 / axes_KDD.norm(dim=1)[:, 0]).tolist()
        generator.note = {"mse": round(float(error), 5), "deviations_learned": [round(x, 3) for x in deviations]}
        return Artefacts(encoder=encoder, generator=generator)


class Terms(NamedTuple):
    """The disentangling loss of each image ``(N,)``: its two terms, and what their sum is weighted by."""

    invariant: Tensor
    variant: Tensor
    weight: Tensor


def disentangling_terms(
    own_NKD: Tensor, seen_NKD: Tensor, changed_NKD: Tensor, chosen_N: Tensor
) -> tuple[Tensor, Tensor]:
    """The invariant and the variant term of the disentangling loss, for each image ``(N,)``.

    Cross-entropies that are to tell the factor whose field was added: by how far each vector is from where it was
    without the field, ‖ẑ^{k|c} − ẑ^k‖, and by how much nearer it is to the image's own, ‖ẑ^k − z^k‖ − ‖ẑ^{k|c} − z^k‖.

    Args:
        own_NKD: z, vectors of the image.
        seen_NKD: ẑ, of the image as the denoiser alone predicts it.
        changed_NKD: ẑ^{·|c}, of the image as it is predicted with the field of factor c.
        chosen_N: c.

    >>> own, seen, changed = torch.zeros(1, 3, 2), torch.full((1, 3, 2), 9.0), torch.full((1, 3, 2), 9.0)
    >>> changed[0, 1] = 0.0  # the field of factor 1 brings its vector home, and moves no other
    >>> [bool(term < 1e-4) for term in disentangling_terms(own, seen, changed, torch.tensor([1]))]
    [True, True]
    """
    moved_NK = torch.linalg.vector_norm(changed_NKD - seen_NKD, dim=2)
    before_NK = torch.linalg.vector_norm(seen_NKD - own_NKD, dim=2)
    after_NK = torch.linalg.vector_norm(changed_NKD - own_NKD, dim=2)
    return (
        F.cross_entropy(moved_NK, chosen_N, reduction="none"),
        F.cross_entropy(before_NK - after_NK, chosen_N, reduction="none"),
    )


def principal_axes(vectors_NKD: Tensor) -> tuple[Tensor, Tensor]:
    """Centres ``(K, D)`` and axes ``(K, D, D)``, in columns, of each factor's vectors, the widest first.

    In these coordinates, ``(vector − center) · axes``, the first number has deviation 1; the others are in its unit.

    >>> vectors = torch.tensor([[[3.0, 0.0]], [[-3.0, 1.0]], [[3.0, 2.0]], [[-3.0, 1.0]]])
    >>> center, axes = principal_axes(vectors)
    >>> new = (vectors - center)[:, 0] @ axes[0]
    >>> [round(float(deviation), 3) for deviation in new.std(dim=0)]
    [1.0, 0.236]
    """
    center_KD = vectors_NKD.mean(dim=0)
    off_KND = (vectors_NKD - center_KD).movedim(1, 0).double()
    covariance_KDD = off_KND.mT @ off_KND / max(1, len(vectors_NKD) - 1)
    variance_KD, axes_KDD = torch.linalg.eigh(covariance_KDD.cpu())
    axes_KDD = axes_KDD.flip(2)
    largest = axes_KDD.gather(1, axes_KDD.abs().argmax(dim=1, keepdim=True))  # a sign that no library chooses
    scale_K = variance_KD[:, -1].clamp(min=1e-12).sqrt()
    axes: Tensor = axes_KDD * largest.sign() / scale_K[:, None, None]
    return center_KD, axes.to(vectors_NKD)


class _Parts:
    """Encoder and generator in training on images, and the random streams of a step."""

    def __init__(self, source: ImageDataset, run: Run, count: int, encoder: VectorEncoder, generator: Any) -> None:
        self.source, self.run, self.encoder, self.generator = source, run, encoder, generator
        self._count, self._images, self.noise = count, run.numpy_rng("images"), run.rng("noise")
        self.factors = run.rng("factors")  # of its own, so that the control sees the same images and noise
        self.state: dict[str, Any] = {"encoder": encoder, "generator": generator}
        self.state |= {"images": self._images, "noise": self.noise, "factors": self.factors}

    def batch(self) -> Tensor:
        """The images of a step, drawn at random."""
        return self.source.random_batch(self._count, self._images).to(self.run.device)

    def glimpse(self, count: int) -> Tensor:
        """Images that are the same whenever they are asked for."""
        return self.source.random_batch(count, self.run.numpy_rng("glimpse", shared=True)).to(self.run.device)

    def read(self, images: Tensor) -> Tensor:
        """Codes as the encoder gives them in use; gradients pass through it to the images, and none are its own."""
        self.encoder.eval().requires_grad_(False)
        codes = self.encoder.encode(images)
        self.encoder.train().requires_grad_(True)
        return codes


class _Learner:
    """AdamW on modules, and a slowly following copy of one of them that takes its place in the end."""

    def __init__(
        self, settings: CodeSettings, run: Run, modules: Iterable[nn.Module], kept: nn.Module, name: str, state: Any
    ) -> None:
        self._run, self._kept, self._ema = run, kept, settings.ema
        self._learned = [parameter for module in modules for parameter in module.parameters()]
        self._optimizer = torch.optim.AdamW(self._learned, lr=settings.learning_rate, fused=True)
        self._slow = momentum_copy(kept) if settings.ema else kept
        state |= {f"{name}_optimizer": self._optimizer, f"{name}_slow": self._slow}

    def begin(self) -> None:
        """Let the slow copy begin where what is kept does."""
        if self._ema:
            self._slow.load_state_dict(self._kept.state_dict())

    def descend(self, loss: Tensor, rate: float) -> None:
        """One step at a rate, and the slow copy after it."""
        self._optimizer.param_groups[0]["lr"] = rate
        self._optimizer.zero_grad(set_to_none=True)
        self._run.backward(loss, self._learned)
        self._optimizer.step()
        if self._ema:
            follow(self._slow, self._kept, self._ema)

    def finish(self) -> None:
        """Put the slow copy's weights into what is kept."""
        if self._ema:
            self._kept.load_state_dict(self._slow.state_dict())
