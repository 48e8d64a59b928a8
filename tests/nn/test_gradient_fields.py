"""DisDiff's field decoder: a field for each vector, its own; coordinates that change nothing."""

import pytest
import torch

from contrafact.nn.batch_norm_encoder import VectorEncoder
from contrafact.nn.gradient_fields import GradientFields
from contrafact.nn.token_unet import TokenUNet


@pytest.mark.parametrize("settings", [{}, {"transformer": True, "blocks": 2}])
def test_each_vector_and_its_number_make_its_own_field(settings):
    torch.manual_seed(0)
    unet = TokenUNet((3, 8, 8), 0, 0, 16, (1, 2), conditioning="film", **settings)
    fields = GradientFields((3, 8, 8), 4, 2, 16, (1, 2), **settings)
    for parameter in fields.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    at = unet.at_time(torch.tensor([3, 9]))
    skips, vectors = unet.descend(torch.randn(2, 3, 8, 8), at), torch.zeros(2, 4, 2)
    made = fields(skips, at, vectors)
    assert not torch.allclose(made[:, 0], made[:, 1], atol=1e-5), "equal vectors are told apart by their factors"
    changed = vectors.clone()
    changed[1, 2, 0] = 1.0
    differs = (fields(skips, at, changed) - made).abs().amax(dim=(2, 3, 4)) > 1e-6
    assert differs.nonzero().tolist() == [[1, 2]]
    assert torch.allclose(fields([skip[1:] for skip in skips], at[1:], vectors[1:]), made[1:], atol=1e-5)
    torch.testing.assert_close(fields.rows() @ fields.rows().T, torch.eye(4), rtol=0, atol=1e-4)


def test_an_unconditional_unet_has_no_weights_for_tokens():
    assert TokenUNet((3, 8, 8), 0, 0, 16, (1, 2), conditioning="film").film is None


def test_too_many_factors_are_refused():
    with pytest.raises(ValueError, match="a U-Net of 8 channels tells 16 factors apart, got 17"):
        GradientFields((3, 8, 8), 17, 1, 8, (1, 2))


def test_vectors_of_one_number_have_no_other_representation():
    assert VectorEncoder((3, 16, 16), 4, 1, 0.1).representations == ()
    with pytest.raises(ValueError, match="has no representation 'principal'"):
        VectorEncoder((3, 16, 16), 4, 1, 0.1).represent(torch.zeros(1, 4), "principal")
