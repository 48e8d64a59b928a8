"""wrap: any torch module that turns latents into images, as a generator.

>>> module = torch.nn.Sequential(torch.nn.Linear(4, 3 * 8 * 8), torch.nn.Tanh(), torch.nn.Unflatten(1, (3, 8, 8)))
>>> generator = wrap(module, latent_dim=4)
>>> generator.image_shape, generator.layer_names
((3, 8, 8), ('0', '1', '2'))
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import check_count
from contrafact.core.generator import Generator
from contrafact.generators._wrap_arguments import Classes, Given
from contrafact.generators._wrap_checks import (
    check_finite,
    check_range,
    check_repeats,
    check_shape,
    first_images,
    is_scale_free,
)

Sample = Callable[[int, torch.Generator], Tensor]
Transform = Callable[[Tensor], Tensor]


def wrap(
    module: nn.Module,
    latent_dim: int,
    *,
    image_range: tuple[float, float] | None = None,
    latent_shape: Sequence[int] | None = None,
    sample: Sample | None = None,
    map: Transform | None = None,
    output: Callable[[Any], Tensor] | None = None,
    layers: Sequence[str] | None = None,
    noise_seed: int | None = None,
    num_classes: int = 0,
    label: int | None = None,
    num_layers: int = 1,
    name: str = "wrapped",
) -> Generator:
    """Make a generator of ``module``, whose weights are frozen; the module itself is kept, not copied.

    The module is run on a few latents first. It must give each latent one image, whatever else is in the batch.

    Args:
        module: takes latents ``(N, L)`` and returns images ``(N, C, H, W)``.
        latent_dim: L.
        image_range: what the module returns for black and for white, −1 and 1 by default; images are rescaled to 0 and
            1, not clamped.
        latent_shape: shape one latent has when the module takes it, if not ``(L,)``: ``(4, 8, 8)``. A module that only
            takes ``(L, 1, 1)``, as DCGANs do, is given that.
        sample: ``(n, rng) -> (n, Z)``: draws prior noise; standard normal ``(n, L)`` by default.
        map: ``(N, Z) -> (N, L)``: prior noise to the edit space; unchanged by default.
        output: what the module returns to a tensor of images, where that is no tensor (``lambda out: out.sample``).
        layers: submodules whose outputs :meth:`Generator.features` gives, by their name in ``module.named_modules()``;
            all of its leaves that run once by default.
        noise_seed: for a module that draws noise from torch's random numbers: they start from this seed for every
            latent, which is run by itself, so that all images have the same noise. None for a module without any.
        num_classes: K of a module that takes a class besides: ``module(z, c)``, c as indices ``(N,)`` or as one-hot
            ``(N, K)`` (or ``(N, K, 1, 1)``), whichever it can be run with.
        label: the class that all images are of. None lets the class be a knob: latents are then ``(N, L + K)``, the
            last K columns a one-hot class.
        num_layers: latents of a module that takes one for each of its layers, ``(N, num_layers, L)``: W+. Latents
            ``(N, L)`` are given to all layers, and directions may act on some.
        name: what to call it in reports.

    Returns:
        A frozen generator. It cannot be written to a file: runs on it are read back with
        ``load_run(folder, generator=...)``.

    Raises:
        ValueError: no module; a module that does not return images for such latents, or NaN, or other values than
            between black and white; noise, or batch statistics, inside it; no gradient to the latent; unknown layers;
            an image range that is none.

    >>> module = nn.Sequential(nn.Linear(4, 3 * 8 * 8), nn.Tanh(), nn.Unflatten(1, (3, 8, 8)))
    >>> generator = wrap(module, latent_dim=4)
    >>> generator(generator.sample(2, seed=0)).shape, generator.layer_names
    (torch.Size([2, 3, 8, 8]), ('0', '1', '2'))
    """
    classes = Classes(num_classes, label)
    shaped = Given(latent_dim, latent_shape, num_layers, classes)
    return Wrapped(module, shaped, image_range, sample, map, output, layers, noise_seed, name)


class _Reached(Exception):
    """The layer asked for has run; its output is in ``args``."""


class Wrapped(Generator):
    """Somebody's module behind the generator contract; see :func:`wrap` for the arguments."""

    def __init__(
        self,
        module: nn.Module,
        given: Given,
        image_range: tuple[float, float] | None,
        sample: Sample | None,
        map: Transform | None,
        output: Callable[[Any], Tensor] | None,
        layers: Sequence[str] | None,
        noise_seed: int | None,
        name: str,
    ) -> None:
        super().__init__()
        if not isinstance(module, nn.Module):
            raise ValueError(f"wrap takes a torch.nn.Module, got {type(module).__name__}")
        try:
            self.black, self.white = (-1.0, 1.0) if image_range is None else (float(v) for v in image_range)
        except (TypeError, ValueError) as error:
            raise ValueError(f"image_range must be (black, white), two numbers, got {image_range!r}") from error
        if not (math.isfinite(self.black) and math.isfinite(self.white)) or self.black == self.white:
            raise ValueError(f"image_range must be (black, white) with two different numbers, got {image_range}")
        self.given, self.noise_dim = given, given.noise_dim
        self.latent_dim, self.num_layers = given.latent_dim, given.num_layers
        self.class_range = (given.noise_dim, given.latent_dim)
        self.label = given.classes.label
        self.class_count = 0 if self.label is None else given.classes.count
        self.name = name
        self.module, self._sample, self._map, self._output = module, sample, map, output
        if noise_seed is not None and (isinstance(noise_seed, bool) or not isinstance(noise_seed, int)):
            raise ValueError(f"noise_seed is a whole number, got {noise_seed!r}")
        self._noise_seed = noise_seed
        self.prior_dim = self.latent_dim
        self.freeze()
        rng = torch.Generator().manual_seed(0)
        self.prior_dim = self.prior(2, rng).shape[1]
        latent = self.sample(3, rng)
        self.image_shape = self._probe(latent, image_range is None)
        ran = self._layers_that_ran_once(latent)
        self.layer_names = tuple(ran) if layers is None else tuple(layers)
        for layer in self.layer_names:
            if layer not in ran:
                raise ValueError(unknown_name_message("layer (of those that run once)", layer, ran))

    def fix_label(self, label: int) -> None:
        super().fix_label(label)
        self.given = copy.copy(self.given)
        self.given.classes = dataclasses.replace(self.given.classes, label=label)

    def _probe(self, latent: Tensor, range_assumed: bool) -> tuple[int, int, int]:
        with torch.enable_grad():
            probe = latent.detach().requires_grad_()
            images = self._first_images(probe)
            check_shape(images, len(latent))
            check_finite(images)
            gradient = torch.autograd.grad(images.sum(), probe, allow_unused=True)[0] if images.requires_grad else None
        if gradient is None:
            raise ValueError(
                "no gradient flows from the module's images to its latent; remove torch.no_grad, detach or rounding "
                "inside it"
            )
        with torch.no_grad():
            images = images.detach()
            check_repeats(self._raw, latent, images, self._noise_seed is not None)
            check_range(images.float(), self.black, self.white, range_assumed)
            if self._map is None and not self._has_knob and is_scale_free(self._raw, latent, images):
                self.truncated_in = "nowhere"
        channels, height, width = images.shape[1:]
        return channels, height, width

    def _first_images(self, probe: Tensor) -> Tensor:
        """Images in the first form of latent and class that the module takes; what it says of the usual one if none."""
        failed: ValueError | None = None
        for form in self.given.forms():
            self.given = form
            try:
                return first_images(self._raw, probe, self.module, form.latent_shape)
            except ValueError as error:
                failed = failed or error
        assert failed is not None
        raise failed

    @property
    def _has_knob(self) -> bool:
        return self.latent_dim > self.noise_dim

    def _layers_that_ran_once(self, latent: Tensor) -> list[str]:
        calls: dict[str, int] = {}

        def count(layer: str) -> Callable[[nn.Module, Any, Any], None]:
            def hook(module: nn.Module, inputs: Any, output: Any) -> None:
                if isinstance(output, Tensor):
                    calls[layer] = calls.get(layer, 0) + 1

            return hook

        hooks = [m.register_forward_hook(count(n)) for n, m in self.module.named_modules() if n]
        try:
            with torch.no_grad():
                self._run(latent[:1])
        finally:
            for hook in hooks:
                hook.remove()
        return [layer for layer, number in calls.items() if number == 1]

    def _run(self, latent: Tensor) -> Tensor:
        return (self._raw(latent).float() - self.black) / (self.white - self.black)

    def _raw(self, latent: Tensor) -> Tensor:
        """What the module returns, not rescaled."""
        if self._noise_seed is None:
            return self._call(latent)
        return torch.cat([self._with_same_noise(one) for one in latent.split(1)])

    def _with_same_noise(self, latent: Tensor) -> Tensor:
        devices = [latent.device] if latent.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(self._noise_seed or 0)
            return self._call(latent)

    def _call(self, latent: Tensor) -> Tensor:
        weight = next(self.module.parameters(), None)
        returned = self.module(*self.given.arguments(latent, None if weight is None else weight.dtype))
        images = returned if self._output is None else self._output(returned)
        if not isinstance(images, Tensor):
            raise ValueError(
                f"the module returned a {type(images).__name__}, not a tensor of images; pass output=, a function that "
                "takes the images out of it"
            )
        return images

    def forward(self, latent: Tensor) -> Tensor:
        return self._run(self.check_latent(latent))

    def prior(self, n: int, rng: torch.Generator) -> Tensor:
        if self._sample is None:
            return super().prior(n, rng)
        drawn = self._sample(check_count("n", n), rng).to(self.device)
        if drawn.ndim != 2 or len(drawn) != n:
            raise ValueError(f"sample({n}, rng) must return noise of shape ({n}, Z), got {tuple(drawn.shape)}")
        knob = torch.randn(n, self.latent_dim - self.noise_dim, generator=rng).to(drawn)
        return torch.cat((drawn, knob), dim=1)

    def map(self, z: Tensor, label: Tensor | None = None, truncation: float | None = None) -> Tensor:
        truncation = self.check_condition(label, truncation)
        classes = self.latent_dim - self.noise_dim
        noise, logits = z.split([z.shape[1] - classes, classes], dim=1)
        latent = self._mapped(noise)
        if truncation != 1.0:
            is_plain = self._map is None and self._sample is None
            mean = torch.zeros_like(latent[:1]) if is_plain else self._mean
            latent = mean + truncation * (latent - mean)
        if not classes:
            return latent
        return torch.cat((latent, F.one_hot(logits.argmax(dim=1), classes).to(latent.dtype)), dim=1)

    def _mapped(self, noise: Tensor) -> Tensor:
        latent = noise if self._map is None else self._map(noise)
        if latent.shape != (len(noise), self.noise_dim):
            raise ValueError(
                f"map must return latents of shape ({len(noise)}, {self.noise_dim}), got {tuple(latent.shape)}"
            )
        return latent

    @property
    def _mean(self) -> Tensor:
        """Mean mapped noise ``(1, noise_dim)``, from 4,096 draws."""
        with torch.no_grad():
            z = self.prior(4096, torch.Generator().manual_seed(0))
            return self._mapped(z[:, : z.shape[1] - self.latent_dim + self.noise_dim]).mean(0, keepdim=True)

    def features(self, latent: Tensor, layer: str) -> Tensor:
        if layer not in self.layer_names:
            raise ValueError(unknown_name_message("layer", layer, self.layer_names))

        def stop(module: nn.Module, inputs: Any, output: Tensor) -> None:
            raise _Reached(output)

        latent = self.check_latent(latent)
        found = []
        hook = self.module.get_submodule(layer).register_forward_hook(stop)
        try:
            for part in [latent] if self._noise_seed is None else latent.split(1):
                try:
                    self._raw(part)
                except _Reached as reached:
                    activations: Tensor = reached.args[0]
                    found.append(activations.float())
                else:
                    raise ValueError(f"layer {layer!r} did not run this time; choose one that always does")
        finally:
            hook.remove()
        return torch.cat(found)

    @torch.no_grad()
    def latent_weights(self, layers: tuple[int, int] | None = None) -> Tensor:
        """Weights of the layers that take the latent itself: linear, or convolutions of a map of 1×1."""
        latent = self.sample(1, torch.Generator().manual_seed(0))
        noise, classes = latent[:, : self.noise_dim], self.latent_dim - self.noise_dim
        found: list[Tensor] = []

        def check(module: nn.Module, inputs: Any) -> None:
            given = inputs[0].reshape(1, -1) if inputs else latent[:0]
            weight: Tensor = module.get_parameter("weight")
            weight = weight.transpose(0, 1) if isinstance(module, nn.ConvTranspose2d) else weight
            # A convolution over a larger map has fewer input channels than the latent has dimensions.
            whole = weight.shape[1] == self.noise_dim and getattr(module, "groups", 1) == 1
            if whole and torch.equal(given, noise.to(given.dtype)):
                found.append(weight.flatten(2).transpose(1, 2).flatten(0, 1) if weight.ndim == 4 else weight)

        kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
        hooks = [m.register_forward_pre_hook(check) for m in self.module.modules() if isinstance(m, kinds)]
        try:
            self._run(latent)
        finally:
            for hook in hooks:
                hook.remove()
        # The class reaches other layers, and moves nothing here.
        return F.pad(torch.cat(found).float(), (0, classes)) if found else super().latent_weights(layers)
