"""Labelled images and pairs for tests."""

import numpy as np
import torch

from contrafact.core.dataset import ImageDataset, PairDataset, Pairs, check_indices


class ToyImages(ImageDataset):
    """Sixty images of noise, whose mean tells one of three classes."""

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


class GreyImages(ToyImages):
    """The same without colour, but three channels, as a folder of grey pictures has them."""

    def batch(self, indices):
        return super().batch(indices)[:, :1].expand(-1, 3, -1, -1)


class ToyPairs(PairDataset):
    """Brightness is held, a stripe's place varies."""

    name, source, image_shape = "toy pairs", "made for a test", (3, 16, 16)
    factor_names, factor_sizes, held = ("light", "side", "place"), (3, 2, 4), ("light", "side")

    def __len__(self):
        return 96

    def factors_of(self, indices):
        checked = check_indices(self, indices)
        return np.stack([checked % 3, checked % 2, checked % 4], axis=1)

    def batch(self, indices):
        return self._draw(self.factors_of(indices))

    def pairs(self, indices):
        first = self.factors_of(indices)
        second = first + np.array([0, 0, 1])
        second[:, 2] %= 4
        return Pairs(self._draw(first), self._draw(second), first, second)

    def _draw(self, factors):
        images = torch.zeros(len(factors), *self.image_shape)
        for image, (light, side, place) in zip(images, factors, strict=True):
            image[side] = (light + 1) / 4
            image[:, :, 4 * place : 4 * place + 2] = 1
        return images
