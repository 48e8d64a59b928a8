"""DisCo against plain transcriptions of its paper, and every switch of its tables."""

import dataclasses
import functools
import json
import math
import sys
import warnings
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from contrafact.core.artefact import save_artefact
from contrafact.core.directions import GlobalDirections
from contrafact.core.generator import architecture
from contrafact.core.run import Run
from contrafact.generators.checkpoints import load_generator
from contrafact.losses import contrastive
from contrafact.methods._joint_frame import Frame
from contrafact.methods.disco import DisCo, _warn_of_collapse
from contrafact.nn.encoders import ConvEncoder

TINY = {"num_directions": 6, "code_dim": 5, "steps": 2, "encoder_width": 0.1}
TINY |= {"num_queries": 4, "num_positives": 3, "num_negatives": 5, "directions_per_step": 3, "samples_per_direction": 2}


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    return architecture("vae")(4, (3, 16, 16), 0.1).freeze()


def fit(generator, folder, **settings):
    return DisCo.of(**{**TINY, **settings}).fit(
        generator, Run(folder, precision="float32", progress=False, log_every=1)
    )


def test_formulations_are_those_of_the_spec():
    released, paper = DisCo().resolved(), DisCo.of(formulation="paper").resolved()
    common = {"num_queries": 32, "num_positives": 32, "num_negatives": 64, "temperature": 1.0, "threshold": 0.95}
    common |= {"domination_weight": 1.0, "num_directions": 64}
    for name, value in common.items():
        assert released.hyperparameters()[name] == paper.hyperparameters()[name] == value
    assert (released.code_dim, released.steps, released.learning_rate, released.edits.shift) == (
        64,
        70_000,
        1e-4,
        "normal",
    )
    assert (paper.code_dim, paper.steps, paper.learning_rate, paper.edits.shift) == (32, 100_000, 1e-5, "uniform")
    assert (released.contrast.reduction, released.contrast.flipping, released.domination) == (
        "mean",
        "cross_entropy",
        "query",
    )
    assert (paper.contrast.reduction, paper.contrast.flipping, paper.domination) == (
        "sum",
        "pseudo_label",
        "mean_per_dimension",
    )
    assert (released.encoder_slope, paper.encoder_slope) == (0.01, 0.0)
    assert released.contrast.detach_negatives is True
    assert paper.contrast.detach_negatives is False


def test_a_run_of_before_the_slope_was_a_setting_goes_on_with_its_own(generator, tmp_path):
    fit(generator, tmp_path / "run", encoder_slope=0.2)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    del config["hyperparameters"]["encoder_slope"]
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    again = Run(tmp_path / "run", precision="float32", progress=False, resume=True)
    with pytest.raises(ValueError, match=r"hyperparameters\.encoder_slope: 0\.2 before, null now"):
        DisCo.of(**TINY).fit(generator, again)
    assert DisCo.of(**TINY, encoder_slope=0.2).fit(generator, again).encoder.slope == 0.2


def test_an_explicit_option_wins_over_its_formulation():
    assert DisCo.of(formulation="paper", flipping="none", code_dim=7).resolved().contrast.flipping == "none"
    assert DisCo.of(detach_negatives=False).resolved().contrast.detach_negatives is False


def test_paper_batches_share_one_direction_and_never_repeat_it_among_the_negatives():
    method, rng = DisCo.of(num_directions=5).resolved(), torch.Generator().manual_seed(0)
    counts = torch.zeros(5, 5)
    for _ in range(400):
        index, _ = method.edits.draw(method.num_directions, rng)
        assert (index[:64] == index[0]).all()
        assert (index[64:] != index[0]).all()
        counts[index[0]] += torch.bincount(index[64:], minlength=5)
    share = counts / counts.sum(dim=1, keepdim=True)
    torch.testing.assert_close(share + 0.25 * torch.eye(5), torch.full((5, 5), 0.25), atol=0.03, rtol=0)


def test_all_pairs_batches_hold_different_directions():
    method, rng = DisCo.of(batching="all_pairs").resolved(), torch.Generator().manual_seed(0)
    index, _ = method.edits.draw(method.num_directions, rng)
    assert len(index) == 128
    assert (torch.bincount(index, minlength=64)[index] == 8).all()


@pytest.mark.parametrize("shift", ["uniform", "normal"])
def test_magnitudes_keep_their_law_and_are_lifted_on_both_sides(shift):
    method = DisCo.of(shift=shift, max_shift=2.0, min_shift=0.5, num_negatives=40_000).resolved()
    _, magnitude = method.edits.draw(method.num_directions, torch.Generator().manual_seed(0))
    assert magnitude.abs().min() == 0.5
    assert (magnitude < 0).float().mean() == pytest.approx(0.5, abs=0.01)
    lifted = (magnitude.abs() == 0.5).float().mean()
    if shift == "uniform":
        assert magnitude.abs().max() <= 2.0
        assert lifted == pytest.approx(0.25, abs=0.01)
    else:
        assert lifted == pytest.approx(math.erf(0.25 / 2**0.5), abs=0.01)


def plain_step(method, generator, encoder, directions, rng):
    """One step written out from the paper: two encoder calls, loops over pairs, float32, contiguous."""
    index, magnitude = method.edits.draw(method.num_directions, rng)
    latent = generator.sample(len(index), rng)
    vectors = directions.weight / directions.weight.norm(dim=1, keepdim=True)
    variations = []
    for z, d, epsilon in zip(latent, index, magnitude, strict=True):
        moved = z + epsilon * directions.scale * vectors[d]
        v = (encoder.encode(generator(moved[None])) - encoder.encode(generator(z[None])))[0].abs()
        variations.append(v / v.norm())
    b, n = method.edits.num_queries, method.edits.num_positives
    query, positive, negative = variations[:b], variations[b : b + n], variations[b + n :]
    loss = 0.0
    for q in query:
        for k in positive:
            loss = loss - torch.log(torch.sigmoid(q @ k))
        for k in negative:
            a = q @ (k.detach() if method.contrast.detach_negatives else k)
            label = a.detach()
            if a < method.contrast.threshold:
                loss = loss - torch.log(1 - torch.sigmoid(a))
            elif method.contrast.flipping == "pseudo_label":
                loss = loss - label * torch.log(torch.sigmoid(a))
            else:
                loss = loss - label * torch.log(torch.sigmoid(a)) - (1 - label) * torch.log(1 - torch.sigmoid(a))
    loss = loss / (b if method.contrast.reduction == "sum" else b * (n + len(negative)))

    def entropy(v, inside=0.0):
        p = torch.exp(v) / torch.exp(v).sum()
        return -(p * torch.log(p + inside)).sum()

    if method.domination == "query":  # the release: of queries alone
        domination = sum(entropy(v, 1e-5) for v in query) / b
    else:
        domination = entropy(sum(query + positive) / (b + n)) / len(query[0])
    return loss + method.domination_weight * domination


@pytest.mark.parametrize("formulation", ["released", "paper"])
def test_step_and_gradients_match_a_plain_transcription(generator, tmp_path, formulation):
    # A low threshold makes some negatives flip even between untrained variations.
    method = DisCo.of(**TINY, formulation=formulation, threshold=0.9, max_shift=2.0).resolved()
    run = Run(tmp_path, precision="float32")
    torch.manual_seed(1)
    encoder = ConvEncoder((3, 16, 16), 5, 0.1)
    directions = GlobalDirections.random(4, 6, torch.Generator().manual_seed(2), scale=1.3)
    parameters = [*encoder.parameters(), *directions.parameters()]
    ours, scalars = method.step_loss(
        generator, encoder, directions, nn.Identity(), torch.Generator().manual_seed(3), run
    )
    assert 0 < scalars["flipped"] < 1
    plain = plain_step(method, generator, encoder, directions, torch.Generator().manual_seed(3))
    assert ours.item() == pytest.approx(plain.item(), rel=1e-5)
    mine, theirs = (torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)]) for loss in (ours, plain))
    assert (mine - theirs).norm() < 1e-3 * theirs.norm()


@pytest.mark.parametrize("objective", ["logits", "infonce"])
def test_negatives_without_gradient_change_no_gradient(generator, tmp_path, monkeypatch, objective):
    """Against the same step that goes back through all images, the loss alone stopping at the negatives."""
    method = DisCo.of(**TINY, threshold=0.9, objective=objective).resolved()
    assert method.contrast.detach_negatives
    run = Run(tmp_path, precision="float32")
    torch.manual_seed(1)
    encoder = ConvEncoder((3, 16, 16), 5, 0.1)
    directions = GlobalDirections.random(4, 6, torch.Generator().manual_seed(2))
    parameters = [*encoder.parameters(), *directions.parameters()]
    encoded, encode = [], encoder.encode

    def spy(images):
        encoded.append((len(images), torch.is_grad_enabled()))
        return encode(images)

    def gradients():
        rng = torch.Generator().manual_seed(3)
        loss, _ = method.step_loss(generator, encoder, directions, nn.Identity(), rng, run)
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)])

    encoder.encode = spy
    lean = gradients()
    assert encoded == [(2 * 7, True), (2 * 5, False)]
    monkeypatch.setattr(DisCo, "_edits_learned_from", lambda self, encoder: self.edits.num_edits())
    # Bit-equal on some processors; on others a convolution of another batch sums in another order, which a critic of
    # differences between nearly equal codes enlarges to 2e-5. Gradients through negatives differ by more than a tenth.
    assert (lean - gradients()).norm() < 2e-4 * lean.norm()


@pytest.mark.parametrize(
    "switch", [{}, {"batching": "all_pairs", "shared_bases": True}, {"formulation": "paper"}], ids=str
)
def test_a_few_images_at_a_time_have_the_same_gradients(generator, tmp_path, switch):
    run = Run(tmp_path, precision="float32")
    torch.manual_seed(1)
    encoder = ConvEncoder((3, 16, 16), 5, 0.1)
    directions = GlobalDirections.random(4, 6, torch.Generator().manual_seed(2))
    encoded, encode = [], encoder.encode
    encoder.encode = lambda images: (encoded.append(len(images)), encode(images))[1]

    def gradients(size):
        method = DisCo.of(**TINY, **switch, images_at_once=size).resolved()
        loss, _ = method.step_loss(generator, encoder, directions, nn.Identity(), torch.Generator().manual_seed(3), run)
        parameters = [*encoder.parameters(), *directions.parameters()]
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)])

    expected = gradients(0)
    encoded.clear()
    found = gradients(2)
    assert max(encoded) == 2
    assert (found - expected).norm() < 1e-4 * expected.norm()  # sums in another order, in float32


def test_a_step_that_does_not_fit_is_refused_before_it_starts(generator, tmp_path, monkeypatch):
    monkeypatch.setattr("contrafact.training.step_memory.free_bytes", lambda device: 200_000)
    advice = r"a step keeps about 0\.0 GiB .* set images_at_once to 1 or a few: gradients stay the same"
    with pytest.raises(ValueError, match=advice):
        fit(generator, tmp_path / "all")
    assert fit(generator, tmp_path / "one", images_at_once=1).encoder.code_dim == 5


def test_an_encoder_that_normalises_over_the_batch_sees_the_batch(generator, tmp_path):
    method = DisCo.of(**TINY).resolved()
    normalising = nn.Sequential(ConvEncoder((3, 16, 16), 5, 0.1), nn.BatchNorm1d(5))
    assert method._edits_learned_from(ConvEncoder((3, 16, 16), 5, 0.1)) == 7
    assert method._edits_learned_from(normalising) == 12
    assert method.changed(objective="classification")._edits_learned_from(nn.Identity()) == 12
    assert method.changed(detach_negatives=False)._edits_learned_from(nn.Identity()) == 12


def test_shared_bases_start_every_direction_from_the_same_images(generator, tmp_path):
    """Against separate calls, one direction at a time, on the same latents."""
    method = DisCo.of(**TINY, batching="all_pairs", shared_bases=True, shift="uniform", objective="infonce").resolved()
    encoder = ConvEncoder((3, 16, 16), 5, 0.1)
    directions = GlobalDirections.random(4, 6, torch.Generator().manual_seed(2))
    settings = (generator, encoder, directions, nn.Identity())
    run = Run(tmp_path, precision="float32")
    loss, _ = method.step_loss(*settings, torch.Generator().manual_seed(3), run)
    rng = torch.Generator().manual_seed(3)
    index, magnitude = method.edits.draw(method.num_directions, rng)
    base = generator.sample(2, rng)
    rows = []
    for direction in range(3):
        part = slice(2 * direction, 2 * direction + 2)
        edited = directions(base, index[part], magnitude[part])
        rows.append((encoder.encode(generator(edited)) - encoder.encode(generator(base))).abs())
    variation = nn.functional.normalize(torch.cat(rows), dim=1)
    assert method.loss(variation, index)[0].item() == pytest.approx(loss.item(), rel=1e-5)


def test_all_pairs_contrasts_every_pair_of_the_batch(generator, tmp_path):
    method = DisCo.of(
        **TINY, batching="all_pairs", flipping="none", domination="none", detach_negatives=False
    ).resolved()
    torch.manual_seed(1)
    variation = nn.functional.normalize(torch.rand(6, 5), dim=1)
    index = torch.tensor([4, 4, 0, 0, 2, 2])
    loss, _ = method.loss(variation, index)
    expected = 0.0
    for i in range(6):
        for j in range(6):
            if i != j:
                a = torch.sigmoid(variation[i] @ variation[j])
                expected -= float(torch.log(a if index[i] == index[j] else 1 - a))
    assert float(loss) == pytest.approx(expected / 30, rel=1e-5)


SWITCHES = [
    {"formulation": "paper"},
    {"navigator": "orthonormal", "num_directions": 4},
    {"navigator": "curved"},
    {"variation": "concatenation"},
    {"objective": "classification"},
    {"objective": "classification", "variation": "concatenation"},
    {"objective": "infonce"},
    {"flipping": "none"},
    {"domination": "none"},
    {"flipping": "none", "domination": "none"},
    {"threshold": 0.7},
    {"num_positives": 2, "num_negatives": 9},
    {"encoder": "resnet50"},
    {"batching": "all_pairs"},
    {"batching": "all_pairs", "objective": "infonce"},
    {"batching": "all_pairs", "shared_bases": True},
    {"shift": "uniform"},
]


@pytest.mark.parametrize("switch", SWITCHES, ids=lambda s: "-".join(f"{k}={v}" for k, v in s.items()))
def test_every_ablation_of_the_tables_trains_both_parts(generator, tmp_path, switch):
    before = DisCo.of(**{**TINY, **switch, "steps": 1}).fit(
        generator, Run(tmp_path / "one", precision="float32", progress=False)
    )
    after = fit(generator, tmp_path / "more", **switch, learning_rate=1e-2)
    for name in ("encoder", "directions"):
        a, b = (getattr(x, name).state_dict() for x in (before, after))
        moved = [key for key in a if a[key].is_floating_point() and not torch.equal(a[key], b[key])]
        assert moved, f"{name} did not learn"
        assert all(torch.isfinite(b[key]).all() for key in b)


def test_a_fixed_encoder_stays_as_it_was(generator, tmp_path):
    torch.manual_seed(1)
    encoder = ConvEncoder((3, 16, 16), 5, 0.1)
    save_artefact(encoder, tmp_path / "encoder.safetensors")
    artefacts = fit(
        generator, tmp_path / "run", pretrained_encoder=str(tmp_path / "encoder.safetensors"), train_encoder=False
    )
    for mine, theirs in zip(encoder.parameters(), artefacts.encoder.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_fixed_directions_stay_as_they_were(generator, tmp_path):
    directions = GlobalDirections.random(4, 6, torch.Generator().manual_seed(2))
    save_artefact(directions, tmp_path / "directions.safetensors")
    settings = {"initial_directions": str(tmp_path / "directions.safetensors")}
    kept = fit(generator, tmp_path / "kept", **settings, train_directions=False)
    assert torch.equal(kept.directions.weight, directions.weight)
    assert not torch.equal(fit(generator, tmp_path / "moved", **settings).directions.weight, directions.weight)


def test_a_generators_own_directions_are_given_as_they_are_or_mixed_by_twos(tmp_path):
    scene = load_generator("analytic:sprite", {"size": 16})
    true = torch.nn.functional.normalize(scene.true_directions(), dim=1)[:3]
    fixed = {"num_directions": 3, "train_directions": False}
    kept = fit(scene, tmp_path / "own", initial_directions="own", **fixed).directions
    assert torch.allclose(kept.vectors(), true, atol=1e-6)
    assert kept.scale == pytest.approx(scene.latent_scale())
    mixed = fit(scene, tmp_path / "mixed", initial_directions="own_mixed", **fixed).directions.vectors()
    for i in range(3):
        half_way = true[i] + true[(i + 1) % 3]
        assert torch.allclose(mixed[i], half_way / half_way.norm(), atol=1e-6)
    with pytest.raises(ValueError, match="own holds 8 directions in 8 dimensions; expected 9 in 8"):
        fit(scene, tmp_path / "more", initial_directions="own", num_directions=9)


def test_directions_that_are_let_go_stay_until_then(tmp_path):
    scene = load_generator("analytic:sprite", {"size": 16})
    given = {"num_directions": 3, "initial_directions": "own_mixed", "steps": 4}
    held = fit(scene, tmp_path / "held", **given, thaw=1.0).directions.weight
    kept = fit(scene, tmp_path / "kept", **given, train_directions=False).directions.weight
    half = fit(scene, tmp_path / "half", **given, thaw=0.5).directions.weight
    free = fit(scene, tmp_path / "free", **given).directions.weight
    assert torch.equal(held, kept)
    assert not torch.equal(half, kept)
    assert (half - kept).norm() < (free - kept).norm(), "two of four steps"
    with pytest.raises(ValueError, match="thaw keeps initial directions for a while before they are trained; name"):
        DisCo.of(thaw=0.5)


def test_gradients_reach_directions_through_the_generator_only_from_the_edited_image(generator, tmp_path):
    before = {k: v.clone() for k, v in generator.state_dict().items()}
    fit(generator, tmp_path)
    assert all(torch.equal(before[k], v) for k, v in generator.state_dict().items())
    assert all(p.grad is None for p in generator.parameters())


def test_collapse_is_reported(generator, tmp_path):
    with pytest.warns(UserWarning, match="DisCo has collapsed: 100% of the negatives were flipped"):
        fit(generator, tmp_path, variation="concatenation", threshold=0.5)


def test_few_codes_in_use_are_reported():
    end = SimpleNamespace(last_line={"flipped": 0.1, "dimensions": 3.9})
    with pytest.warns(UserWarning, match=r"the variations of all directions use 3\.9 of 32 codes.*usage_weight=0\.3"):
        _warn_of_collapse(end, 32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _warn_of_collapse(SimpleNamespace(last_line={"flipped": 0.1, "dimensions": 5.5}), 32)


@pytest.fixture
def small_frame(monkeypatch):
    """A search of few latents, for what DisCo does with the frame."""
    small = functools.partial(Frame, num_latents=500, num_bases=16)
    monkeypatch.setattr(sys.modules[DisCo.__module__], "Frame", small)


FRAMED = {"batching": "all_pairs", "shared_bases": True, "initial_directions": "joint_diagonal", "code_dim": None}


@pytest.mark.usefixtures("small_frame")
def test_a_joint_frame_says_how_many_directions_and_codes_there_are(generator, tmp_path):
    run = fit(generator, tmp_path, **FRAMED, train_directions=False, pool=6)
    assert 2 <= run.directions.num_directions <= 4  # as many as latent dimensions, or fewer where two are a circle
    assert run.encoder.code_dim == run.directions.num_directions
    torch.testing.assert_close(run.directions.dual @ run.directions.axes.T, torch.eye(4), atol=1e-4, rtol=0)


def test_a_pool_is_refused_before_the_search_only_where_no_frame_would_fit(tmp_path):
    """Of 16 directions asked for a frame finds eight at most here, whose edits fit into two gigabytes."""
    scene, run = load_generator("analytic", {"size": 96}), Run(tmp_path, device="cpu", progress=False)
    DisCo.preset("framed").check_source(scene, run)
    with pytest.raises(ValueError, match="a pool of 60000 latents with 1 edits each takes"):
        DisCo.preset("framed", pool=60_000).check_source(scene, run)


@pytest.mark.usefixtures("small_frame")
def test_a_frame_may_move_and_its_coordinates_follow(generator, tmp_path):
    kept = fit(generator, tmp_path / "kept", **FRAMED, train_directions=False).directions
    moved = fit(generator, tmp_path / "moved", **FRAMED, learning_rate=1e-2).directions
    assert not torch.allclose(kept.axes, moved.axes)
    torch.testing.assert_close(moved.dual @ moved.axes.T, torch.eye(4), atol=1e-4, rtol=0)


def test_usage_entropy_spreads_the_codes():
    """Against the entropy written out; alone it makes all codes alike."""
    variation = torch.randn(9, 4, dtype=torch.double).requires_grad_()
    share = variation.square().sum(dim=0) / variation.square().sum()
    plain = -sum(float(s) * math.log(float(s)) for s in share)
    assert float(contrastive.usage_entropy(variation)) == pytest.approx(plain)
    optimizer = torch.optim.Adam([variation], 0.05)
    for _ in range(100):
        optimizer.zero_grad()
        (-contrastive.usage_entropy(variation)).backward()
        optimizer.step()
    assert float(contrastive.effective_dimensions(variation)) == pytest.approx(4.0, abs=0.01)


def test_the_usage_of_a_step_is_weighed_into_its_loss(generator, tmp_path):
    plain, weighed = (
        fit(generator, tmp_path / str(weight), steps=1, usage_weight=weight).log[0] for weight in (0.0, 2.0)
    )
    assert plain["loss"] - weighed["loss"] == pytest.approx(2 * math.log(plain["dimensions"]), rel=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"images_at_once": 2, "encoder": "resnet18"}, "this encoder normalises over its batch"),
        ({"pool": 5}, "a pool of edits needs fixed directions and shared_bases"),
        ({"navigator": "orthonormal"}, "6 orthonormal directions do not fit in 4 dimensions"),
        ({"navigator": "unti"}, "unknown navigator 'unti'; did you mean 'unit'"),
        ({"encoder": "resnet"}, "unknown encoder 'resnet'"),
        ({"formulation": "papers"}, "unknown formulation 'papers'; did you mean 'paper'"),
        ({"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        ({"num_negatives": -1}, "num_negatives must be a whole number"),
        ({"num_directions": 1}, "at least 2 directions"),
        ({"batching": "all_pairs", "samples_per_direction": 1}, "at least 2 samples_per_direction"),
        ({"batching": "all_pairs", "directions_per_step": 7}, "directions_per_step is 7, but there are only 6"),
        ({"shared_bases": True}, "shared_bases needs batching='all_pairs'"),
        ({"batching": "every"}, "unknown batching 'every'"),
        ({"objective": "logit"}, "unknown objective 'logit'; did you mean 'logits'"),
        ({"variation": "differences"}, "unknown variation 'differences'"),
        ({"flipping": "on"}, "unknown flipping 'on'"),
        ({"domination": "means"}, "unknown domination 'means'; did you mean 'mean'"),
        ({"shift": "gauss"}, "unknown shift 'gauss'"),
        ({"reduction": "max"}, "unknown reduction 'max'"),
        ({"max_shift": 0.1}, "min_shift <= max_shift"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"train_encoder": False}, "no pretrained_encoder to keep"),
        ({"pretrained_encoder": "nowhere.safetensors"}, r"nowhere\.safetensors does not exist"),
        ({"first_layer": 3}, "layers must be"),
    ],
)
def test_bad_settings(generator, tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        fit(generator, tmp_path, **settings)


def test_artefacts_that_do_not_fit_are_refused(generator, tmp_path):
    save_artefact(ConvEncoder((3, 32, 32), 5, 0.1), tmp_path / "encoder.safetensors")
    with pytest.raises(ValueError, match="the pretrained encoder takes images"):
        fit(generator, tmp_path / "a", pretrained_encoder=str(tmp_path / "encoder.safetensors"))
    save_artefact(GlobalDirections(9, 6), tmp_path / "directions.safetensors")
    with pytest.raises(ValueError, match="holds 6 directions in 9 dimensions"):
        fit(generator, tmp_path / "b", initial_directions=str(tmp_path / "directions.safetensors"))


def test_presets_are_valid_settings():
    for name in DisCo.presets:
        assert dataclasses.is_dataclass(DisCo.preset(name).resolved())
