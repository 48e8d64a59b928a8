"""Labelled images for tests: noise whose mean tells the class."""

import numpy as np
import torch

from contrafact.core.dataset import ImageDataset, check_indices


class ToyImages(ImageDataset):
    """Sixty images of three classes."""

    name, source = "toy", "made for a test"
    class_names = ("dark", "middle", "bright")

    def __init__(self, image_shape=(3, 16, 16)):
        self.image_shape = image_shape

    def __len__(self):
        return 60

    @property
    def labels(self):
        return np.arange(60) % 3

    def batch(self, indices):
        checked = check_indices(self, indices)
        noise = torch.rand(60, *self.image_shape, generator=torch.Generator().manual_seed(0))[checked]
        return (0.2 * noise + torch.from_numpy(self.labels[checked] / 3.0).float()[:, None, None, None]).clamp(0, 1)
