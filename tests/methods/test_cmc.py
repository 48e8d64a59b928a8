"""CMC's losses and banks against loops from the paper, and its split into lightness and colour."""

import math

import kornia.color
import pytest
import torch

from contrafact.core.method import load_run
from contrafact.core.run import Run
from contrafact.losses.contrastive import unit
from contrafact.methods.cmc import CMC, LabEncoder, MemoryBanks, batch_loss, rgb_to_lab
from tests.training.toy_images import GreyImages, ToyImages


def banks(size=9, dims=4):
    torch.manual_seed(0)
    return MemoryBanks(size, dims)


def draw(n=3, negatives=5, dims=4):
    rng = torch.Generator().manual_seed(1)
    anchors = unit(torch.randn(n, dims, generator=rng))
    return anchors, torch.tensor([2, 0, 7]), torch.randint(9, (n, negatives), generator=rng)


def dots(anchor, rows, bank):
    return [sum(a * b for a, b in zip(anchor.tolist(), bank[row].tolist(), strict=True)) / 0.3 for row in rows]


def test_infonce_is_equation_2_against_the_other_bank():
    bank, (anchors, own, drawn) = banks(), draw()
    total = 0.0
    for anchor, mine, others in zip(anchors, own.tolist(), drawn.tolist(), strict=True):
        logits = dots(anchor, [mine, *others], bank.features[1])
        total -= logits[0] - math.log(sum(math.exp(logit) for logit in logits))
    assert bank.loss(anchors, 1, own, drawn, 0.3, "infonce").item() == pytest.approx(total / 3, rel=1e-5)


def test_nce_tells_data_from_noise_with_the_first_batchs_normaliser():
    bank, (anchors, own, drawn) = banks(), draw()
    similar = [
        [math.exp(logit) for logit in dots(anchor, [mine, *others], bank.features[0])]
        for anchor, mine, others in zip(anchors, own.tolist(), drawn.tolist(), strict=True)
    ]
    z = 9 * sum(map(sum, similar)) / 18
    noise = 5 / 9  # K draws from the uniform 1/M
    total = 0.0
    for first, *rest in similar:
        total -= math.log((first / z) / (first / z + noise))
        total -= sum(math.log(noise / (h / z + noise)) for h in rest)
    assert bank.loss(anchors, 0, own, drawn, 0.3, "nce").item() == pytest.approx(total / 3, rel=1e-5)
    kept = bank.normalisers[0].item()
    assert kept == pytest.approx(z, rel=1e-5)
    bank.loss(anchors.flip(0), 0, own, drawn, 0.3, "nce")
    assert bank.normalisers[0].item() == kept
    assert bank.normalisers[1].item() == 0


def test_batch_loss_is_infonce_both_ways():
    first, second = unit(torch.randn(4, 3)), unit(torch.randn(4, 3))
    total = 0.0
    for a, b in ((first, second), (second, first)):
        for i in range(4):
            shares = [math.exp(float(a[i] @ b[j]) / 0.3) for j in range(4)]
            total -= math.log(shares[i] / sum(shares)) / 4
    assert batch_loss(first, second, 0.3).item() == pytest.approx(total, rel=1e-5)


def test_banks_move_half_way_on_the_sphere_for_the_images_seen():
    bank = banks()
    before, new = bank.features.clone(), unit(torch.randn(2, 4))
    bank.update(1, torch.tensor([3, 5]), new, 0.5)
    for row in range(9):
        if row in (3, 5):
            mixed = 0.5 * before[1, row] + 0.5 * new[(3, 5).index(row)]
            torch.testing.assert_close(bank.features[1, row], mixed / mixed.norm())
        else:
            assert torch.equal(bank.features[1, row], before[1, row])
    assert torch.equal(bank.features[0], before[0])


def test_lightness_and_colour_are_cie_lab():
    """White is L = 100; pure red is L = 53.24, a = 80.09, b = 67.20 (D65)."""
    encoder = LabEncoder("conv", (3, 16, 16), 0.2, "auto", 4)
    images = torch.ones(2, 3, 16, 16)
    images[1, 1:] = 0
    lightness, color = encoder._split(images)
    assert ((lightness[:, 0, 0, 0] + 1) * 50).tolist() == pytest.approx([100.0, 53.24], abs=0.02)
    assert (color[1, :, 0, 0] * 110).tolist() == pytest.approx([80.09, 67.20], abs=0.05)
    assert (color[0] * 110).abs().max() < 0.05


def test_colours_reach_one_at_the_ends_of_what_srgb_holds():
    """The authors' normalisation: mean (low + high)/2 and half the range, of a −86.183…98.233 and b −107.857…94.478."""
    encoder = LabEncoder("conv", (3, 16, 16), 0.2, "auto", 4, full_range=True)
    grid = torch.cartesian_prod(*[torch.linspace(0, 1, 33)] * 3).T.reshape(1, 3, -1, 33)
    lightness, color = encoder._split(grid)
    for k in range(2):
        assert (float(color[:, k].min()), float(color[:, k].max())) == pytest.approx((-1, 1), abs=2e-3)
    plain, other = LabEncoder("conv", (3, 16, 16), 0.2, "auto", 4)._split(grid)
    torch.testing.assert_close(lightness, plain)
    a = other[:, 0] * 110
    torch.testing.assert_close(color[:, 0], (a - (98.233 - 86.183) / 2) / ((98.233 + 86.183) / 2))
    assert encoder.arguments()["full_range"]
    assert "full_range" not in LabEncoder("conv", (3, 16, 16), 0.2, "auto", 4).arguments()


def test_lab_of_random_colours_is_kornias():
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(rgb_to_lab(images), kornia.color.rgb_to_lab(images), atol=0.05, rtol=0)


def test_each_network_sees_its_channels_alone():
    torch.manual_seed(0)
    encoder = LabEncoder("conv", (3, 16, 16), 0.2, "auto", 4)
    grey = torch.rand(1, 1, 16, 16).expand(1, 3, 16, 16)
    codes = encoder(torch.cat([grey, grey * 0.5]))
    torch.testing.assert_close(
        codes[0, encoder.lightness.code_dim :], codes[1, encoder.lightness.code_dim :], atol=1e-3, rtol=0
    )
    assert (codes[0, : encoder.lightness.code_dim] - codes[1, : encoder.lightness.code_dim]).abs().max() > 1e-3
    assert encoder.represent(codes, "z").shape == (2, 8)


@pytest.mark.parametrize("objective", ["nce", "infonce", "batch"])
def test_each_objective_lowers_its_loss(objective, tmp_path):
    method = CMC(
        encoder="resnet18", width=0.2, steps=25, batch_size=20, objective=objective, num_negatives=40, feature_dim=16,
        temperature=0.2, learning_rate=0.1, augmentations="none",
    )  # fmt: skip
    run = Run(tmp_path, device="cpu", precision="float32", progress=False, log_every=5)
    method.fit(ToyImages(), run)
    log = load_run(tmp_path).log
    assert log[-1]["loss"] < log[0]["loss"]
    if objective != "batch":  # which among twenty images may also lower its loss by pushing all of them apart
        assert log[-1]["agreement"] > log[0]["agreement"]


def test_grey_images_are_refused(tmp_path):
    run = Run(tmp_path, device="cpu", progress=False)
    with pytest.raises(ValueError, match="which takes 3 channels, but toy has images of 1; use simclr or moco"):
        CMC().fit(ToyImages((1, 16, 16)), run)
    with pytest.raises(ValueError, match="the images of toy have three equal channels, so there is no colour to contr"):
        CMC().fit(GreyImages(), run)
    assert not list(tmp_path.iterdir())


def test_a_temperature_of_zero_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"temperature must be above 0, got 0.0"):
        CMC(temperature=0.0).fit(ToyImages(), Run(tmp_path, device="cpu", progress=False))
