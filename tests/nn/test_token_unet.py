"""Tokens and attention to them, against loops; the U-Net's shapes."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from contrafact.nn.token_unet import ConceptTokens, SelfAttention, TokenAttention, TokenUNet


def test_each_code_has_a_network_of_its_own():
    """EncDiff: 1 → 64 → 128 → 16 with ELU, none shared; here one after the other as torch's layers."""
    tokens, codes = ConceptTokens(3, 16), torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    made = tokens(codes)
    for j in range(3):
        hidden = codes[:, j : j + 1]
        for number, (weight, bias) in enumerate(zip(tokens.weights, tokens.biases, strict=True)):
            hidden = F.linear(F.elu(hidden) if number else hidden, weight[j].T, bias[j, 0])
        torch.testing.assert_close(made[:, j], hidden, rtol=1e-4, atol=1e-5)
    assert [tuple(weight.shape) for weight in tokens.weights] == [(3, 1, 64), (3, 64, 128), (3, 128, 16)]


def test_a_token_depends_on_its_own_code_alone():
    tokens, codes = ConceptTokens(4, 8), torch.zeros(1, 4)
    changed = codes.clone()
    changed[0, 2] = 1.0
    moved = (tokens(changed) - tokens(codes)).abs().sum(dim=2)[0]
    assert (moved > 0).tolist() == [False, False, True, False]


@pytest.mark.parametrize("heads", [1, 2])
def test_attention_to_tokens_is_the_loop_over_positions(heads):
    """softmax(QKᵀ/√d)·V of Rombach et al. 2022, one head, image and position at a time."""
    torch.manual_seed(0)
    layer = TokenAttention(16, 6, heads).double().requires_grad_(False)
    features, tokens = torch.randn(2, 16, 3, 2).double(), torch.randn(2, 5, 6).double()
    made, normal, per_head = layer(features, tokens), layer.norm(features), 16 // heads
    for n, row, column in [(0, 0, 0), (1, 2, 1), (0, 1, 1)]:
        query = layer.query.weight @ normal[n, :, row, column]
        read = []
        for head in range(heads):
            own = slice(head * per_head, (head + 1) * per_head)
            scores = [
                math.exp(float((query[own] * (layer.key.weight @ token)[own]).sum()) / math.sqrt(per_head))
                for token in tokens[n]
            ]
            values = [(layer.value.weight @ token)[own] for token in tokens[n]]
            read.append(sum(score / sum(scores) * value for score, value in zip(scores, values, strict=True)))
        expected = features[n, :, row, column] + layer.out.weight @ torch.cat(read) + layer.out.bias
        torch.testing.assert_close(made[n, :, row, column], expected, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(layer.given(features, tokens).sum(dim=2), torch.ones(2, heads, 3, 2).double())


def test_attention_to_itself_is_torchs():
    torch.manual_seed(0)
    layer, features = SelfAttention(16, 2), torch.randn(2, 16, 3, 2)
    theirs = nn.MultiheadAttention(16, 2, bias=False, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(layer.ask.weight)
        theirs.out_proj.weight.copy_(layer.out.weight)
    rows = layer.norm(features).flatten(2).transpose(1, 2)
    read = theirs(rows, rows, rows, need_weights=False)[0] + layer.out.bias
    expected = features + read.transpose(1, 2).unflatten(2, (3, 2))
    torch.testing.assert_close(layer(features), expected, rtol=1e-4, atol=1e-5)


def unet(**settings):
    torch.manual_seed(0)
    net = TokenUNet((3, 16, 8), 4, 5, channels=16, **settings)
    nn.init.normal_(net.end.weight)  # a fresh one says 0
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and not module.weight.any():
            nn.init.normal_(module.weight, std=0.1)
    return net


@pytest.mark.parametrize("settings", [{}, {"conditioning": "film"}, {"transformer": True, "blocks": 2}])
def test_the_unet_is_told_by_image_time_and_every_token(settings):
    net = unet(**settings)
    noised, times, tokens = torch.randn(2, 3, 16, 8), torch.tensor([3, 3]), torch.randn(2, 4, 5)
    said = net(noised, times, tokens)
    assert said.shape == noised.shape
    assert not torch.allclose(net(noised, times + 200, tokens), said, atol=1e-4)
    assert not torch.allclose(net(noised + 0.1, times, tokens), said, atol=1e-4)
    for token in range(4):
        changed = tokens.clone()
        changed[0, token] += 3.0
        difference = (net(noised, times, changed) - said).abs().amax(dim=(1, 2, 3))
        assert difference[0] > 1e-4
        assert difference[1] == 0  # the other image has its own


def test_only_film_can_tell_the_order_of_tokens():
    """Attention has no positions: which code a token is of, its network must say."""
    noised, times, tokens = torch.randn(1, 3, 16, 8), torch.tensor([3]), torch.randn(1, 4, 5)
    attention, film = unet(), unet(conditioning="film")
    torch.testing.assert_close(
        attention(noised, times, tokens.flip(1)), attention(noised, times, tokens), rtol=1e-3, atol=1e-4
    )
    assert not torch.allclose(film(noised, times, tokens.flip(1)), film(noised, times, tokens), atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"conditioning": "filmy"}, "unknown conditioning 'filmy'; did you mean 'film'"),
        ({"multipliers": (1, 1, 1, 1, 1)}, "halves images 4 times, which does not fit 16×8; choose another size"),
        ({"multipliers": ()}, "a U-Net of 0 levels"),
    ],
)
def test_what_does_not_fit_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        TokenUNet((3, 16, 8), 4, 5, channels=16, **settings)
