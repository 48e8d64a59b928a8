"""R3GAN against numbers recorded from brownvc/R3GAN at 19a7ddf (tiny, random, no stage in bfloat16, on the CPU)."""

import pytest
import torch

from contrafact.generators import R3GAN
from contrafact.generators.checkpoints import convert, load_generator
from tests.generators.kinds.r3gan import difference, write
from tests.generators.recorded import TOLERANCE, Recorded, assert_equal_to_original


@pytest.fixture(params=["plain", "conditional"])
def recorded(request):
    return Recorded(f"r3gan_{request.param}")


def test_outputs_and_gradients_equal_the_originals(recorded, tmp_path):
    generator = load_generator(write(recorded, tmp_path))
    assert isinstance(generator, R3GAN)
    label = recorded["label"] if generator.num_classes else None
    assert_equal_to_original(generator, recorded, latent=generator.map(recorded["latent"], label))
    convert(tmp_path / "network.pkl", tmp_path / "converted.safetensors")
    assert difference(load_generator(tmp_path / "converted.safetensors"), recorded) <= TOLERANCE


def test_a_fixed_class_leaves_the_noise_as_latent(tmp_path):
    recorded = Recorded("r3gan_conditional")
    generator = load_generator(write(recorded, tmp_path), {"label": 2})
    assert (generator.latent_dim, generator.num_classes) == (6, 0)
    expected = (recorded["image"][1:] + 1) / 2
    assert float((generator(recorded["latent"][1:]) - expected).abs().max()) <= TOLERANCE
    assert generator.latent_weights().shape == (12, 6)


@pytest.mark.parametrize(
    "key",
    [
        "Model.MainLayers.0.Layers.0.LinearLayer.weight",
        "Model.MainLayers.1.Layers.1.NonLinearity2.Bias",
        "Model.AggregationLayer.Layer.weight",
    ],
)
def test_missing_keys_are_named(key, recorded, tmp_path):
    path = write(recorded, tmp_path, {k: v for k, v in recorded.state.items() if k != key})
    with pytest.raises(ValueError, match=f"the R3GAN checkpoint lacks '{key.removeprefix('Model.')}'"):
        load_generator(path)


def test_other_shapes_and_filters_are_refused(recorded, tmp_path):
    name = "Model.MainLayers.1.Layers.1.LinearLayer3.Layer.weight"
    with pytest.raises(ValueError, match="the R3GAN checkpoint's shapes do not fit together"):
        load_generator(write(recorded, tmp_path, {**recorded.state, name: torch.zeros(3, 3, 1, 1)}))
    name = "Model.MainLayers.1.Layers.0.Resampler.Kernel"
    with pytest.raises(ValueError, match=r"resampling filter is not that of \[1, 2, 1\]"):
        load_generator(write(recorded, tmp_path, {**recorded.state, name: torch.ones(2, 2) / 4}))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": [8]}, "must each list a count for every side from 4 pixels on, got 1, 2 and 2"),
        ({"groups": [3, 1]}, "3 groups must divide 8 channels times the expansion 2"),
        ({"classes": 3}, "a generator of 3 classes needs an embed_dim above 0"),
        ({"z_dim": 0}, "z_dim"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        R3GAN(**{"z_dim": 5, "channels": [8, 6], "groups": [2, 1], "blocks": [1, 1], **arguments})
