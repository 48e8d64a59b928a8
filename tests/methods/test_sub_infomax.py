"""SubInfoMax's losses and gradients against loops written from the paper's equations."""

import math
import sys

import pytest
import torch

from contrafact.core.method import load_run
from contrafact.core.run import Run
from contrafact.data.load import load_dataset
from contrafact.losses.contrastive import unit
from contrafact.methods.sub_infomax import SubInfoMax, hessian_blocks, infomin, orthogonality

from ..training.toy_images import ToyPairs

TAU = 0.4


def parts(num_views=2, samples=4, num_parts=3, dims=5, seed=0):
    return torch.randn(
        num_views, samples, num_parts, dims, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def length(a):
    return math.sqrt(dot(a, a))


def looped_infomin(z):
    total = 0.0
    for view in z.tolist():
        for k in range(len(view[0])):
            for other in range(len(view[0])):
                if k == other:
                    continue
                for i in range(len(view)):
                    shares = [math.exp(dot(view[i][k], view[a][other]) / TAU) for a in range(len(view))]
                    total += math.log(shares[i] / sum(shares)) / len(view)
    return total


def looped_orthogonality(z, permutation=None):
    views, total = z.tolist(), 0.0
    samples, num_parts = len(views[0]), len(views[0][0])
    order = range(len(views[0][0][0])) if permutation is None else permutation.tolist()
    for v in range(2):
        for i in range(samples):
            for j in (views[v][i], views[1 - v][i]):  # itself and its positive
                for k in range(num_parts):
                    for other in range(num_parts):
                        if k != other:
                            mine = [views[v][i][k][d] for d in order]
                            total += abs(dot(mine, j[other])) / (length(mine) * length(j[other]))
    return total / (2 * samples)


def looped_infomax(z, temperature=TAU):
    """Eq. 1, mean over the 2N anchors: each against its positive and all others."""
    flat = z.flatten(0, 1)
    samples = z.shape[1]
    total = 0.0
    for i in range(2 * samples):
        others = [a for a in range(2 * samples) if a != i]
        logits = {a: (flat[i] * flat[a]).sum() / temperature for a in others}
        positive = (i + samples) % (2 * samples)
        total = total - (logits[positive] - torch.stack(list(logits.values())).logsumexp(0))
    return total / (2 * samples)


def finite_difference_gradient(loss_of, z, step=1e-6):
    gradient = torch.zeros_like(z)
    flat = gradient.view(-1)
    for n in range(z.numel()):
        up, down = z.clone().view(-1), z.clone().view(-1)
        up[n] += step
        down[n] -= step
        flat[n] = (loss_of(up.view_as(z)) - loss_of(down.view_as(z))) / (2 * step)
    return gradient


def close_to_loop(loss_of, loop_of, z, tolerance=1e-5):
    """Value and, by central differences of the loop, gradient."""
    z = z.requires_grad_()
    loss = loss_of(z)
    assert loss.item() == pytest.approx(float(loop_of(z.detach())), rel=1e-6)
    gradient = torch.autograd.grad(loss, z)[0]
    expected = finite_difference_gradient(loop_of, z.detach())
    torch.testing.assert_close(gradient, expected, atol=tolerance, rtol=1e-4)
    assert gradient.abs().max() > 1e-3


def test_infomin_is_equation_4():
    def loss(z):
        return infomin(z, TAU)

    close_to_loop(loss, looped_infomin, parts())


@pytest.mark.parametrize("permuted", [False, True])
def test_orthogonality_is_equations_5_and_6(permuted):
    permutation = torch.tensor([3, 0, 4, 1, 2]) if permuted else None
    z = parts()
    close_to_loop(lambda z: orthogonality(z, permutation), lambda z: looped_orthogonality(z, permutation), z)
    if permuted:
        assert looped_orthogonality(z.detach()) != pytest.approx(looped_orthogonality(z.detach(), permutation))


@pytest.mark.parametrize("reading", ["per_sample", "batch"])
@pytest.mark.parametrize("num_parts", [2, 3])
def test_hessian_blocks_are_equation_8_by_a_double_loop(reading, num_parts):
    """The gradient by central differences, each entry of every off-diagonal block in a double loop."""
    z = parts(samples=3, num_parts=num_parts, dims=2)

    def loss_of(flat):
        return looped_infomax(flat.flatten(2))

    def loop(z):
        g = finite_difference_gradient(loss_of, z).flatten(0, 1) * 6  # of the sum over 6 anchors
        total = 0.0
        for rows in [[n] for n in range(6)] if reading == "per_sample" else [range(6)]:
            squares = 0.0
            for k in range(num_parts):
                for other in range(k + 1, num_parts):
                    for i in range(2):
                        for j in range(2):
                            squares += float(sum(g[n, k, i] * g[n, other, j] for n in rows)) ** 2
            total += math.sqrt(squares)
        return total / 6

    z = z.requires_grad_()
    value = hessian_blocks(looped_infomax(z.flatten(2)), z, reading)
    assert value.item() == pytest.approx(loop(z.detach()), rel=1e-5)


@pytest.mark.parametrize("reading", ["per_sample", "batch"])
def test_hessian_gradients_need_the_double_backward(reading):
    def value(z):
        z = z if z.requires_grad else z.clone().requires_grad_()
        return hessian_blocks(looped_infomax(z.flatten(2)), z, reading)

    z = parts(samples=3, num_parts=2, dims=2).requires_grad_()
    gradient = torch.autograd.grad(value(z), z)[0]
    torch.testing.assert_close(
        gradient, finite_difference_gradient(lambda z: value(z).detach(), z.detach()), atol=1e-5, rtol=1e-4
    )


def test_hessian_of_two_parts_is_the_product_of_gradient_lengths_and_vanishes_with_one():
    z = parts(num_parts=2).requires_grad_()
    g = torch.autograd.grad(looped_infomax(z.flatten(2)) * 8, z, retain_graph=True)[0].flatten(0, 1)
    value = hessian_blocks(looped_infomax(z.flatten(2)), z)
    torch.testing.assert_close(value, (g[:, 0].norm(dim=1) * g[:, 1].norm(dim=1)).mean())
    only_first = hessian_blocks(looped_infomax(z[:, :, 0]), z)
    assert only_first.item() == pytest.approx(0.0, abs=1e-12)
    assert torch.isfinite(torch.autograd.grad(only_first, z)[0]).all()


def test_infomax_is_equation_2_part_by_part_or_equation_1_on_the_whole():
    z = unit(parts().float())
    losses = SubInfoMax(temperature=TAU)._infomax(z, None, [[], [], []])
    for k in range(3):
        assert losses[k].item() == pytest.approx(looped_infomax(z[:, :, k]).item(), rel=1e-5)
    whole = SubInfoMax(temperature=TAU, infomax="whole")._infomax(z, None, [[], [], []])
    assert whole.tolist() == pytest.approx([looped_infomax(z.flatten(2)).item()], rel=1e-5)


def test_labelled_positives_are_all_views_of_equal_held_factors():
    z = unit(parts(num_parts=2).float())
    labels = torch.tensor([[[0, 0, 1], [0, 1, 1], [1, 0, 0], [0, 0, 2]], [[0, 0, 2], [0, 1, 0], [1, 0, 3], [0, 0, 3]]])

    def looped(part, classes):
        flat, total = part.flatten(0, 1), 0.0
        for i in range(8):
            rest = [a for a in range(8) if a != i]
            denominator = sum(math.exp(float(flat[i] @ flat[a]) / TAU) for a in rest)
            same = [a for a in rest if classes[a] == classes[i]]
            total -= sum(math.log(math.exp(float(flat[i] @ flat[a]) / TAU) / denominator) for a in same) / len(same)
        return total / 8

    flat = labels.flatten(0, 1).tolist()
    joint = SubInfoMax(temperature=TAU)._infomax(z, labels, [[0, 1], [0, 1]])
    assert joint[1].item() == pytest.approx(looped(z[:, :, 1], [tuple(row[:2]) for row in flat]), rel=1e-5)
    disjoint = SubInfoMax(temperature=TAU)._infomax(z, labels, [[0], [1]])
    assert disjoint[0].item() == pytest.approx(looped(z[:, :, 0], [row[0] for row in flat]), rel=1e-5)
    assert disjoint[1].item() == pytest.approx(looped(z[:, :, 1], [row[1] for row in flat]), rel=1e-5)


def fit(folder, dataset=None, steps=3, **settings):
    small = {"encoder": "conv", "width": 0.1, "batch_size": 6, "warmup_steps": 1}
    method = SubInfoMax(**{**small, "steps": steps, **settings})
    run = Run(folder, device="cpu", precision="float32", progress=False, log_every=1)
    method.fit(dataset or ToyPairs(), run)
    return load_run(folder)


def test_the_permutation_is_drawn_anew_each_step(tmp_path, monkeypatch):
    seen = []

    def watched(z, permutation=None):
        seen.append(permutation.tolist())
        return orthogonality(z, permutation)

    monkeypatch.setattr(sys.modules["contrafact.methods.sub_infomax"], "orthogonality", watched)
    fit(tmp_path, steps=5, regulariser="permuted_ortho")
    assert all(sorted(order) == list(range(8)) for order in seen)
    assert len({tuple(order) for order in seen}) >= 4


@pytest.mark.parametrize(
    ("regulariser", "heads", "features", "whole"),
    [("none", 2, 16, False), ("infomin", 2, 16, False), ("ortho", 2, 16, False), ("hessian", 1, 16, True)],
)
def test_heads_are_the_papers(regulariser, heads, features, whole, tmp_path):
    run = fit(tmp_path, regulariser=regulariser)
    assert len(run.encoder.heads) == heads
    codes = torch.rand(3, run.encoder.code_dim)
    assert run.encoder.represent(codes, "z").shape == (3, features)
    assert ("infomax_1" in run.log[0]) is not whole
    assert (regulariser in run.log[0]) is (regulariser != "none")


def test_separate_heads_read_their_part_of_r_alone(tmp_path):
    encoder = fit(tmp_path).encoder
    codes = torch.rand(2, encoder.code_dim)
    changed = codes.clone()
    encoder.parts(changed)[:, 0] += 1
    before, after = encoder.parts(encoder.project(codes)), encoder.parts(encoder.project(changed))
    assert torch.equal(before[:, 1], after[:, 1])
    assert not torch.equal(before[:, 0], after[:, 0])


def test_more_parts_than_two(tmp_path):
    run = fit(tmp_path, num_parts=4, code_dim=12, regulariser="hessian")
    assert run.encoder.parts(torch.rand(2, 12)).shape == (2, 4, 3)
    assert run.encoder.represent(torch.rand(2, 12), "z").shape == (2, 32)


def test_the_ceiling_pulls_each_factor_into_its_own_half(tmp_path):
    """Trained on labels, the half of one factor tells it and the other half does not."""
    run = fit(
        tmp_path,
        steps=60,
        encoder="resnet18",
        code_dim=16,
        positives="disjoint_labels",
        heads="none",
        batch_size=24,
        learning_rate=1.0,
    )
    dataset = ToyPairs()
    codes = run.encoder.parts(run.encoder(dataset.batch(range(96))))
    factors = dataset.factors_of(range(96))
    for k, column in enumerate((0, 1)):
        for part in (0, 1):
            features = unit(codes[:, part])
            similarity = features @ features.T - 2 * torch.eye(96)
            nearest = similarity.argmax(dim=1).numpy()
            share = (factors[nearest, column] == factors[:, column]).mean()
            if part == k:
                assert share > 0.95, (k, part, share)
    light, side = (unit(codes[:, part]) for part in (0, 1))
    apart = [float((light[factors[:, 1] == 0].mean(0) - light[factors[:, 1] == 1].mean(0)).norm())]
    apart.append(float((side[factors[:, 1] == 0].mean(0) - side[factors[:, 1] == 1].mean(0)).norm()))
    assert apart[1] > 3 * apart[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_parts": 3}, "3 sub-embeddings do not divide 26 code dimensions; choose num_parts among 2, 13, 26"),
        ({"heads": "joint", "feature_dim": 7}, "2 sub-embeddings do not divide 7 projection dimensions; choose num_pa"),
        ({"temperature": 0.0}, "temperature must be above 0, got 0.0"),
        ({"num_parts": 1, "regulariser": "ortho"}, "ortho works between parts; num_parts must be at least 2, got 1"),
        (
            {"positives": "disjoint_labels", "infomax": "whole"},
            "disjoint labels give each part its own; set infomax=parts",
        ),
        (
            {"positives": "disjoint_labels", "num_parts": 13},
            "disjoint labels give each part one held factor: toy pairs holds light, side, but num_parts is 13",
        ),
        ({"augmentations": "crop,colour"}, "unknown augmentation 'colour'; did you mean 'color'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        fit(tmp_path, **settings)


def test_labels_need_pairs(tmp_path):
    with pytest.raises(
        ValueError, match="positives=joint_labels needs labelled pairs, such as mnist-stl:dc-bc; shapes3d"
    ):
        fit(tmp_path, load_dataset("shapes3d", size=16), positives="joint_labels")


def test_an_unknown_regulariser_is_refused():
    with pytest.raises(ValueError, match="unknown regulariser 'hessien'; did you mean 'hessian'"):
        SubInfoMax(regulariser="hessien")
