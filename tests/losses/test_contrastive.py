"""The pair losses against loops written from the paper's equations."""

import math

import pytest
import torch

from contrafact.losses.contrastive import (
    domination_loss,
    effective_dimensions,
    gram,
    infonce_loss,
    nt_xent_loss,
    pair_losses,
    queue_infonce_loss,
    supervised_contrastive_loss,
    unit,
)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def draw(seed: int, queries: int = 3, positives: int = 4, negatives: int = 5, dims: int = 6):
    rng = torch.Generator().manual_seed(seed)
    unit = [
        torch.nn.functional.normalize(torch.rand(n, dims, generator=rng, dtype=torch.float64), dim=1)
        for n in (queries, positives, negatives)
    ]
    return unit


def equations_3_4_7(query, positive, negative, temperature, threshold, flipping, per_query_sum):
    """Eqs 3, 4 and 7 (negated: minimised), one pair at a time."""
    total = 0.0
    for q in query:
        for k in positive:
            total -= math.log(sigmoid(float(q @ k) / temperature))
        for k in negative:
            a = float(q @ k) / temperature
            if flipping == "none" or a < threshold:
                total -= math.log(1 - sigmoid(a))
            elif flipping == "pseudo_label":
                total -= min(a, 1.0) * math.log(sigmoid(a))
            else:
                label = min(a, 1.0)
                total -= label * math.log(sigmoid(a)) + (1 - label) * math.log(1 - sigmoid(a))
    pairs = len(query) * (len(positive) + len(negative))
    return total / (len(query) if per_query_sum else pairs)


@pytest.mark.parametrize("flipping", ["none", "pseudo_label", "cross_entropy"])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_pair_losses_match_the_equations(flipping, temperature):
    query, positive, negative = draw(0)
    logits = torch.cat([query @ positive.T, query @ negative.T], dim=1) / temperature
    is_positive = torch.arange(logits.shape[1]).expand(len(query), -1) < len(positive)
    threshold = float(logits[:, len(positive) :].median())  # half of the negatives flip
    terms = pair_losses(logits, is_positive, threshold, flipping)
    for per_query_sum, value in ((True, terms.sum() / len(query)), (False, terms.mean())):
        expected = equations_3_4_7(query, positive, negative, temperature, threshold, flipping, per_query_sum)
        assert float(value) == pytest.approx(expected, rel=1e-12)


def test_flipping_sends_no_gradient_through_the_label():
    logits = torch.tensor([[0.97]], dtype=torch.float64, requires_grad=True)
    pair_losses(logits, torch.tensor([[False]]), 0.95, "pseudo_label").sum().backward()
    a = 0.97
    assert float(logits.grad) == pytest.approx(-a * (1 - sigmoid(a)), rel=1e-12)  # d(−a₀ log σ(a))/da with a₀ fixed


def test_infonce_matches_equation_2():
    query, positive, negative = draw(1)
    keys = torch.cat([positive, negative])
    expected = 0.0
    for q in query:
        denominator = sum(math.exp(float(q @ k)) for k in keys)
        for k in positive:
            expected -= math.log(math.exp(float(q @ k)) / denominator)
    is_positive = torch.arange(len(keys)).expand(len(query), -1) < len(positive)
    value = infonce_loss(query @ keys.T, is_positive, torch.ones_like(is_positive))
    assert float(value) == pytest.approx(expected / len(query), rel=1e-12)


def test_infonce_leaves_uncounted_keys_out():
    query, positive, negative = draw(2)
    keys = torch.cat([positive, negative, query])
    is_positive = torch.arange(len(keys)).expand(len(query), -1) < len(positive)
    counted = torch.arange(len(keys)).expand(len(query), -1) < len(positive) + len(negative)
    short = infonce_loss(query @ keys[:9].T, is_positive[:, :9], counted[:, :9])
    assert float(infonce_loss(query @ keys.T, is_positive, counted)) == pytest.approx(float(short), rel=1e-12)


def entropy_of_softmax(vector, inside=0.0) -> float:
    weights = [math.exp(float(v)) for v in vector]
    return -sum(w / sum(weights) * math.log(w / sum(weights) + inside) for w in weights)


def test_domination_matches_equations_5_and_6():
    groups = torch.stack([torch.cat(draw(s)[:2]) for s in range(2)])  # two directions, seven variations each
    means = [group.mean(dim=0) for group in groups]
    per_mean = sum(entropy_of_softmax(c) for c in means) / 2
    per_query = sum(entropy_of_softmax(v, 1e-5) for group in groups for v in group) / 14  # as released
    assert float(domination_loss(groups, "mean")) == pytest.approx(per_mean, rel=1e-12)
    assert float(domination_loss(groups, "mean_per_dimension")) == pytest.approx(per_mean / 6, rel=1e-12)
    assert float(domination_loss(groups, "query")) == pytest.approx(per_query, rel=1e-12)
    assert float(domination_loss(groups, "none")) == 0.0


def test_domination_is_lowest_for_one_hot_variations():
    one_hot = torch.eye(8)[None, :1]
    even = torch.full((1, 1, 8), 8**-0.5)
    for kind in ("query", "mean", "mean_per_dimension"):
        assert domination_loss(one_hot, kind) < domination_loss(even, kind)


def test_effective_dimensions_counts_the_dimensions_in_use():
    assert float(effective_dimensions(torch.eye(8)[:5].repeat(3, 1))) == pytest.approx(5.0, rel=1e-5)
    assert float(effective_dimensions(torch.eye(8)[:1].repeat(3, 1))) == pytest.approx(1.0)


def supcon_by_loops(features, labels, temperature, reading):
    """Khosla et al., Eqs 2 and 3 without the constant 1/|P|, one anchor at a time."""
    losses = []
    for i, anchor in enumerate(features):
        others = [a for a in range(len(features)) if a != i]
        positives = [p for p in others if labels[p] == labels[i]]
        if not positives:
            continue
        total = sum(math.exp(float(anchor @ features[a]) / temperature) for a in others)
        shares = [math.exp(float(anchor @ features[p]) / temperature) / total for p in positives]
        if reading == "outside":
            losses.append(-sum(map(math.log, shares)) / len(shares))
        else:
            losses.append(-math.log(sum(shares)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("reading", ["outside", "inside"])
def test_supervised_contrast_is_the_papers_double_sum(reading):
    rng = torch.Generator().manual_seed(0)
    raw = torch.randn(9, 5, generator=rng, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 1, 0, 2, 1, 0, 3, 2, 1])  # class 3 has one sample: no positive
    features = torch.nn.functional.normalize(raw, dim=1)
    loss = supervised_contrastive_loss(features, labels, 0.3, reading)
    assert loss.item() == pytest.approx(supcon_by_loops(features.detach(), labels.tolist(), 0.3, reading), rel=1e-12)
    loss.backward()
    assert torch.isfinite(raw.grad).all()
    torch.autograd.gradcheck(
        lambda x: supervised_contrastive_loss(torch.nn.functional.normalize(x, dim=1), labels, 0.3, reading), raw
    )


def test_nt_xent_is_cross_entropy_with_the_other_view_as_the_class():
    rng = torch.Generator().manual_seed(1)
    first, second = (torch.nn.functional.normalize(torch.randn(6, 4, generator=rng), dim=1) for _ in range(2))
    views = torch.cat([first, second])
    logits = (views @ views.T / 0.5).fill_diagonal_(-1e9)
    target = torch.arange(12).roll(6)
    assert float(nt_xent_loss(first, second, 0.5)) == pytest.approx(
        float(torch.nn.functional.cross_entropy(logits, target)), rel=1e-5
    )


def test_queue_infonce_is_the_papers_equation_query_by_query():
    queries, keys, queue = (draw(seed, 5, 5, 7)[seed % 3] for seed in (0, 1, 2))
    queries.requires_grad_()
    loss = queue_infonce_loss(queries, keys, queue, 0.2)
    total = 0.0
    for q, own in zip(queries.tolist(), keys.tolist(), strict=True):
        dots = [sum(a * b for a, b in zip(q, k, strict=True)) / 0.2 for k in [own, *queue.tolist()]]
        total -= math.log(math.exp(dots[0]) / sum(math.exp(dot) for dot in dots))
    assert loss.item() == pytest.approx(total / 5, rel=1e-9)
    gradient = torch.autograd.grad(loss, queries)[0]
    for n in range(5):  # dL/dq = (Σ_k p_k k − k⁺) / (N τ)
        candidates = torch.cat([keys[n : n + 1], queue])
        share = (candidates @ queries[n] / 0.2).softmax(dim=0)
        torch.testing.assert_close(gradient[n], ((share @ candidates) - keys[n]) / (5 * 0.2))


def test_unit_features_have_length_one_in_float32():
    features = unit(torch.randn(3, 2, 5, dtype=torch.bfloat16))
    assert features.dtype == torch.float32
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(3, 2))


def test_the_gram_matrix_and_its_gradients_are_the_products():
    x = torch.randn(5, 3, dtype=torch.double, requires_grad=True)
    torch.testing.assert_close(gram(x), x @ x.T)
    assert torch.autograd.gradcheck(gram, x)
    assert torch.autograd.gradgradcheck(gram, x)
