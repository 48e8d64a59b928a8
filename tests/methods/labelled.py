"""A tiny dataset of classes that can be told apart in seconds, for the methods that learn from labels."""

import numpy as np
import torch

from contrafact.core.dataset import ImageDataset, check_indices
from contrafact.core.few_labels import choose_labels


class Stripes(ImageDataset):
    """Stripes of three directions on noise: 240 images of 16 pixels."""

    name, image_shape, source = "stripes", (1, 16, 16), "made by the test"

    def __init__(self, classes=3, labels=None, poisoned=False, label_seed=0):
        self.class_names = tuple("abcdef"[:classes])
        rng = np.random.default_rng(0)
        self._labels = np.arange(240) % classes
        down, across = np.meshgrid(np.arange(16), np.arange(16), indexing="ij")
        patterns = np.stack([down % 4 < 2, across % 4 < 2, (down + across) % 4 < 2, np.ones_like(down)])[:classes]
        noise = rng.random((240, 16, 16)) * 0.4
        self._images = (0.6 * patterns[self._labels] + noise).astype(np.float32)[:, None]
        if labels is not None:
            self.few_labels = choose_labels(self, labels, seed=label_seed)
        if poisoned:
            self._labels = np.full(240, -99)

    @property
    def labels(self):
        return self._labels

    def __len__(self):
        return 240

    def batch(self, indices):
        return torch.from_numpy(self._images[check_indices(self, indices)])
