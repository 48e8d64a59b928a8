"""Small datasets, generators and methods that make whole run folders in no time."""

import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from contrafact.core.dataset import FactorDataset, ImageDataset, check_indices
from contrafact.core.directions import GlobalDirections
from contrafact.core.generator import Generator
from contrafact.core.method import Artefacts, Method
from contrafact.generators.vae import VAE
from contrafact.nn.encoders import ConvEncoder


class Rooms(FactorDataset):
    """Grey 16×16 images whose three stripes are the three factors."""

    name = "rooms"
    source = "procedural stand-in"
    factor_names = ("left", "<middle>", "right")
    factor_sizes = (4, 3, 5)
    image_shape = (3, 16, 16)

    def batch(self, indices):
        factors = torch.from_numpy(self.factors_of(check_indices(self, indices))).float()
        images = torch.zeros(len(factors), 3, 16, 16)
        for k, size in enumerate(self.factor_sizes):
            images[:, :, :, 5 * k : 5 * k + 5] = (factors[:, k] / size).view(-1, 1, 1, 1)
        return images


@dataclass(frozen=True)
class TinyDirections(Method):
    """Yields the true directions of an analytic scene and one dead one, and an untrained encoder."""

    source: ClassVar[str] = "generator"
    yields: ClassVar[tuple[str, ...]] = ("encoder", "directions", "generator")
    steps: int = 6
    """Training steps."""

    def train(self, source, run):
        for step in run.steps(self.steps, {}):
            run.log(loss=1.0 / (step + 1), share=torch.tensor(0.5))
        dead = source.mix.T[-1:]
        directions = GlobalDirections.of(
            torch.cat((dead, source.true_directions())), names=["dead & <b>gone</b></script>", *source.factor_names]
        )
        return Artefacts(encoder=ConvEncoder(source.image_shape, 5, 0.1), directions=directions, generator=source)


@dataclass(frozen=True)
class TinyCodes(Method):
    """Yields an untrained encoder and generator, as a VAE would."""

    source: ClassVar[str] = "images"
    yields: ClassVar[tuple[str, ...]] = ("encoder", "generator")

    def train(self, source, run):
        return Artefacts(encoder=ConvEncoder(source.image_shape, 4, 0.1), generator=VAE(4, source.image_shape, 0.1))


@dataclass(frozen=True)
class TinyEncoder(Method):
    """Yields an encoder only."""

    source: ClassVar[str] = "images"
    yields: ClassVar[tuple[str, ...]] = ("encoder",)

    def train(self, source, run):
        return Artefacts(encoder=ConvEncoder(source.image_shape, 4, 0.1))


class Stripes(Generator):
    """Image ``latent @ weight``: linear, so that every traversal is known in closed form."""

    def __init__(self, latent_dim=3, image_shape=(1, 4, 6), num_layers=1):
        super().__init__()
        self.latent_dim = self.prior_dim = latent_dim
        self.image_shape, self.num_layers = image_shape, num_layers
        rng = torch.Generator().manual_seed(1)
        self.register_buffer("weight", torch.rand(latent_dim, int(np.prod(image_shape)), generator=rng))

    def forward(self, latent):
        flat = latent if latent.ndim == 2 else latent.mean(dim=1)
        return (self.check_latent(flat) @ self.weight).view(-1, *self.image_shape)


class Flowers(ImageDataset):
    name = "flowers"
    source = "procedural stand-in"
    image_shape = (3, 8, 10)

    def __init__(self, classes=()):
        self.class_names = tuple(classes)

    def __len__(self):
        return 12

    def batch(self, indices):
        return (torch.as_tensor(np.asarray(indices)).float() / 12).view(-1, 1, 1, 1).expand(-1, *self.image_shape)

    @property
    def labels(self):
        return np.arange(12) % len(self.class_names) if self.class_names else None


def score(metric, of="run", data="rooms", source="procedural stand-in", matrix=None, notes=(), **scores):
    result = {
        "score": next(iter(scores.values())),
        "protocol": f"{metric}_n100",
        "matrix": matrix,
        "notes": list(notes),
    }
    line = {"metric": metric, "of": of, "data": {"name": data, "source": source}, "scores": scores, "result": result}
    return json.dumps(line) + "\n"
