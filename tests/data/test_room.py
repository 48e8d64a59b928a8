"""The buffers of the Shapes3D room; pixels are checked against another renderer in test_shapes3d."""

import itertools
from pathlib import Path

import numpy as np

from contrafact.data import _room


def test_buffers_are_shares_of_each_pixel():
    """Coverage sums to one, so light-weighted coverage sums to at most one, and exactly one where all is sky."""
    for buffers in itertools.islice(_room.render_buffers(), 0, 60, 17):
        assert buffers.shape == (4, 64, 64)
        assert buffers.dtype == np.float32
        assert buffers.min() >= 0
        total = buffers.sum(axis=0)
        assert total.max() <= 1 + 1e-6
        assert (total[:5] == 1).all()
        assert total[60:].min() > 0.3
        assert buffers[_room.OBJECT].max() > 0.5


def test_the_version_changes_with_the_renderer(tmp_path, monkeypatch):
    copy = tmp_path / "_room.py"
    copy.write_text(Path(_room.__file__).read_text() + "\n")
    before = _room.version()
    assert _room.version() == before
    monkeypatch.setattr(_room, "__file__", str(copy))
    assert _room.version() != before
