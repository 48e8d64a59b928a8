"""A dataset of sixteen images with two factors, learnable in seconds."""

import numpy as np
import pytest
import torch

from contrafact.core.artefact import fingerprint
from contrafact.core.dataset import FewLabels, ImageDataset, check_indices


class Blobs(ImageDataset):
    """A bright square at one of sixteen places."""

    name, image_shape, source = "blobs", (1, 16, 16), "made by the test"

    def __init__(self, dark=0.0, bright=1.0):
        self.dark, self.bright = dark, bright

    def __len__(self):
        return 16

    def batch(self, indices):
        images = torch.full((len(indices), 1, 16, 16), self.dark)
        for row, index in enumerate(check_indices(self, indices)):
            top, left = divmod(int(index), 4)
            images[row, 0, 4 * top : 4 * top + 4, 4 * left : 4 * left + 4] = self.bright
        return images

    def annotated(self, *indices):
        """The same images with row and column known of some."""
        rows = np.asarray(indices, dtype=np.int64)
        values = np.stack(np.divmod(rows, 4), axis=1)
        self.few_labels = FewLabels(rows, values, ("row", "column"), (4, 4))
        return self


def check_resumes(method, stops, run_in, tmp_path, monkeypatch):
    """A run that is ended at each of the given batches and taken up again ends where a whole one does."""
    whole = method.fit(Blobs(), run_in(tmp_path / "whole", log_every=1))
    batch = ImageDataset.random_batch
    for stop_at in stops:
        calls = []

        def stop(self, *args, calls=calls, stop_at=stop_at):
            calls.append(1)
            if len(calls) == stop_at:
                raise KeyboardInterrupt
            return batch(self, *args)

        monkeypatch.setattr(ImageDataset, "random_batch", stop)
        folder = tmp_path / f"cut {stop_at}"
        with pytest.raises(KeyboardInterrupt):
            method.fit(Blobs(), run_in(folder, log_every=1, save_every=0))
        monkeypatch.setattr(ImageDataset, "random_batch", batch)
        resumed = method.fit(Blobs(), run_in(folder, log_every=1, save_every=0, resume=True))
        assert fingerprint(resumed.encoder) == fingerprint(whole.encoder)
        assert fingerprint(resumed.generator) == fingerprint(whole.generator)
