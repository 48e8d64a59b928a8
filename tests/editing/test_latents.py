import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from contrafact.core.direction_files import choose
from contrafact.core.directions import CurvedDirections, GlobalDirections
from contrafact.editing.latents import StoredLatents, edit, load_latents, on_layers
from contrafact.generators.analytic import Analytic
from contrafact.generators.stylegan2 import StyleGAN2
from contrafact.generators.stylegan3 import StyleGAN3


@pytest.fixture(scope="module")
def stylegan():
    torch.manual_seed(0)
    return StyleGAN2(16, latent_dim=12, channels=[8, 6, 4], mapping_layers=2).freeze()


@pytest.fixture(scope="module")
def directions():
    torch.manual_seed(1)
    return GlobalDirections.of(torch.randn(3, 12), scale=0.5, names=["smile", "pose", "age"])


# -- moving -----------------------------------------------------------------------------------------------------------


def test_an_edit_is_a_sum_of_steps(stylegan, directions):
    latents = torch.randn(4, 12)
    moved = edit(stylegan, directions, latents, [("smile", 2.0), (2, -1.0)])
    smile, _, age = directions.vectors()
    torch.testing.assert_close(moved, latents + 2.0 * 0.5 * smile - 1.0 * 0.5 * age)


def test_curved_steps_are_taken_one_after_the_other(stylegan):
    torch.manual_seed(2)
    curved = CurvedDirections(12, 3, 8).requires_grad_(False)
    latents = torch.randn(2, 12)
    expected = curved(curved(latents, 1, 2.0), 0, -1.0)
    torch.testing.assert_close(edit(stylegan, curved, latents, [(1, 2.0), (0, -1.0)]), expected)


@pytest.mark.parametrize("layered", [False, True])
def test_only_the_layers_asked_for_move(stylegan, directions, layered):
    latents = torch.randn(2, 6, 12) if layered else torch.randn(2, 12)
    moved = edit(stylegan, directions, latents, [("pose", 1.5)], layers=(2, 4))
    before = latents if layered else latents[:, None].expand(-1, 6, -1)
    step = torch.zeros(6, 12)
    step[2:4] = 1.5 * 0.5 * directions.vectors()[1]
    torch.testing.assert_close(moved, before + step)
    assert directions.layers is None  # the given ones stay as they were
    assert on_layers(directions, (0, 6), stylegan).layers == (0, 6)


@pytest.mark.parametrize(
    ("steps", "layers", "message"),
    [
        ([], None, "name at least one direction to move along"),
        ([("smiling", 1.0)], None, "unknown direction 'smiling'; did you mean 'smile'"),
        ([(0, 1.0)], (4, 2), r"layers must be \(first, last\) with 0 <= first < last <= 6.*got \(4, 2\)"),
        ([(0, 1.0)], (0, 7), r"got \(0, 7\)"),
    ],
)
def test_edits_that_cannot_be(stylegan, directions, steps, layers, message):
    with pytest.raises(ValueError, match=message):
        edit(stylegan, directions, torch.zeros(1, 12), steps, layers)


def test_layers_need_a_generator_that_has_them(directions):
    scene = Analytic("sprite", size=16, dead_dims=4)
    with pytest.raises(ValueError, match="all of its layers take the same latent"):
        edit(scene, directions, torch.zeros(1, 12), [(0, 1.0)], (0, 1))
    with pytest.raises(ValueError, match="live in 12 latent dimensions but the generator has 8"):
        edit(Analytic("sprite", size=16), directions, torch.zeros(1, 8), [(0, 1.0)])


# -- keeping ----------------------------------------------------------------------------------------------------------


def test_latents_come_back_as_they_were(stylegan, tmp_path):
    latents, targets = torch.randn(2, 6, 12), torch.rand(2, 3, 16, 16)
    stored = StoredLatents.of(stylegan, latents, ["ä", "b"], targets, {"psnr": [1.5, 2.0]})
    back = load_latents(stored.save(tmp_path / "new" / "l.safetensors"))
    assert torch.equal(back.latents, latents)
    assert torch.equal(back.targets, targets)
    assert (back.names, back.space, back.facts) == (["ä", "b"], "w", {"psnr": [1.5, 2.0]})
    back.check_fit(stylegan)
    bare = StoredLatents.of(stylegan, latents, ["a", "b"])
    assert load_latents(bare.save(tmp_path / "bare.safetensors")).targets is None


def test_latents_belong_to_their_generator(stylegan):
    stored = StoredLatents.of(stylegan, torch.zeros(1, 12), ["a"])
    in_z = StyleGAN2(**{**stylegan.arguments(), "space": "z"})
    in_z.load_state_dict(stylegan.state_dict())
    with pytest.raises(ValueError, match="lie in the w space of generator, this generator is edited in z"):
        stored.check_fit(in_z)
    with pytest.raises(ValueError, match=r"other weights; invert the pictures again"):
        stored.check_fit(StyleGAN2(**stylegan.arguments()))


def test_latents_that_do_not_fit_are_not_stored(stylegan):
    with pytest.raises(ValueError, match=r"expects latents of shape \(N, 12\)"):
        StoredLatents.of(stylegan, torch.zeros(1, 5), ["a"])
    with pytest.raises(ValueError, match=r"expected one name per latent \(2\), got 1"):
        StoredLatents.of(stylegan, torch.zeros(2, 12), ["a"])


def test_files_that_are_none(stylegan, tmp_path):
    with pytest.raises(ValueError, match="does not exist; expected a file of latents written by `contrafact invert`"):
        load_latents(tmp_path / "nothing.safetensors")
    save_file({"a.weight": torch.zeros(1, 2)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="holds no latents"):
        load_latents(tmp_path / "other.safetensors")
    path = StoredLatents.of(stylegan, torch.zeros(1, 12), ["a"]).save(tmp_path / "cut.safetensors")
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"is not a whole safetensors file .*cut short"):
        load_latents(path)


@pytest.mark.parametrize(
    ("changes", "tensors", "message"),
    [
        ({"names": "["}, {}, r"damaged header: 'names' is not valid JSON .*make it again with `contrafact invert`"),
        ({"names": "[" * 100_000}, {}, "nested more than 64 deep"),
        ({"names": '["a", "b"]'}, {}, r"is no whole file of latents: expected latents \(N, L\) .* N names"),
        ({"names": "[1]"}, {}, "is no whole file of latents"),
        ({"facts": "[]"}, {}, "is no whole file of latents"),
        ({}, {"latents": torch.zeros(12)}, "is no whole file of latents"),
        ({}, {"targets": torch.zeros(2, 3, 4, 4)}, "is no whole file of latents"),
    ],
)
def test_files_that_are_damaged(stylegan, tmp_path, changes, tensors, message):
    path = StoredLatents.of(stylegan, torch.zeros(1, 12), ["a"]).save(tmp_path / "l.safetensors")
    with safe_open(path, framework="pt") as file:
        header = {key: text for key, text in file.metadata().items() if "sha256" not in key}
    save_file({"latents": torch.zeros(1, 12), **tensors}, path, {**header, **changes})
    with pytest.raises(ValueError, match=message):
        load_latents(path)


def test_a_file_without_its_header_fields(stylegan, tmp_path):
    path = tmp_path / "l.safetensors"
    save_file({"latents": torch.zeros(1, 12)}, path, {"format": "contrafact latents"})
    with pytest.raises(ValueError, match=r"damaged or no whole file of latents \(KeyError: 'names'\); make it again"):
        load_latents(path)


def test_a_pose_acts_on_its_own_layer_alone():
    generator = StyleGAN3.tiny().freeze()
    generator.fix_label(0)
    pose, latents = generator.own_directions(), generator.sample(2, seed=0)
    assert torch.equal(
        edit(generator, pose, latents, [("rotate", 1.0)], (0, 1)), edit(generator, pose, latents, [("rotate", 1.0)])
    )
    for directions in (pose, choose(pose, ["rotate"])):
        with pytest.raises(
            ValueError, match=r"rotate mean something in layer 0 alone and cannot act on layers 0 to 2: "
        ):
            edit(generator, directions, latents, [("rotate", 1.0)], (0, 3))
