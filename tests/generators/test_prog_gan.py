import pytest
import torch

from contrafact.generators import ProgGAN
from contrafact.generators.checkpoints import load_generator
from tests.generators.recorded import Recorded, assert_equal_to_original

pytestmark = pytest.mark.filterwarnings("ignore:.*does not say all about its network")


def _write(path, recorded, state=None):
    state = recorded.state if state is None else state
    torch.save(state if recorded.name.endswith("features") else {"generator_smooth": state, "discriminator": {}}, path)
    return path


@pytest.mark.parametrize("name", ["features", "genforce_plain", "genforce_fused"])
def test_outputs_and_gradients_equal_the_originals(name, tmp_path):
    recorded = Recorded(f"prog_gan_{name}")
    generator = load_generator(_write(tmp_path / "model.pth", recorded))
    assert isinstance(generator, ProgGAN)
    assert_equal_to_original(generator, recorded)


def test_only_the_direction_of_the_latent_counts():
    generator = ProgGAN.tiny().freeze()
    latent = torch.randn(2, 6)
    assert torch.allclose(generator(latent), generator(3 * latent), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "key"),
    [("features", "features.3.wscale.b"), ("features", "output.conv.weight"), ("genforce_plain", "layer3.bias")],
)
def test_missing_keys_are_named(name, key, tmp_path):
    recorded = Recorded(f"prog_gan_{name}")
    path = _write(tmp_path / "model.pth", recorded, {k: v for k, v in recorded.state.items() if k != key})
    with pytest.raises(ValueError, match=f"the ProgGAN checkpoint lacks '{key}'"):
        load_generator(path)


def test_shapes_that_do_not_fit(tmp_path):
    recorded = Recorded("prog_gan_features")
    state = {**recorded.state, "features.3.conv.weight": torch.zeros(8, 7, 3, 3)}
    with pytest.raises(ValueError, match="shapes do not fit together"):
        load_generator(_write(tmp_path / "model.pth", recorded, state))


def test_half_grown_models_are_refused(tmp_path):
    recorded = Recorded("prog_gan_genforce_plain")
    path = _write(tmp_path / "model.pth", recorded, {**recorded.state, "lod": torch.tensor(1.5)})
    with pytest.raises(ValueError, match=r"not fully grown: its level of detail is 1\.5"):
        load_generator(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"latent_dim": 0}, "latent_dim"),
        ({"channels": []}, "the number of channel counts"),
        ({"channels": [8, -1]}, "channels"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ProgGAN(**arguments)
