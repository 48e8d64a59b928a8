"""Sharp Generator: a small StyleGAN2 of a simple world, in half an hour of two cores.

A game between generator and discriminator needs hundreds of thousands of steps. Where images have few factors the same
networks can be trained by regression alone, in three stages:

1. An encoder of thumbnails and the synthesis network learn together to give the images again (as the autoencoders of
   Bojanowski et al., "Optimizing the Latent Space of Generative Networks", ICML 2018, with an encoder instead of a
   table of latents): W is where the encoder puts the images, on a sphere.
2. Where on it they lie is learned by a rectified flow from noise (Liu et al., "Flow Straight and Fast", ICLR 2023).
3. StyleGAN2's mapping network learns to go in one step where the flow goes in many. By regression alone it would stop
   short of the outer codes; the energy distance (Székely & Rizzo, "Energy statistics", 2013) holds it to all of them.

    contrafact fit docs/examples/sharp_generator.py:SharpGenerator --data shapes3d --size 64 --out runs/shapes3d-64

Shape suffixes: N images, L latent (W) dimensions, H hidden units.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.dataset import ImageDataset
from contrafact.core.generator import architecture
from contrafact.core.method import Artefacts, Method
from contrafact.core.ranges import Positive, Rate, Size, Steps, Weight
from contrafact.core.run import Run
from contrafact.training.schedule import set_rate, warmup_cosine
from contrafact.training.stages import stages

HIDDEN = 512
THUMBNAIL = 16


@dataclass(frozen=True)
class SharpGenerator(Method):
    """StyleGAN2's networks, trained by regression.

    >>> import contrafact as cf
    >>> images = cf.load_dataset("shapes3d", size=16)
    >>> run = SharpGenerator.preset("tiny", steps=1).fit(images, "runs/sharp")
    >>> run.generator.space, run.generator.image_shape
    ('w', (3, 16, 16))
    """

    source: ClassVar[Literal["generator", "images"]] = "images"
    labels: ClassVar[Literal["none", "optional", "few"]] = "none"
    yields: ClassVar[tuple[str, ...]] = ("generator",)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"steps": 5000, "flow_steps": 2000, "map_steps": 3000},
        "tiny": {
            "channel_base": 64, "max_channels": 8, "latent_dim": 8, "batch_size": 4, "flow_steps": 1, "map_steps": 1,
            "samples": 64,
        },
    }  # fmt: skip

    latent_dim: Size = 32
    """Dimensions L of W and of the prior."""
    channel_base: Size = 1024
    """Channels at side R are this over R."""
    max_channels: Size = 128
    """But no more than this."""
    steps: Steps = 14_000
    """Steps of the first stage: images from codes."""
    batch_size: Size = 16
    """Images in each."""
    learning_rate: Rate = 0.01
    """Adam's highest learning rate for the synthesis network, whose weights are of unit scale; a tenth for the rest."""
    jitter: Weight = 0.05
    """Standard deviation of the noise added to codes, whose mean square is 1: near ones shall make like images."""
    flow_steps: Steps = 4000
    """Steps of the second stage: noise to codes, in many steps."""
    map_steps: Steps = 10_000
    """Steps of the third: noise to codes, in one."""
    energy_weight: Weight = 50.0
    """Weight of the energy distance between mapped noise and codes, beside the squared error to the flow's."""
    samples: Size = 50_000
    """Codes that the flow sees, and pairs of noise and code that it leaves."""
    ema: Positive = 200.0
    """Steps over which the average of the flow's weights forgets half."""

    def grows(self) -> str:
        return "map_steps"

    def train(self, source: ImageDataset, run: Run) -> Artefacts:
        """One stage after the other."""
        channels, side, width = source.image_shape
        if side != width or side < 8 or side & (side - 1):
            raise ValueError(f"StyleGAN2 makes square images of 8, 16, 32, … pixels, got {side}×{width}; give --size")
        counts = [max(1, min(self.channel_base >> r, self.max_channels)) for r in range(2, side.bit_length())]
        with run.seeded_init("networks"):
            generator: Any = architecture("stylegan2")(
                side, self.latent_dim, channels=counts, mapping_layers=4, mapping_dim=512, mapping_lr=1.0,
                image_channels=channels,
            )  # fmt: skip
            encoder = Encoder(channels, side, self.latent_dim)
            flow = Velocity(self.latent_dim)
        average = copy.deepcopy(flow).requires_grad_(False)
        for network in (generator, encoder, flow, average):
            network.to(run.device)
        mapping = list(generator.mapping.parameters())
        learned_apart = {id(parameter) for parameter in mapping}
        synthesis = [parameter for parameter in generator.parameters() if id(parameter) not in learned_apart]
        adam = {
            name: torch.optim.Adam(parameters, betas=(0.9, 0.99), fused=True)
            for name, parameters in {
                "synthesis": synthesis, "encoder": encoder.parameters(), "flow": flow.parameters(), "mapping": mapping,
            }.items()
        }  # fmt: skip
        images_rng, noise_rng, rows_rng = run.numpy_rng("images"), run.rng("noise"), run.rng("rows")
        state: dict[str, Any] = {"generator": generator, "encoder": encoder, "flow": flow, "average": average}
        state |= {f"{name}_adam": optimizer for name, optimizer in adam.items()}
        state |= {"images": images_rng, "noise": noise_rng, "rows": rows_rng}

        def noise(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=noise_rng).to(run.device)

        def rows(table: Tensor) -> Tensor:
            return torch.randint(len(table), (HIDDEN,), generator=rows_rng).to(table.device)

        imaging, flowing, mapping_ = stages(run, (self.steps, self.flow_steps, self.map_steps), state)
        for step in imaging:
            rate = self.learning_rate * warmup_cosine(step, self.steps, min(100, self.steps))
            set_rate(adam["synthesis"], rate)
            set_rate(adam["encoder"], rate / 10)
            images = source.random_batch(self.batch_size, images_rng).to(run.device)
            code_NL = encoder(images)
            with run.autocast():
                made = generator(code_NL + self.jitter * noise(*code_NL.shape), noise="none")
            error = made - images
            loss = error.abs().mean() + error.square().mean() + _edges(error)
            _descend(loss, adam["synthesis"], adam["encoder"], run=run)
            run.log(loss=loss, error=error.abs().mean())

        sphere_NL = _codes(encoder, source, self.samples, run)
        mean_L, scale = sphere_NL.mean(dim=0), sphere_NL.std(dim=0).square().mean().sqrt()
        code_NL = (sphere_NL - mean_L) / scale
        for step in flowing:
            set_rate(adam["flow"], 1e-3 * warmup_cosine(step, self.flow_steps, min(100, self.flow_steps)))
            code = code_NL[rows(code_NL)]
            start, time = noise(*code.shape), torch.rand(len(code), 1, generator=noise_rng).to(run.device)
            loss = (flow(torch.lerp(start, code, time), time) - (code - start)).square().mean()
            _descend(loss, adam["flow"], run=run)
            decay = 0.5 ** (1 / min(self.ema, 1 + step / 10))
            with torch.no_grad():
                torch._foreach_lerp_([*average.parameters()], [*flow.parameters()], 1 - decay)
            run.log(flow_loss=loss)

        pairs_rng = run.rng("pairs", shared=True)
        z_NL = F.normalize(torch.randn(self.samples, self.latent_dim, generator=pairs_rng), dim=1)
        z_NL = (z_NL * self.latent_dim**0.5).to(run.device)  # where StyleGAN2's mapping puts its noise
        w_NL = _on_sphere(average.transport(z_NL) * scale + mean_L)
        for step in mapping_:
            set_rate(adam["mapping"], 2e-3 * warmup_cosine(step, self.map_steps, min(100, self.map_steps)))
            chosen = rows(z_NL)
            mapped = generator.to_w(z_NL[chosen])
            error = (mapped - w_NL[chosen]).square().sum(dim=1).mean()
            distance = energy_distance(mapped, sphere_NL[rows(sphere_NL)])
            _descend(error + self.energy_weight * distance, adam["mapping"], run=run)
            run.log(mapping_error=error, energy_distance=distance)

        with torch.no_grad():
            generator.w_avg.copy_(generator.to_w(z_NL).mean(dim=0))
        return Artefacts(generator=generator)


class Encoder(nn.Module):
    """Images to codes ``(N, L)`` whose mean square is 1."""

    def __init__(self, channels: int, side: int, latent_dim: int) -> None:
        super().__init__()
        self.side = min(side, THUMBNAIL)
        self.layers = nn.Sequential(
            nn.Linear(channels * self.side**2, HIDDEN), nn.LeakyReLU(0.2), nn.Linear(HIDDEN, HIDDEN),
            nn.LeakyReLU(0.2), nn.Linear(HIDDEN, latent_dim),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        thumbnails = F.avg_pool2d(images, images.shape[-1] // self.side)
        return _on_sphere(self.layers(2 * thumbnails.flatten(1) - 1))


class Velocity(nn.Module):
    """Where to, from a point ``(N, L)`` at a time ``(N, 1)`` between 0 (noise) and 1 (codes)."""

    frequencies: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.linspace(1, 40, 8))
        self.first = nn.Linear(latent_dim + 16, HIDDEN)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(HIDDEN), nn.Linear(HIDDEN, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, HIDDEN))
            for _ in range(3)
        )
        self.last = nn.Linear(HIDDEN, latent_dim)

    def forward(self, point_NL: Tensor, time: Tensor) -> Tensor:
        phase = time * self.frequencies
        x_NH = self.first(torch.cat((point_NL, phase.sin(), phase.cos()), dim=1))
        for block in self.blocks:
            x_NH = x_NH + block(x_NH)
        velocity: Tensor = self.last(F.silu(x_NH))
        return velocity

    @torch.no_grad()
    def transport(self, point_NL: Tensor, steps: int = 24) -> Tensor:
        """Noise to codes by Heun's method."""
        for step in range(steps):
            time = torch.full((len(point_NL), 1), step / steps, device=point_NL.device)
            here = self(point_NL, time)
            there = self(point_NL + here / steps, time + 1 / steps)
            point_NL = point_NL + (here + there) / (2 * steps)
        return point_NL


def energy_distance(first_NL: Tensor, second_NL: Tensor) -> Tensor:
    """2 E|X − Y| − E|X − X'| − E|Y − Y'|, unbiased: 0 for equal distributions, above it for others."""

    def within(x: Tensor) -> Tensor:
        return torch.cdist(x, x).sum() / (len(x) * (len(x) - 1))

    return 2 * torch.cdist(first_NL, second_NL).mean() - within(first_NL) - within(second_NL)


@torch.no_grad()
def _codes(encoder: Encoder, source: ImageDataset, samples: int, run: Run) -> Tensor:
    """Codes of images drawn from a stream of their own, so that a run resumed behind the first stage sees the same."""
    rng = run.numpy_rng("codes", shared=True)
    return torch.cat([encoder(source.random_batch(500, rng).to(run.device)) for _ in range(-(-samples // 500))])


def _on_sphere(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


def _edges(error: Tensor) -> Tensor:
    """Mean absolute difference between neighbouring pixels, across plus down: blurred edges cost most."""
    return error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()


def _descend(loss: Tensor, *optimizers: torch.optim.Optimizer, run: Run) -> None:
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)
    loss.backward()
    for optimizer in optimizers:
        run.average_gradients(optimizer.param_groups[0]["params"])
        optimizer.step()
