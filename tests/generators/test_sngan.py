import json

import pytest
import torch

from contrafact.generators import SNGAN
from contrafact.generators.checkpoints import load_generator
from tests.generators.recorded import Recorded, assert_equal_to_original


def _write(folder, recorded, state=None):
    folder.mkdir(exist_ok=True)
    (folder / "args.json").write_text(json.dumps(recorded.meta["args"]))
    torch.save(recorded.state if state is None else state, folder / "generator.pt")
    return folder


def test_outputs_and_gradients_equal_the_original(tmp_path):
    recorded = Recorded("sngan")
    generator = load_generator(_write(tmp_path / "folder", recorded))
    assert isinstance(generator, SNGAN)
    assert_equal_to_original(generator, recorded)
    # The weights alone say as much as the folder.
    assert_equal_to_original(load_generator(tmp_path / "folder" / "generator.pt"), recorded)


@pytest.mark.parametrize("key", ["model.3.conv2.bias", "model.4.model.4.running_var", "model.5.weight"])
def test_missing_keys_are_named(key, tmp_path):
    recorded = Recorded("sngan")
    folder = _write(tmp_path / "folder", recorded, {k: v for k, v in recorded.state.items() if k != key})
    with pytest.raises(ValueError, match=f"the SNGAN checkpoint lacks '{key.removeprefix('model.')}'"):
        load_generator(folder)


def test_shapes_that_do_not_fit(tmp_path):
    recorded = Recorded("sngan")
    folder = _write(tmp_path / "folder", recorded, {**recorded.state, "model.0.weight": torch.zeros(9, 7)})
    with pytest.raises(ValueError, match="shapes do not fit together"):
        load_generator(folder)


def test_published_settings():
    assert SNGAN(128, "sn_resnet64").image_shape == (3, 64, 64)
    assert SNGAN(128, "sn_resnet32", image_channels=1).image_shape == (1, 32, 32)


def test_training_uses_the_batch_and_reaches_every_weight():
    torch.manual_seed(0)
    generator = SNGAN.tiny().train()
    generator(torch.randn(4, 5)).square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in generator.parameters())
    assert generator.blocks[0].norm1.num_batches_tracked == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": "sn_resnet23"}, "unknown SNGAN setting 'sn_resnet23'; did you mean 'sn_resnet32'"),
        ({"channels": [4]}, "at least 2 counts"),
        ({"latent_dim": -1}, "latent_dim"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        SNGAN(**arguments)
