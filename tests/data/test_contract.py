"""What every catalogued dataset promises; a new file in ``data/`` is tested here without a line added."""

import inspect
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from contrafact.core.dataset import FactorDataset, ImageDataset
from contrafact.data import CATALOG

from .tiny_files import WRITERS


@pytest.fixture(params=CATALOG.names())
def dataset(request, tmp_path, monkeypatch):
    name = request.param
    arguments = {}
    if name in WRITERS:
        monkeypatch.setenv("CONTRAFACT_CACHE", str(tmp_path / "cache"))
        files = tmp_path / "files"
        files.mkdir()
        arguments = WRITERS[name](files, monkeypatch)
    try:
        return CATALOG.get(name)(**arguments)
    except (ValueError, TypeError) as error:
        if name in WRITERS:
            raise
        pytest.fail(
            f"{name} needs files ({error}); add a function to WRITERS in tests/data/tiny_files.py that writes small "
            "ones in the published format"
        )


def test_it_describes_itself(dataset):
    assert isinstance(dataset, ImageDataset)
    assert dataset.name
    assert dataset.source
    channels, height, width = dataset.image_shape
    assert channels in (1, 3)
    assert height == width > 0
    assert str(len(dataset)) in repr(dataset)


def test_a_batch_is_float32_nchw_in_unit_range(dataset):
    count = len(dataset)
    for indices in ([count - 1, 0, 0], np.array([count // 2]), torch.tensor([0, count - 1]), []):
        images = dataset.batch(np.asarray(indices, dtype=int) if len(indices) == 0 else indices)
        assert images.dtype == torch.float32
        assert tuple(images.shape) == (len(indices), *dataset.image_shape)
        assert images.is_contiguous()
        if len(indices):
            assert 0 <= images.min() <= images.max() <= 1


def test_an_image_does_not_depend_on_its_batch(dataset):
    indices = np.random.default_rng(0).integers(len(dataset), size=20)
    together = dataset.batch(indices)
    assert torch.equal(dataset.batch(indices[7:8]), together[7:8])
    assert torch.equal(dataset.batch(indices), together)
    assert len(torch.unique(together, dim=0)) > 1


def test_random_batches_repeat_by_seed(dataset):
    one, two = (dataset.random_batch(5, np.random.default_rng(3)) for _ in range(2))
    assert torch.equal(one, two)


@pytest.mark.parametrize("wrong", [[-1], [0.5], [[0]]])
def test_wrong_indices_are_refused(dataset, wrong):
    with pytest.raises(ValueError, match="indices"):
        dataset.batch(wrong)
    with pytest.raises(ValueError, match=r"indices must lie in \[0"):
        dataset.batch([len(dataset)])


def test_labels_name_classes(dataset):
    if dataset.labels is None:
        assert dataset.class_names == ()
    else:
        assert dataset.labels.shape == (len(dataset),)
        assert 0 <= dataset.labels.min() <= dataset.labels.max() < len(dataset.class_names)


def test_the_constructor_is_explicit_and_its_size_checked(dataset, tmp_path):
    parameters = inspect.signature(type(dataset)).parameters
    assert all(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters.values())
    assert {"path", "size"} <= parameters.keys()
    assert isinstance(parameters["size"].default, int)
    for size in (0, -8, 7.5, True):
        with pytest.raises(ValueError, match="size must be"):
            type(dataset)(path=tmp_path, size=size)


def test_a_pickled_copy_gives_the_same_images(dataset):
    """Worker processes get their dataset this way."""
    indices = [0, len(dataset) - 1]
    before = dataset.batch(indices)
    assert torch.equal(pickle.loads(pickle.dumps(dataset)).batch(indices), before)


def test_grids_count_their_factors_row_major(dataset):
    if not isinstance(dataset, FactorDataset):
        pytest.skip("no known factors")
    sizes = dataset.factor_sizes
    assert len(set(dataset.factor_names)) == len(sizes)
    assert min(sizes) >= 1
    assert len(dataset) == np.prod(sizes)

    @settings(max_examples=30, deadline=None, derandomize=True)
    @given(st.integers(0, len(dataset) - 1))
    def round_trip(index):
        row = dataset.factors_of([index])
        strides = [int(np.prod(sizes[axis + 1 :])) for axis in range(len(sizes))]
        assert sum(int(v) * s for v, s in zip(row[0], strides, strict=True)) == index
        assert dataset.index_of(row).tolist() == [index]

    round_trip()
    factors = dataset.sample(6, np.random.default_rng(0))
    assert torch.equal(dataset.images(factors), dataset.batch(dataset.index_of(factors)))
    assert torch.equal(dataset.images(torch.from_numpy(factors)), dataset.images(factors))


def test_factors_outside_the_grid_are_refused(dataset):
    if not isinstance(dataset, FactorDataset):
        pytest.skip("no known factors")
    factors = np.zeros((2, len(dataset.factor_sizes)), dtype=int)
    factors[1, 2] = dataset.factor_sizes[2]
    with pytest.raises(ValueError, match=f"factor {dataset.factor_names[2]!r} takes values 0 to .*; row 1 has"):
        dataset.images(factors)
    with pytest.raises(ValueError, match="expected factors of shape"):
        dataset.images(factors[:, 1:])
    with pytest.raises(ValueError, match="expected integer factors"):
        dataset.images(factors / 2)
