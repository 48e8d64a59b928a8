"""FastGAN against numbers recorded from its authors' program and from projected-gan (tiny, random, on the CPU).

FastGAN-pytorch at e2cc786 and autonomousvision/projected-gan at e1c246b; each drew the noise that ``drawn`` makes.
"""

import pytest
import torch

from contrafact.generators import FastGAN
from contrafact.generators.checkpoints import convert, load_generator
from tests.generators.kinds.fastgan import (
    difference,
    is_parameter,
    latents,
    parallel,
    pixels,
    with_their_noise,
    write,
)
from tests.generators.recorded import TOLERANCE, Recorded, drawn

NAMES = ["256", "projected", "projected_conditional", "projected_lite"]


@pytest.fixture(params=NAMES)
def recorded(request):
    return Recorded(f"fastgan_{request.param}")


def test_outputs_and_gradients_equal_the_originals(recorded, tmp_path):
    generator = with_their_noise(load_generator(write(recorded, tmp_path)))
    assert isinstance(generator, FastGAN)
    latent = latents(generator, recorded).requires_grad_()
    images = generator(latent)
    assert images.shape[-1] == recorded.meta["size"]
    assert float((pixels(images, recorded) - recorded["image"]).detach().abs().max()) <= 2 * TOLERANCE
    rows, columns = drawn((2, 3, images.shape[-1]), 2000)
    (2 * images * rows[:, :, None] * columns[:, None, :]).sum().backward()
    error = (latent.grad[:, :6] - recorded["gradient"]).abs().max()
    assert float(error) <= 1e-4 * float(recorded["gradient"].abs().max())


def test_a_converted_file_makes_the_same_images(tmp_path):
    recorded = Recorded("fastgan_projected_conditional")
    convert(write(recorded, tmp_path), tmp_path / "converted.safetensors")
    again = load_generator(tmp_path / "converted.safetensors")
    assert difference(again, recorded) <= TOLERANCE
    assert (again.classes, again.latent_dim, again.truncated_in) == (3, 12, "nowhere")


def test_a_fixed_class_leaves_the_noise_as_latent(tmp_path):
    recorded = Recorded("fastgan_projected_lite")
    generator = with_their_noise(load_generator(write(recorded, tmp_path), {"label": 1}))
    assert (generator.latent_dim, generator.num_classes) == (6, 0)
    with torch.no_grad():
        images = generator(recorded["latent"][1:])
    assert float((pixels(images, recorded) - recorded["image"][1:]).abs().max()) <= 2 * TOLERANCE


def test_without_the_averages_list_the_last_weights_are_read(tmp_path):
    recorded = Recorded("fastgan_256")
    path = parallel(recorded, tmp_path)
    content = torch.load(path, weights_only=False)
    torch.save({**content, "g_ema": content["g_ema"][:-1]}, path)
    average = load_generator(write(recorded, tmp_path)).first.weight
    assert not torch.equal(load_generator(path).first.weight, average)
    assert sum(is_parameter(name) for name in recorded.state) == len(content["g_ema"])


def test_forks_say_what_they_leave_open(tmp_path):
    """Without the small image's layer, FastGAN-pytorch's layout is told, what its image passes through is not."""
    recorded = Recorded("fastgan_256")
    state = {name: tensor for name, tensor in recorded.state.items() if not name.startswith("to_128")}
    with pytest.warns(UserWarning, match="assumed normalize = false, tanh = false"):
        generator = load_generator(write(recorded, tmp_path, state))
    assert difference(generator, recorded) <= TOLERANCE
    assert load_generator(tmp_path / "50000.pth", {"tanh": True, "normalize": False}).tanh


@pytest.mark.parametrize(
    "key",
    [
        "init.init.1.running_var",
        "feat_16.2.weight",
        "se_64.main.3.weight_orig",
        "feat_8.2.weight",
        "feat_16.1.weight_orig",
    ],
)
def test_missing_keys_are_named(key, tmp_path):
    recorded = Recorded("fastgan_256")
    path = write(recorded, tmp_path, {k: v for k, v in recorded.state.items() if k != key})
    with pytest.raises(ValueError, match=rf"the FastGAN checkpoint lacks '{key.removesuffix('_orig')}'"):
        load_generator(path)


def test_missing_keys_of_the_later_program_are_named(tmp_path):
    recorded = Recorded("fastgan_projected_conditional")
    for key in ("feat_8.conv1.weight_orig", "feat_256.noise.weight", "to_big.bias"):
        path = write(recorded, tmp_path, {k: v for k, v in recorded.state.items() if k != f"synthesis.{key}"})
        with pytest.raises(
            ValueError, match=r"the FastGAN checkpoint lacks '(feat_8.1.weight|feat_256.noise|to_big.bias)"
        ):
            load_generator(path)


def test_other_shapes_are_refused(tmp_path):
    recorded = Recorded("fastgan_256")
    with pytest.raises(ValueError, match="the FastGAN checkpoint's shapes do not fit together"):
        load_generator(write(recorded, tmp_path, {**recorded.state, "feat_16.2.weight": torch.ones(3)}))
    state = {name: tensor for name, tensor in recorded.state.items() if not name.startswith("to_big")}
    path = write(recorded, tmp_path, {**state, "to_big.weight": torch.ones(3, 7, 3, 3)})
    with pytest.raises(ValueError, match="no layer whose 7 channels its last one takes"):
        load_generator(path)


def test_bad_arguments():
    with pytest.raises(ValueError, match="doubled one less, from 8 pixels on; got 2 and 2"):
        FastGAN(5, [8, 6], [True, False])
