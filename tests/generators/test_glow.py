import pytest
import torch

from contrafact.generators import Glow
from contrafact.generators.checkpoints import load_generator
from tests.generators.recorded import Recorded, assert_equal_to_original

pytestmark = pytest.mark.filterwarnings("ignore:.*does not say all about its network")


def _write(path, recorded, state=None):
    torch.save({f"module.{k}": v for k, v in (recorded.state if state is None else state).items()}, path)
    return path


@pytest.mark.parametrize("name", ["affine", "additive"])
def test_outputs_and_gradients_equal_the_originals(name, tmp_path):
    recorded = Recorded(f"glow_{name}")
    generator = load_generator(_write(tmp_path / "model.pt", recorded), {"size": 8})
    assert isinstance(generator, Glow)
    assert generator.affine == (name == "affine")
    assert_equal_to_original(generator, recorded, black=-0.5, white=0.5)


def test_the_size_is_sixty_four_unless_said(tmp_path):
    generator = load_generator(_write(tmp_path / "model.pt", Recorded("glow_affine")))
    assert generator.image_shape == (3, 64, 64)
    assert generator.latent_dim == 3 * 64 * 64


@pytest.mark.parametrize(
    "key", ["blocks.1.prior.scale", "blocks.0.flows.1.invconv.w_s", "blocks.1.flows.0.actnorm.loc"]
)
def test_missing_keys_are_named(key, tmp_path):
    recorded = Recorded("glow_affine")
    path = _write(tmp_path / "model.pt", recorded, {k: v for k, v in recorded.state.items() if k != key})
    with pytest.raises(ValueError, match=f"the Glow checkpoint lacks '{key}'"):
        load_generator(path)


def test_shapes_that_do_not_fit(tmp_path):
    recorded = Recorded("glow_affine")
    state = {**recorded.state, "blocks.0.flows.0.coupling.net.2.weight": torch.zeros(9, 10, 1, 1)}
    with pytest.raises(ValueError, match="shapes do not fit together"):
        load_generator(_write(tmp_path / "model.pt", recorded, state))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 12, "num_blocks": 3}, "the image side must be a multiple of 8, got 12"),
        ({"num_steps": 0}, "num_steps"),
        ({"size": -8}, "size"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Glow(**arguments)
