"""Joint diagonalisation: Gram matrices against autograd's Jacobians, scenes whose directions are known, the encoder."""

import numpy as np
import pytest
import torch

from contrafact.core.progress import watched
from contrafact.core.run import Run
from contrafact.generators import StyleGAN2, wrap
from contrafact.generators.analytic import Analytic
from contrafact.methods._joint_frame import (
    CANDIDATES,
    Frame,
    Grams,
    answering,
    gram_matrices,
    held_out_share,
    joint_frame,
)
from contrafact.methods.joint_diagonal import JointDiagonal
from contrafact.metrics.recovery import recovery
from contrafact.nn.responses import RESPONSES, watch
from contrafact.nn.whitening import Whitening, whitening

TINY = {"num_latents": 400, "num_bases": 8, "encoder_images": 32, "steps": 1, "batch_size": 4, "encoder_width": 0.25}


def quiet(folder, seed: int = 0) -> Run:
    return Run(folder, seed=seed, device="cpu", precision="float32", progress=False)


def smooth_generator(latent_dim: int = 5):
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Linear(latent_dim, 24), torch.nn.Tanh(), torch.nn.Linear(24, 3 * 8 * 8), torch.nn.Sigmoid()
    )
    return wrap(
        torch.nn.Sequential(module, torch.nn.Unflatten(1, (3, 8, 8))).double(), latent_dim, image_range=(0, 1)
    ).freeze()


def white_of(dim: int) -> Whitening:
    rng = torch.Generator().manual_seed(3)
    return whitening(torch.randn(500, dim, generator=rng) @ torch.randn(dim, dim, generator=rng))


@pytest.mark.parametrize(("kind", "images_per_batch"), [("pixels", 200), *((kind, 7) for kind in RESPONSES)])
def test_the_streamed_grams_are_those_of_autograds_jacobians(kind, images_per_batch):
    generator, white = smooth_generator(), white_of(5)
    white = Whitening(*(part.double() for part in white))
    bases = torch.randn(6, 5, generator=torch.Generator().manual_seed(1)).double()
    torch.manual_seed(2)
    response = watch(kind, (3, 8, 8))
    (found,) = gram_matrices(generator, white, [response], bases, 1e-2, None, images_per_batch)

    def answer(latent):
        return response(generator(latent[None]).float())[0]

    answers = torch.stack([answer(base) for base in bases]).double()
    spread = answers.std(dim=0)
    spread = spread.clamp_min(float(spread.max()) / 100)
    per_response, per_base = 0.0, []
    for base in bases:
        jacobian_PCR = torch.autograd.functional.jacobian(answer, base) @ white.axes_RL.T
        per_response = per_response + torch.einsum("pcr,pcs->prs", jacobian_PCR, jacobian_PCR) / len(bases)
        scaled = (jacobian_PCR / spread[..., None]).flatten(0, 1)
        per_base.append(scaled.T @ scaled)
    # Central differences: an error of the step's square, and float32's rounding over the step; a step across the kink
    # of one of the encoder's ReLUs costs more.
    tolerance = 3e-2 if kind == "encoder" else 1e-2
    for mine, exact in ((found.halves_2PRR.mean(dim=0), per_response), (found.per_base_BRR, torch.stack(per_base))):
        assert float((mine - exact).norm() / exact.norm()) < tolerance


def test_a_step_on_some_layers_is_differentiated_there_only():
    torch.manual_seed(0)
    generator = StyleGAN2(16, latent_dim=12, channels=[8, 6, 4], mapping_layers=3).freeze()
    white, bases = whitening(generator.sample(200, seed=0)), generator.sample(2, seed=1)
    response = watch("pixels", (3, 16, 16))
    (grams,) = gram_matrices(generator, white, [response], bases, 0.05, (2, 4))
    expected = 0.0
    for base in bases:
        for r in range(2):
            for s in range(2):
                pair = []
                for axis in (white.axes_RL[r], white.axes_RL[s]):
                    ends = []
                    for sign in (0.05, -0.05):
                        layered = base.expand(1, 6, 12).clone()
                        layered[:, 2:4] += sign * axis
                        ends.append(generator(layered))
                    pair.append((ends[0] - ends[1]) / 0.1)
                if (r, s) == (0, 1):
                    expected += float((pair[0] * pair[1]).sum()) / 2
    assert float(grams.halves_2PRR.mean(dim=0).sum(dim=0)[0, 1]) == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_the_low_rank_start_finds_the_dimensions_that_are_answered_to():
    """A generator that reads three of twenty dimensions."""
    torch.manual_seed(0)
    reads = torch.linalg.qr(torch.randn(20, 3))[0]

    class Reads(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.Sequential(
                torch.nn.Linear(3, 16), torch.nn.Tanh(), torch.nn.Linear(16, 64), torch.nn.Unflatten(1, (1, 8, 8))
            )

        def forward(self, latent):
            return self.layers(latent @ reads)

    generator = wrap(Reads(), 20).freeze()
    white = whitening(torch.randn(4000, 20))
    rng = torch.Generator().manual_seed(0)
    frame = answering(generator, white, [watch("pixels", (1, 8, 8))], generator.sample(16, seed=0), 3, None, rng)
    spanned = torch.linalg.qr((frame.float() @ white.dual_RL).T)[0]
    assert torch.linalg.svdvals(spanned.T @ reads).min() > 0.999


def test_the_low_rank_start_needs_no_round_number_of_bases_nor_memory_for_all():
    """17 bases are not 16 and a single one; in pieces of three, gradients are the same up to the order of sums."""
    generator, white = smooth_generator(9), white_of(9)
    bases, response = generator.sample(17, seed=0).double(), watch("pixels", (3, 8, 8))
    white = Whitening(*(part.double() for part in white))
    whole, pieces = (
        answering(generator, white, [response], bases, 4, None, torch.Generator().manual_seed(0), size)
        for size in (16, 3)
    )
    assert bool(whole.isfinite().all())
    assert torch.linalg.svdvals(whole @ pieces.T).min() > 1 - 1e-6


def test_large_images_are_made_a_few_at_a_time(tmp_path):
    """None of a search's or an encoder's images need a batch of more than two million pixels."""
    largest = []

    class Large(torch.nn.Module):
        def forward(self, latent):
            largest.append(len(latent))
            return latent.sigmoid()[:, :, None, None].expand(-1, 3, 256, 256) * torch.linspace(0, 1, 256)

    generator = wrap(Large(), 3, image_range=(0, 1)).freeze()
    few = {"num_latents": 100, "num_bases": 12, "encoder_images": 70, "steps": 1, "batch_size": 2, "encoder_width": 0.1}
    JointDiagonal.of(**few, find_circles=False).fit(generator, quiet(tmp_path))
    assert max(largest) == 32


def test_the_search_says_how_far_it_is(tmp_path):
    """Seven dimensions of nine: 4 · 8 bases for the choice, 8 images and 2 · 7 beside each for the differences."""
    seen = []
    few = JointDiagonal.of(**{**TINY, "max_dimensions": 7, "images_per_batch": 30})
    with watched(lambda what, done, total: seen.append((what, done, total))):
        few.fit(smooth_generator(9).float(), quiet(tmp_path))
    for what, total in {
        "choosing dimensions": 32,
        "differentiating images": 8 * (1 + 2 * 7),
        "drawing images": 32,
    }.items():
        done = [d for name, d, t in seen if name == what and t == total]
        assert len(done) > 1
        assert done == sorted(done)
        assert done[-1] == total


def test_the_directions_of_a_scene_are_recovered(tmp_path):
    """Eight factors behind a rotation; eight random directions reach 0.59."""
    scene = Analytic(size=24)
    few = {"num_latents": 4000, "num_bases": 48, "find_circles": False}
    directions = joint_frame(scene, quiet(tmp_path), Frame(**few), 16)
    assert recovery(directions.axes.detach().numpy(), scene.true_directions().numpy()).score > 0.9
    assert 0.5 < directions.note["diagonal_share"] <= 1


def test_a_frame_is_tried_on_the_bases_it_was_not_found_at():
    """Matrices of one frame at both halves hold; matrices of a frame of their own at each half do as random ones."""
    rng = np.random.default_rng(0)
    frames = np.linalg.qr(rng.standard_normal((2, 8, 8)))[0]
    values = rng.uniform(0, 1, (2, 30, 8)) ** 4
    bases = torch.eye(8).double().repeat(4, 1, 1)
    held = {
        number: held_out_share(
            Grams(torch.from_numpy(np.einsum("hpd,hdr,hds->hprs", values, turned, turned)), bases), "per_response", rng
        )
        for number, turned in (("one", frames[[0, 0]]), ("two", frames))
    }
    assert held["one"] == pytest.approx(1.0, abs=1e-6)
    assert abs(held["two"]) < 0.2


def test_the_response_is_chosen_without_labels(tmp_path):
    note = joint_frame(Analytic(size=16), quiet(tmp_path), Frame(num_latents=400, num_bases=16), 16).note
    assert set(note["held_out_share"]) == set(CANDIDATES)
    assert note["responses"] == [max(note["held_out_share"], key=note["held_out_share"].get)]


@pytest.mark.parametrize("settings", [{"gram": "both", "responses": ("moments", "encoder")}, {"gram": "per_base"}])
def test_other_responses_and_kinds_of_gram_fit(settings, tmp_path):
    run = JointDiagonal.of(**TINY, **settings).fit(Analytic(size=16), quiet(tmp_path))
    vectors = run.directions.axes
    torch.testing.assert_close(run.directions.dual @ vectors.T, torch.eye(len(vectors)), atol=1e-4, rtol=0)
    assert 0 < run.directions.note["diagonal_share"] <= 1


@pytest.mark.parametrize("frame", ["axes", "random"])
def test_controls_are_whitened_frames_too(frame, tmp_path):
    run = JointDiagonal.of(**TINY, frame=frame).fit(Analytic(size=16), quiet(tmp_path))
    directions = run.directions
    torch.testing.assert_close(directions.dual @ directions.axes.T, torch.eye(8), atol=1e-4, rtol=0)
    assert "diagonal_share" not in directions.note


def test_the_encoder_learns_the_coordinates(tmp_path):
    scene = Analytic(size=16)
    settings = {
        **TINY,
        "num_latents": 2000,
        "encoder_images": 1500,
        "steps": 150,
        "batch_size": 64,
        "encoder_width": 0.5,
    }
    run = JointDiagonal.of(**settings, find_circles=False).fit(scene, quiet(tmp_path))
    latents = scene.sample(300, seed=9)
    truth, codes = run.directions.positions(latents), run.encoder(scene(latents).clamp(0, 1))
    correlation = np.abs(np.corrcoef(truth.T.numpy(), codes.detach().T.numpy())[:8, 8:])
    assert np.median(np.diag(correlation)) > 0.6
    assert run.encoder.code_dim == run.directions.num_directions == 8


def test_few_directions_are_the_strongest(tmp_path):
    many = JointDiagonal.of(**TINY, find_circles=False).fit(Analytic(size=16), quiet(tmp_path / "many"))
    few = JointDiagonal.of(**TINY, find_circles=False, num_directions=3).fit(Analytic(size=16), quiet(tmp_path / "few"))
    torch.testing.assert_close(few.directions.axes, many.directions.axes[:3])
    assert few.encoder.code_dim == 3


def test_bad_settings(tmp_path):
    with pytest.raises(ValueError, match="num_bases must be at least 2"):
        JointDiagonal.of(**{**TINY, "num_bases": 1}).fit(Analytic(size=16), quiet(tmp_path))
    with pytest.raises(ValueError, match="num_latents is 9, too few to whiten 8 dimensions; ask for at least 16"):
        JointDiagonal.of(**{**TINY, "num_latents": 9}).fit(Analytic(size=16), quiet(tmp_path))
    with pytest.raises(ValueError, match="unknown response 'edges'"):
        watch("edges", (3, 16, 16))
