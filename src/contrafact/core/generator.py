"""The generator contract: a frozen image model with a latent space to walk in.

Shape suffixes: N samples, L latent (edit space) dimensions, Z prior dimensions, C channels, H height, W width.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import chain
from typing import Any, Literal, Self

import torch
from torch import Tensor

from contrafact.core.artefact import Artefact
from contrafact.core.catalog import Catalog, unknown_name_message
from contrafact.core.dataset import check_count
from contrafact.core.directions import Directions
from contrafact.core.great_circle import great_circle

Truncated = Literal["latents", "images", "nowhere"]

IMAGE = "image"
"""The layer name that stands for the image itself."""


class Generator(Artefact, ABC):
    """Latent ``(N, L)`` to images ``(N, C, H, W)``, float32, black 0 and white 1, not clamped.

    Weights are frozen; gradients flow to the latent. ``map`` takes prior noise to the edit space.

    Attributes:
        name: what it was loaded as, for reports.
        latent_dim: L, dimensions of the edit space.
        prior_dim: Z, dimensions of the prior noise.
        image_shape: ``(C, H, W)``.
        space: name of the edit space (``"z"``, ``"w"``).
        num_layers: layers that take the latent separately; with more than one, ``forward`` also takes
            ``(N, num_layers, L)`` and directions may act on a range of layers.
        layer_names: names ``features`` accepts, from the latent's side to the image's.
        feature_margin: pixels around the image that maps smaller than it have on each side (StyleGAN3's).
        num_classes: classes of a conditional generator whose class is open, 0 otherwise.
        label: the class a conditional generator is fixed to, None otherwise.
        class_count: classes that a generator with a ``label`` could have been fixed to, 0 otherwise.
        edit_range: first and last (excluded) column of the latent that edits move, where the others (a diffusion
            model's noise) stay as they are in an edit. Equal when edits move all of it.
        edit_layer: layer whose activations the columns of ``edit_range`` are added to, in the same unit, so that the
            columns of every sample are 0; None where samples differ in the columns themselves.
        sphere_dim: how many columns, from the first on, must stay as long as they are (a diffusion model's noise): ways
            between two latents turn there. 0 is none.
        figure_span: how far figures go along a direction by default, in standard deviations: far enough to be seen.
        class_range: first and last (excluded) column of the latent that hold a one-hot class: a class knob that lies in
            the latent itself. Equal when there is none.
        truncation: what :meth:`map` and :meth:`sample` truncate to where they are not told; 1 is not at all.
        truncated_in: where truncation acts. ``latents``: ``map`` pulls them towards their mean, each call as it likes.
            ``images``: making the image takes part in it, so it is the generator's own, and all calls keep to it (see
            :meth:`truncated`). ``nowhere``: only the latent's direction counts and no direction is their mean, or its
            length is fixed.

    >>> import contrafact as cf
    >>> scene = cf.load_generator("analytic", {"size": 16})
    >>> latent = scene.sample(4, seed=0)  # map of prior noise
    >>> scene(latent).shape, scene.features(latent, "factors").shape, scene.activations(latent, "image").shape
    (torch.Size([4, 3, 16, 16]), torch.Size([4, 8]), torch.Size([4, 768]))
    >>> noise = scene.prior(2, torch.Generator().manual_seed(0))
    >>> torch.equal(scene.map(noise, truncation=0.5), scene.truncated(0.5).map(noise))
    True
    >>> round(scene.latent_scale(), 1), scene.latent_weights().shape, scene.device.type
    (1.0, torch.Size([8, 8]), 'cpu')
    >>> scene.edit_columns, scene.edit_dim  # edits move all of it
    (None, 8)
    >>> next(cf.generators.DCGAN.tiny().freeze().parameters()).requires_grad
    False
    """

    name: str = "generator"
    latent_dim: int
    prior_dim: int
    image_shape: tuple[int, int, int]
    space: str = "z"
    num_layers: int = 1
    layer_names: tuple[str, ...] = ()
    feature_margin: int = 0
    num_classes: int = 0
    label: int | None = None
    class_count: int = 0
    class_range: tuple[int, int] = (0, 0)
    edit_range: tuple[int, int] = (0, 0)
    edit_layer: str | None = None
    sphere_dim: int = 0
    figure_span: float = 2.5
    truncation: float = 1.0
    truncated_in: Truncated = "latents"

    @abstractmethod
    def forward(self, latent: Tensor) -> Tensor:
        """Images ``(N, C, H, W)`` of latents ``(N, L)`` (or ``(N, num_layers, L)`` where there are several)."""

    def preview(self, latent: Tensor, side: int) -> Tensor | None:
        """Small images of latents in a fraction of the time, for somebody who waits; None where there is no such way.

        Args:
            latent: as for :meth:`forward`.
            side: pixels that are enough.

        Returns:
            Images ``(N, C, h, w)`` of at least ``side`` pixels and fewer than the generator's own.

        >>> from contrafact.generators.stylegan2 import StyleGAN2
        >>> generator = StyleGAN2.tiny()
        >>> generator.preview(torch.zeros(1, 12), 8).shape, generator(torch.zeros(1, 12)).shape
        (torch.Size([1, 3, 8, 8]), torch.Size([1, 3, 16, 16]))
        """
        return None

    def features(self, latent: Tensor, layer: str) -> Tensor:
        """Activations of ``layer`` (one of ``layer_names``), computed no further than that layer.

        Raises:
            ValueError: unknown layer; the message lists the known ones.
        """
        raise ValueError(unknown_name_message("layer", layer, self.layer_names))

    def activations(self, latent: Tensor, layer: str) -> Tensor:
        """Activations ``(N, F)`` of a layer, or ``"image"``'s pixels, flattened.

        Raises:
            ValueError: unknown layer; the message lists the known ones.
        """
        self.check_layer(layer)
        return (self(latent) if layer == IMAGE else self.features(latent, layer)).flatten(1)

    def check_layer(self, layer: str) -> None:
        """Refuse a name that is neither a layer's nor ``"image"`` (ValueError that lists them)."""
        known = (*self.layer_names, IMAGE)
        if layer not in known:
            raise ValueError(unknown_name_message("layer", layer, known))

    def latent_weights(self, layers: tuple[int, int] | None = None) -> Tensor:
        """Weights ``(R, L)`` of the linear maps that the latent meets first, a row for each of their R outputs.

        Args:
            layers: ``(first, last)`` layers (last excluded) of a generator with several; None for all.

        Raises:
            ValueError: the architecture has no such weights.
        """
        raise ValueError(
            f"{type(self).__name__} has no layer whose weights act on the latent as a whole; use a method that needs "
            "none, such as ganspace or deep_spectral"
        )

    def own_directions(self) -> Directions:
        """Directions that the architecture itself has, learned by nobody: ways to move, or true factors.

        Raises:
            ValueError: it has none.

        >>> import contrafact as cf
        >>> cf.load_generator("analytic:room").own_directions().names[:3]
        ['floor hue', 'wall hue', 'object hue']
        """
        raise ValueError(
            f"{type(self).__name__} has no directions of its own; let a method find some, such as sefa or ganspace"
        )

    def layer_range(self, first: int | None = None, last: int | None = None) -> tuple[int, int] | None:
        """Layers ``(first, last)`` (last excluded) that an edit acts on; None, which means all, if neither is given.

        Raises:
            ValueError: an empty range, or layers that the generator does not have.

        >>> from contrafact.generators import StyleGAN2
        >>> StyleGAN2.tiny().layer_range(1, None), StyleGAN2.tiny().layer_range()
        ((1, 6), None)
        """
        if first is None and last is None:
            return None
        begin, end = first or 0, self.num_layers if last is None else last
        if not 0 <= begin < end <= self.num_layers:
            raise ValueError(
                f"layers must be (first, last) with 0 <= first < last <= {self.num_layers}, got {(begin, end)}"
            )
        return begin, end

    def prior(self, n: int, rng: torch.Generator) -> Tensor:
        """``n`` draws of prior noise, standard normal ``(n, Z)``, on the generator's device.

        The draw itself happens on the CPU, so that one seed means the same latents on every device.
        """
        return torch.randn(check_count("n", n), self.prior_dim, generator=rng).to(self.device)

    def map(self, z: Tensor, label: Tensor | None = None, truncation: float | None = None) -> Tensor:
        """Prior noise ``(N, Z)`` to the edit space ``(N, L)``.

        Args:
            z: prior noise.
            label: class indices ``(N,)`` for a conditional generator.
            truncation: pulls latents towards their mean: 1 leaves them, 0 is the mean; by default the generator's own.

        Raises:
            ValueError: truncation outside [0, 1] or one that this generator cannot give to single latents, a label
                given to an unconditional generator, or none to a conditional one.
        """
        return z * self.check_condition(label, truncation)

    def sample(
        self,
        n: int,
        rng: torch.Generator | None = None,
        label: Tensor | None = None,
        truncation: float | None = None,
        *,
        seed: int | None = None,
    ) -> Tensor:
        """``n`` latents ``(n, L)`` of the edit space: ``map`` of fresh prior noise.

        Args:
            n: how many.
            rng: where the noise comes from; without it and without ``seed``, torch's global generator.
            label: class indices ``(n,)`` for a conditional generator.
            truncation: as for :meth:`map`.
            seed: seed of the noise, in place of ``rng``: ``sample(4, seed=0)`` is the same every time.

        Raises:
            ValueError: both ``rng`` and ``seed``, or what :meth:`map` refuses.
        """
        if isinstance(rng, int):
            raise ValueError(f"rng is a torch.Generator; for a seed write sample({n}, seed={rng})")
        if seed is not None:
            if rng is not None:
                raise ValueError("give rng or seed, not both")
            rng = torch.Generator().manual_seed(seed)
        z = self.prior(n, torch.default_generator if rng is None else rng)
        return self.map(z, label, self.truncation if truncation is None else truncation)

    def image_latents(self, images: Tensor) -> Tensor | None:
        """Latents ``(N, L)`` whose images are ``images (N, C, H, W)``, as nearly as the architecture itself can say.

        A diffusion model goes its path back. None where there is no such way, and latents have to be searched.

        >>> import contrafact as cf
        >>> cf.load_generator("analytic").image_latents(torch.zeros(1, 3, 64, 64)) is None
        True
        """
        return None

    def truncated(self, truncation: float | None) -> Self:
        """This generator with another truncation of its own: one decision for its latents and its images.

        The right way to truncate any generator: ``small = generator.truncated(0.5); small(small.sample(8, rng))``. An
        edit keeps its length in the latent space. The weights are shared, not copied.

        Args:
            truncation: 1 for none, 0 for the mean; None returns the generator as it is.

        Raises:
            ValueError: truncation outside [0, 1], or below 1 for a generator without any.
        """
        if truncation is None or truncation == self.truncation:
            return self
        self.check_truncation(truncation)
        self.check_truncates(truncation)
        other = copy.copy(self)
        other.truncation = float(truncation)
        return other

    def latents_of_class(self, classes: Tensor, rng: torch.Generator) -> Tensor:
        """Fresh latents ``(N, L)`` with the class knob at ``classes`` ``(N,)``.

        Raises:
            ValueError: no class knob, or no such class.

        >>> from contrafact.generators import ClassKnob
        >>> generator = ClassKnob.tiny()
        >>> latent = generator.latents_of_class(torch.tensor([2, 0]), torch.Generator().manual_seed(0))
        >>> generator.classes_of(latent).tolist()
        [2, 0]
        """
        first, last = self.class_range
        if first == last:
            raise ValueError(f"this {type(self).__name__} has no class knob in its latent")
        if classes.ndim != 1 or not ((classes >= 0) & (classes < last - first)).all():
            raise ValueError(f"classes must be (N,) from 0 to {last - first - 1}, got {classes.flatten()[:8].tolist()}")
        latent = self.sample(len(classes), rng).clone()
        latent[:, first:last] = torch.nn.functional.one_hot(classes.to(latent.device), last - first).to(latent.dtype)
        return latent

    def classes_of(self, latent: Tensor) -> Tensor:
        """Where the class knob of latents ``(N, L)`` stands: ``(N,)``.

        >>> from contrafact.generators import ClassKnob
        >>> ClassKnob.tiny().classes_of(ClassKnob.tiny().sample(5, seed=0)).shape
        torch.Size([5])
        """
        return latent[:, slice(*self.class_range)].argmax(dim=1)

    @property
    def edit_columns(self) -> tuple[int, int] | None:
        """Columns of the latent that edits move, as :attr:`Directions.columns` has them: None for all."""
        first, last = self.edit_range
        return None if first == last else (first, last)

    @property
    def edit_dim(self) -> int:
        """How many dimensions edits have: L, or the columns of :attr:`edit_range`."""
        return self.latent_dim if self.edit_columns is None else self.edit_range[1] - self.edit_range[0]

    def edit_coordinates(self, latent: Tensor) -> Tensor:
        """Where latents ``(N, L)`` stand in the space that edits move them in: ``(N, edit_dim)``.

        The latents themselves, or their columns of :attr:`edit_range`; activations of :attr:`edit_layer` where samples
        differ in those alone.

        >>> import contrafact as cf
        >>> scene = cf.load_generator("analytic")
        >>> scene.edit_dim, scene.edit_coordinates(scene.sample(3, seed=0)).shape
        (8, torch.Size([3, 8]))
        """
        if self.edit_layer is not None:
            return self.activations(latent, self.edit_layer)
        return latent if self.edit_columns is None else latent[..., slice(*self.edit_columns)]

    def latent_between(self, first: Tensor, last: Tensor, share: float) -> Tensor:
        """The latent at a share of the way from one to another, of the same shape.

        On the straight line, and in the first :attr:`sphere_dim` columns on a great circle.

        >>> import contrafact as cf
        >>> cf.load_generator("analytic").latent_between(torch.zeros(1, 8), torch.ones(1, 8), 0.25).unique().tolist()
        [0.25]
        """
        mixed = torch.lerp(first, last, share)
        if self.sphere_dim == 0:
            return mixed
        turned = great_circle(first[..., : self.sphere_dim], last[..., : self.sphere_dim], share)
        return torch.cat([turned, mixed[..., self.sphere_dim :]], dim=-1)

    @torch.no_grad()
    def latent_scale(self, samples: int = 4096) -> float:
        """Root-mean-square standard deviation of an edit-space coordinate: 1 for a standard normal prior.

        Edit magnitudes are in this unit, so that one default suits every generator; the same at every truncation.
        """
        latents = self.truncated(1.0).sample(samples, torch.Generator().manual_seed(0))
        latents = latents if self.edit_columns is None else latents[:, slice(*self.edit_columns)]
        return float(latents.double().var(dim=0).mean().sqrt())

    def __repr__(self) -> str:
        millions = sum(p.numel() for p in self.parameters()) / 1e6
        classes = f", {self.num_classes} classes" if self.num_classes else ""
        return (
            f"{type(self).__name__}({self.name!r}: latents (N, {self.latent_dim}) of {self.space} to images "
            f"(N, {', '.join(map(str, self.image_shape))}){classes}, {millions:.2f} M parameters)"
        )

    @property
    def device(self) -> torch.device:
        """Where the generator's weights are (the CPU when it has none)."""
        tensor = next(chain(self.parameters(), self.buffers()), None)
        return torch.device("cpu") if tensor is None else tensor.device

    def freeze(self) -> Generator:
        """Evaluation mode, no gradients to the weights; returns itself."""
        return self.eval().requires_grad_(False)

    def kept(self) -> dict[str, Any]:
        return {"label": self.label, "truncation": self.truncation}

    def restore(self, kept: Mapping[str, Any]) -> None:
        if kept.get("label") is not None and kept["label"] != self.label:
            self.fix_label(kept["label"])
        self.truncation = self.truncated(kept.get("truncation")).truncation

    def fix_label(self, label: int) -> None:
        """Fix a conditional generator to one class; from then on it takes no labels.

        Raises:
            ValueError: an unconditional generator, or no such class.

        >>> from contrafact.generators import BigGAN
        >>> generator = BigGAN.tiny()
        >>> generator.fix_label(1)
        >>> generator.label, generator.sample(2, seed=0).shape[0]  # it asks for no label now
        (1, 2)
        """
        if self.num_classes == 0:
            raise ValueError(f"this {type(self).__name__} has no classes to choose from: give it no label")
        if not 0 <= label < self.num_classes:
            raise ValueError(f"label must be a class from 0 to {self.num_classes - 1}, got {label}")
        self.label, self.class_count, self.num_classes = int(label), self.num_classes, 0

    def of_class(self, label: int) -> Self:
        """This generator, fixed to a class, fixed to another one: the same noise and edits, images of other things.

        The weights are shared, not copied.

        Raises:
            ValueError: no class is fixed, or no such class.

        >>> from contrafact.generators import BigGAN
        >>> generator = BigGAN.tiny()
        >>> generator.fix_label(1)
        >>> other = generator.of_class(4)
        >>> other.label, generator.label, torch.equal(other.sample(2, seed=0), generator.sample(2, seed=0))
        (4, 1, True)
        """
        if self.label is None:
            raise ValueError(
                f"this {type(self).__name__} is fixed to no class, so that there is no other; where it has classes, "
                'fix one when loading it, {"label": 0} (--set label=0)'
            )
        other = copy.copy(self)
        other.label, other.num_classes = None, self.class_count
        other.fix_label(label)
        return other

    def check_condition(self, label: Tensor | None, truncation: float | None) -> float:
        """The truncation to use, the generator's own in place of None.

        Raises:
            ValueError: a truncation outside [0, 1] or one the generator cannot give, or a label that does not fit it.
        """
        truncation = self.truncation if truncation is None else truncation
        self.check_truncation(truncation)
        self.check_truncates(truncation)
        if self.truncated_in == "images" and truncation != self.truncation:
            raise ValueError(
                f"this {type(self).__name__} truncates its images as well as its latents, and is set to "
                f"{self.truncation:g}; for {truncation:g} take generator.truncated({truncation:g}), or load it with "
                f'{{"truncation": {truncation:g}}} (--set truncation={truncation:g})'
            )
        if self.num_classes == 0 and label is not None:
            raise ValueError(f"this {type(self).__name__} is unconditional: pass no class label")
        if self.num_classes > 0 and label is None:
            raise ValueError(
                f"this {type(self).__name__} is conditional: pass a class label from 0 to {self.num_classes - 1}, "
                "or fix one when loading it"
            )
        if label is not None and (
            label.ndim != 1 or label.is_floating_point() or not ((label >= 0) & (label < self.num_classes)).all()
        ):
            raise ValueError(
                f"labels must be class indices (N,) from 0 to {self.num_classes - 1}, got {label.dtype} of shape "
                f"{tuple(label.shape)}: {label.flatten()[:8].tolist()}"
            )
        return truncation

    def check_truncates(self, truncation: float) -> None:
        """Refuse a truncation below 1 where only the latent's direction counts, not its length (ValueError)."""
        if self.truncated_in == "nowhere" and truncation != 1.0:
            raise ValueError(
                f"this {type(self).__name__} has no truncation: it normalises its latent, so a shorter one gives the "
                f"same image and longer edits; use truncation 1, got {truncation:g}"
            )

    @staticmethod
    def check_truncation(truncation: float) -> None:
        """Refuse a truncation outside [0, 1] (ValueError)."""
        if not 0.0 <= truncation <= 1.0:
            raise ValueError(f"truncation must lie in [0, 1], got {truncation}; 1 means none, 0 the mean image")

    def check_latent(self, latent: Tensor) -> Tensor:
        """``latent`` if its shape fits, else a ValueError that says what was expected."""
        layered = (
            self.num_layers > 1 and latent.ndim == 3 and tuple(latent.shape[1:]) == (self.num_layers, self.latent_dim)
        )
        if not layered and (latent.ndim != 2 or latent.shape[1] != self.latent_dim):
            also = f" or (N, {self.num_layers}, {self.latent_dim})" if self.num_layers > 1 else ""
            raise ValueError(
                f"{type(self).__name__} expects latents of shape (N, {self.latent_dim}){also}, "
                f"got {tuple(latent.shape)}"
            )
        return latent


def images_at_once(generator: Generator) -> int:
    """How many images to make in one go: together about a million pixels, so that memory does not grow with their size.

    >>> from contrafact.generators.analytic import Analytic
    >>> [images_at_once(Analytic(size=size)) for size in (32, 64, 256, 1024)]
    [256, 256, 16, 1]
    """
    _, height, width = generator.image_shape
    return max(1, min(256, 2**20 // (height * width)))


def sample_latents(generator: Generator, n: int, rng: torch.Generator, truncation: float | None = None) -> Tensor:
    """``n`` latents ``(n, L)`` of the edit space; a generator whose class is open gets random classes.

    The noise is drawn before the classes, so that one seed means the same noise in every edit space. Truncation is the
    generator's own by default; :meth:`Generator.truncated` sets it for latents and images at once.

    Raises:
        ValueError: truncation outside [0, 1], or one that this generator cannot give to single latents.
    """
    z = generator.prior(n, rng)
    label = torch.randint(generator.num_classes, (n,), generator=rng).to(z.device) if generator.num_classes else None
    return generator.map(z, label, generator.truncation if truncation is None else truncation)


def architecture(name: str) -> Any:
    """The catalogued generator class called ``name``: methods that train one ask here instead of importing it."""
    cls = Catalog("generators", "generator architecture", helpers={"checkpoints"}).get(name)
    if not (isinstance(cls, type) and issubclass(cls, Generator)):
        raise ValueError(f"{name!r} is no generator architecture that can be built by name")
    return cls
