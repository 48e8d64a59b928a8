"""LatentDiscovery: directions that a second network can tell apart from the images alone (Voynov & Babenko 2020).

Unsupervised Discovery of Interpretable Directions in the GAN Latent Space, Voynov & Babenko, ICML 2020,
https://arxiv.org/abs/2002.03754. A reconstructor sees an image before and after an edit and names the direction and the
magnitude; it and the directions (the "deformator") learn together, for the same goal.

Deviations: magnitudes are in standard deviations of the edit space; linear directions have no bias, which would move a
latent at ε = 0; ``fc`` is a three-layer network whose shift has length |ε| (the release: four layers with batch
normalisation, in which one edit depends on the others of its batch, and any length); orthonormal frames are
orthonormalised weights, not the exponential of a skew-symmetric matrix. The release starts more directions than latent
dimensions at zero; here they are vectors like the others, or refused where they cannot be.

Shape suffixes: N samples, D directions, C channels.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.directions import Constraint, CurvedDirections, Directions, GlobalDirections
from contrafact.core.generator import Generator
from contrafact.core.method import Artefacts, Method
from contrafact.core.ranges import Layer, Positive, Rate, Share, Size, SizeOrZero, Steps, Weight, Width
from contrafact.core.run import Run
from contrafact.nn.resnet import ResNetEncoder
from contrafact.training.piecewise import in_pieces
from contrafact.training.step_memory import graph_bytes, refuse_too_much

Deformator = Literal["fc", "linear", "orthonormal", "projection", "random"]
FC_WIDTH = 1024
_CONSTRAINTS: dict[str, Constraint] = {
    "linear": "free",
    "projection": "unit",
    "orthonormal": "orthonormal",
    "random": "orthonormal",
}


class LeNet(nn.Module):
    """The reconstructor for small images: three 5×5 convolutions, their mean over the image, a head for each guess.

    The convolutions are padded, which the release's are not, so that images below 32 pixels pass too.

    Args:
        channels: of both images together.
        num_directions: D.
        width: multiplies the channel counts; the release's is 2.
    """

    def __init__(self, channels: int, num_directions: int, width: float = 2.0) -> None:
        super().__init__()
        if not width > 0:
            raise ValueError(f"lenet_width must be positive, got {width}")
        sizes = [channels, *(max(1, round(count * width)) for count in (3, 8, 60))]
        hidden = max(1, round(42 * width))
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            layers += [nn.MaxPool2d(2)] if layers else []
            layers += [nn.Conv2d(before, after, 5, padding=2), nn.BatchNorm2d(after), nn.ReLU()]
        self.convolutions = nn.Sequential(*layers)
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(sizes[-1], hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, guesses))
            for guesses in (num_directions, 1)
        )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it

    def forward(self, pairs: Tensor) -> Tensor:
        """Guesses ``(N, D + 1)``: a logit for each direction, then the magnitude."""
        features = self.convolutions(pairs).mean(dim=(2, 3))
        return torch.cat([head(features) for head in self.heads], dim=1)


@dataclass(frozen=True)
class LatentDiscovery(Method):
    """Directions and a reconstructor that recognises them.

    >>> import contrafact as cf
    >>> scene = cf.load_generator("analytic", {"size": 32})
    >>> run = cf.methods.LatentDiscovery.preset("quick", steps=1).fit(scene, "runs/latent-discovery")
    >>> run.directions.num_directions  # as many as the latent has dimensions, unless told
    8
    """

    source: ClassVar[Literal["generator", "images"]] = "generator"
    yields: ClassVar[tuple[str, ...]] = ("directions", "generator")
    older: ClassVar[Mapping[str, Any]] = {"images_at_once": 0}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "mnist": {"reconstructor": "lenet"},
        "quick": {
            "reconstructor": "lenet", "max_shift": 3.0, "steps": 800, "learning_rate": 3e-3,
            "deformator_learning_rate": 1e-2,
        },
    }  # fmt: skip

    num_directions: SizeOrZero = 0
    """Directions D; 0 for as many as latent dimensions."""
    deformator: Deformator = "orthonormal"
    """Kind of directions: an orthonormal frame (as released), vectors of unit length (projection) or of any (linear), a
    three-layer network (fc), or a random frame that stays as it is (random)."""
    first_layer: Layer | None = None
    """First layer of a style-based generator the directions act on; empty for all."""
    last_layer: Layer | None = None
    """One past the last such layer."""
    reconstructor: Literal["resnet18", "lenet"] = "resnet18"
    """Network that names the edit; lenet is for small images."""
    lenet_width: Width = 2.0
    """Multiplies the lenet's channel counts."""

    shift: Literal["uniform", "normal"] = "uniform"
    """Magnitudes: uniform in ±max_shift, or max_shift times a standard normal."""
    max_shift: Positive = 6.0
    """Scale of the magnitudes, in standard deviations of the edit space."""
    min_shift: Weight = 0.5
    """Smaller magnitudes are lifted to this, keeping their sign."""
    shift_weight: Weight = 0.25
    """Weight of the magnitude's absolute error beside the direction's cross-entropy."""
    truncation: Share | None = None
    """Truncation of the latents that are edited, in [0, 1]: 1 for none; by default the generator's own."""

    steps: Steps = 100_000
    """Training steps."""
    batch_size: Size = 32
    """Edits of a step, each with its own latent, direction and magnitude."""
    images_at_once: SizeOrZero = 0
    """Edited images of a step that the generator makes at a time, each of them twice: the same gradients, the memory of
    so many; 0 for all at once and once only."""
    learning_rate: Rate = 1e-4
    """The reconstructor's learning rate (Adam)."""
    deformator_learning_rate: Rate = 1e-4
    """The directions' learning rate (Adam)."""

    def check_options(self) -> None:
        """Refuse crossed shifts, and a batch of one."""
        if self.min_shift > self.max_shift:
            raise ValueError(f"expected min_shift <= max_shift, got {self.min_shift} and {self.max_shift}")
        if self.batch_size < 2:
            raise ValueError("batch_size must be at least 2: the reconstructor normalises over the batch")

    def check_source(self, source: Generator, run: Run) -> None:
        """Refuse directions and a truncation that do not fit the generator."""
        source.truncated(self.truncation)
        self.build_directions(source, run)

    def train(self, source: Generator, run: Run) -> Artefacts:
        """Minimise the reconstructor's loss over it and the directions."""
        directions = self.build_directions(source, run)
        channels, height, width = source.image_shape
        with run.seeded_init("reconstructor"):
            reconstructor: nn.Module = (
                LeNet(2 * channels, directions.num_directions, self.lenet_width)
                if self.reconstructor == "lenet"
                else ResNetEncoder((2 * channels, height, width), directions.num_directions + 1, 18, "imagenet")
            )
        reconstructor.to(run.device).train()
        # One Adam with two rates takes the same steps as the release's two Adams: it treats each weight on its own.
        moved = [p for p in directions.parameters() if p.requires_grad]
        groups: list[dict[str, Any]] = [{"params": reconstructor.parameters()}]
        groups += [{"params": moved, "lr": self.deformator_learning_rate}] if moved else []
        optimizer = torch.optim.Adam(groups, lr=self.learning_rate)
        self._check_memory(source, reconstructor, run)
        rng = run.rng("edits")
        state: dict[str, Any] = {"directions": directions, "reconstructor": reconstructor}
        state |= {"optimizer": optimizer, "rng": rng}

        for _ in run.steps(self.steps, state):
            loss, scalars = self.step_loss(source, directions, reconstructor, rng, run)
            optimizer.zero_grad(set_to_none=True)
            run.backward(loss, [*reconstructor.parameters(), *moved])
            optimizer.step()
            run.log(loss=loss, **scalars)

        directions.note = {"accuracy": round(run.last_line["accuracy"], 4)}
        return Artefacts(directions=directions, generator=source)

    def _check_memory(self, source: Generator, reconstructor: nn.Module, run: Run) -> None:
        """Refuse a step that does not fit, before hours have been spent on the way there (ValueError)."""
        latents = source.sample(2, seed=0).requires_grad_()
        channels, height, width = source.image_shape
        pairs = torch.zeros(2, 2 * channels, height, width, device=latents.device)
        reconstructor.eval()  # so that looking leaves its running statistics as they are
        with run.autocast():
            generated, read = graph_bytes(source, latents), graph_bytes(reconstructor, pairs)
        reconstructor.train()
        needed = generated * (self.images_at_once or self.batch_size) + read * self.batch_size
        refuse_too_much(needed, run.device, "set images_at_once to 1 or a few, or a smaller batch_size")

    def build_directions(self, source: Generator, run: Run) -> Directions:
        """Fresh directions of the chosen kind on the run's device.

        Raises:
            ValueError: more directions than latent dimensions where they form an orthonormal frame.
        """
        count = self.num_directions or source.edit_dim
        layers = source.layer_range(self.first_layer, self.last_layer)
        where: dict[str, Any] = {"scale": source.latent_scale(), "layers": layers, "num_layers": source.num_layers}
        where["columns"] = source.edit_columns
        with run.seeded_init("directions"):
            if self.deformator == "fc":
                return CurvedDirections(source.edit_dim, count, FC_WIDTH, **where).to(run.device)
            vectors = GlobalDirections(source.edit_dim, count, _CONSTRAINTS[self.deformator], **where)
            # About unit length: how far Adam turns a rescaled vector in a step depends on its length before rescaling.
            nn.init.normal_(vectors.weight, std=source.edit_dim**-0.5)
        return vectors.requires_grad_(self.deformator != "random").to(run.device)

    def draw_edits(self, num_directions: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Direction and magnitude of every edit of a step, each ``(N,)``."""
        index = torch.randint(num_directions, (self.batch_size,), generator=rng)
        if self.shift == "normal":
            magnitude = self.max_shift * torch.randn(self.batch_size, generator=rng)
        else:
            magnitude = self.max_shift * (2 * torch.rand(self.batch_size, generator=rng) - 1)
        lifted = magnitude.abs().clamp_min(self.min_shift)
        return index, torch.where(magnitude < 0, -lifted, lifted)

    def step_loss(
        self, source: Generator, directions: Directions, reconstructor: nn.Module, rng: torch.Generator, run: Run
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of one step on freshly drawn edits, and the scalars to log."""
        index, magnitude = (t.to(run.device) for t in self.draw_edits(directions.num_directions, rng))
        source = source.truncated(self.truncation)
        latent = source.sample(self.batch_size, rng)
        edited = directions(latent, index, magnitude)
        with run.autocast():
            with torch.no_grad():
                before = source(latent)
            after = in_pieces(source, edited, self.images_at_once)
            pairs = 2 * torch.cat([before, after], dim=1) - 1
            guess = reconstructor(pairs.contiguous(memory_format=torch.channels_last))
        return reconstruction_loss(guess.float(), index, magnitude, self.shift_weight)


def reconstruction_loss(
    guess: Tensor, index: Tensor, magnitude: Tensor, shift_weight: float = 0.25
) -> tuple[Tensor, dict[str, Tensor]]:
    """Cross-entropy of the direction plus the weighted absolute error of the magnitude (the paper's Eq. 2).

    Args:
        guess: ``(N, D + 1)``, a logit for each direction, then the magnitude.
        index: true directions ``(N,)``.
        magnitude: true magnitudes ``(N,)``.
        shift_weight: λ.

    Returns:
        the loss, and what to log: its two parts, and ``accuracy``, the share of directions named rightly.
    """
    direction = F.cross_entropy(guess[:, :-1], index)
    error = (guess[:, -1] - magnitude).abs().mean()
    accuracy = (guess[:, :-1].argmax(dim=1) == index).float().mean()
    return direction + shift_weight * error, {"direction": direction, "shift_error": error, "accuracy": accuracy}
