"""What the stages of latent optimisation share: which images are trained on, what is known of them, a prior at the end.

Shape suffixes: N images of a batch, M annotated images, F factors, L latent dimensions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from contrafact.core.dataset import ImageDataset, IntArray, check_count
from contrafact.core.few_labels import FewLabels
from contrafact.core.run import Run
from contrafact.nn.factor_codes import FactorEncoder

PRIOR_IMAGES = 10_000
_BATCH = 500


class TrainingImages:
    """Some images of a dataset, the annotated ones first; places count within them.

    Each of several processes has images of its own, since their latents are its own.

    Args:
        dataset: where the images come from.
        labels: what is known of a few of them.
        number: how many to train on.
        run: supplies the choice and this process's share.
    """

    def __init__(self, dataset: ImageDataset, labels: FewLabels, number: int, run: Run) -> None:
        number = min(check_count("num_images", number), len(dataset))
        self.dataset, self.labels = dataset, labels
        rng = run.numpy_rng("training images", shared=True)
        others = np.setdiff1d(rng.choice(len(dataset), number, replace=False), labels.indices)
        others = rng.permutation(others)[: max(0, number - len(labels))][run.rank :: run.world_size]
        self.indices: IntArray = np.concatenate([labels.indices, others]).astype(np.int64)

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, places: IntArray, run: Run) -> Tensor:
        """Images ``(N, C, H, W)`` on the run's device."""
        return self.dataset.batch(self.indices[places]).to(run.device)

    def annotations(self, places: IntArray, run: Run) -> tuple[Tensor, Tensor]:
        """Whether each image is annotated ``(N,)``, and its values ``(N, F)`` (0 where it is not)."""
        known_N = places < len(self.labels)
        values_NF = np.zeros((len(places), len(self.labels.names)), dtype=np.int64)
        values_NF[known_N] = self.labels.values[places[known_N]]
        return torch.from_numpy(known_N).to(run.device), torch.from_numpy(values_NF).to(run.device)

    def pick_annotated(self, rng: np.random.Generator, most: int) -> IntArray:
        """Places of annotated images: all of them, or ``most`` drawn without repetition."""
        count = len(self.labels)
        return np.arange(count) if count <= most else np.sort(rng.choice(count, most, replace=False))


def check_latent_settings(settings: Any) -> None:
    """Refuse settings out of range (ValueError) before any network is built."""
    if isinstance(settings.residual_dim, bool) or settings.residual_dim < 0:
        raise ValueError(f"residual_dim must be 0 (no residual) or more, got {settings.residual_dim}")
    if settings.sigma < 0:
        raise ValueError(f"sigma is a standard deviation and must not be negative, got {settings.sigma}")
    check_count("batch_size", settings.batch_size)


@torch.no_grad()
def fit_prior(generator: Any, encoder: FactorEncoder, images: TrainingImages, run: Run) -> dict[str, Any]:
    """Give the generator the distribution of the encoder's latents to draw from; returns a note on its quality."""
    encoder.eval()
    places = run.numpy_rng("prior", shared=True).permutation(len(images))[:PRIOR_IMAGES]
    latents, errors = [], []
    for start in range(0, len(places), _BATCH):
        pictures = images.batch(places[start : start + _BATCH], run)
        latents.append(encoder.latent(pictures))
        errors.append((generator(latents[-1]) - pictures).square().mean())
    generator.fit_prior(torch.cat(latents))
    return {"mse": round(float(torch.stack(errors).mean()), 5)}
