"""The VAE's decoder with a flow before it: two spaces to edit."""

import pytest
import torch

from contrafact.core.artefact import load_artefact, save_artefact
from contrafact.core.generator import Generator
from contrafact.generators import VAE
from contrafact.generators.checkpoints import changed, describe


def flowing(**settings):
    torch.manual_seed(0)
    generator = VAE(4, (3, 16, 16), width=0.1, flow_layers=2, **settings)
    for parameter in generator.flow.parameters():  # a new flow is the identity
        torch.nn.init.normal_(parameter, std=0.3)
    return generator.freeze()


def test_z_is_edited_before_the_flow_and_makes_the_images_of_w():
    in_w = flowing()
    in_z = changed(in_w, {"space": "z"})
    noise = in_z.sample(3, seed=0)
    assert (in_w.space, in_z.space, torch.equal(noise, in_z.prior(3, torch.Generator().manual_seed(0)))) == (
        "w",
        "z",
        True,
    )
    assert not torch.allclose(in_w.map(noise), noise)
    torch.testing.assert_close(in_z(noise), in_w(in_w.map(noise)))
    torch.testing.assert_close(in_z.features(noise, "blocks.1"), in_w.features(in_w.map(noise), "blocks.1"))
    torch.testing.assert_close(in_z.map(noise, truncation=0.5), 0.5 * noise)
    assert describe(in_z)["spaces"] == describe(in_w)["spaces"] == ["z", "w"]
    with pytest.raises(ValueError, match="has no layer whose weights act on the latent"):
        in_z.latent_weights()


def test_a_file_keeps_the_space_and_one_without_says_what_it_said_before(tmp_path):
    in_z = flowing(space="z")
    save_artefact(in_z, tmp_path / "z.safetensors")
    assert load_artefact(tmp_path / "z.safetensors", Generator).space == "z"
    # What runs and files of before say of their generator is still the whole of it.
    assert "space" not in flowing().arguments()
    assert changed(in_z, {"space": "w"}).arguments() == flowing().arguments()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"space": "w"}, "a VAE without a flow .* has one latent space"),
        ({"space": "s", "flow_layers": 2}, "unknown edit space 's'"),
    ],
)
def test_spaces_that_are_not_there(settings, message):
    with pytest.raises(ValueError, match=message):
        VAE(4, (3, 16, 16), width=0.1, **settings)
