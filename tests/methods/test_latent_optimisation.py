"""ZeroDIM, LORD and ContraLORD: what labels may do, what each stage may change, losses against loops."""

import dataclasses
import importlib
import json
import math

import numpy as np
import pytest
import torch

from contrafact.core.artefact import fingerprint
from contrafact.core.dataset import ImageDataset, check_indices
from contrafact.core.run import Run
from contrafact.data.load import load_dataset
from contrafact.losses.contrastive import unit
from contrafact.losses.reconstruction import image_distance
from contrafact.methods.contralord import ContraLORD
from contrafact.methods.labels_only import LabelsOnly
from contrafact.methods.lord import LORD
from contrafact.methods.overlord import OverLORD
from contrafact.methods.zerodim import ZeroDIM
from contrafact.nn.factor_codes import AssignedEncoder, SharedEncoder
from contrafact.training import latent_training
from contrafact.training.latent_training import FewLabelWeights, TrainingImages, assigned_codes, few_label_loss
from contrafact.training.momentum import FeatureQueue, momentum_copy
from contrafact.training.views import Views

pytestmark = pytest.mark.filterwarnings("ignore:.*have no label among")
BRIEF = {"num_images": 40, "batch_size": 8, "width": 0.1, "residual_dim": 3}
TINY = {
    "zerodim": ZeroDIM(**BRIEF, steps=6, amortization_steps=3, tuning_steps=3),
    "lord": LORD(**BRIEF, steps=6, encoder_steps=4, factor_dim=2),
    "overlord": OverLORD(
        **BRIEF, steps=6, encoder_steps=3, synthesis_steps=3, factor_dim=4, correlated_dim=2, decoder="conv"
    ),
    "contralord": ContraLORD(
        **BRIEF,
        steps=6,
        encoder_steps=4,
        encoder="conv",
        encoder_width=0.1,
        encoder_batch_size=6,
        queue_length=16,
        discriminative_dim=5,
        content_dim=4,
    ),
}


def run_in(folder, **given):
    return Run(folder, seed=3, device="cpu", precision="float32", progress=False, log_every=2, **given)


class Unlabelled(ImageDataset):
    """The images of another dataset, nothing known of them."""

    def __init__(self, dataset):
        self._inner = dataset
        self.name, self.image_shape, self.source = dataset.name, dataset.image_shape, dataset.source

    def __len__(self):
        return len(self._inner)

    def batch(self, indices):
        return self._inner.batch(check_indices(self, indices))


def shapes(labels=20):
    return load_dataset("shapes3d", size=16, labels=labels)


@pytest.mark.parametrize("name", TINY)
def test_only_the_few_labels_are_read(name, tmp_path, monkeypatch):
    """The grid's factors are poisoned once the few labels are chosen: nothing changes."""
    dataset = shapes()
    honest = TINY[name].fit(dataset, run_in(tmp_path / "honest"))

    def poison(self, indices):
        raise AssertionError("a method read factors that were not given to it")

    monkeypatch.setattr(type(dataset), "factors_of", poison)
    again = TINY[name].fit(dataset, run_in(tmp_path / "poisoned"))
    assert fingerprint(again.encoder) == fingerprint(honest.encoder)
    assert fingerprint(again.generator) == fingerprint(honest.generator)


def test_the_control_learns_from_the_annotated_images_alone(tmp_path):
    """Two datasets that agree on the annotated images only give the same classifiers."""
    dataset = shapes(40)
    honest = LabelsOnly(steps=8, width=0.25).fit(dataset, run_in(tmp_path / "a"))
    blanked = shapes(40)
    known = set(blanked.few_labels.indices.tolist())
    batch = blanked.batch

    def annotated_only(indices):
        assert set(np.asarray(indices).tolist()) <= known
        return batch(indices)

    blanked.batch = annotated_only
    assert fingerprint(LabelsOnly(steps=8, width=0.25).fit(blanked, run_in(tmp_path / "b")).encoder) == fingerprint(
        honest.encoder
    )
    longer = LabelsOnly(steps=150, width=0.5).fit(dataset, run_in(tmp_path / "c")).encoder
    with torch.no_grad():
        guess = longer.logits(dataset.batch(dataset.few_labels.indices)).argmax(dim=2).numpy()
    assert (guess == dataset.few_labels.values).mean() > 0.9
    with pytest.raises(ValueError, match="labels_only learns from annotated images alone and got none"):
        LabelsOnly().fit(load_dataset("shapes3d", size=16), run_in(tmp_path / "d"))


@pytest.mark.parametrize("name", TINY)
def test_other_labels_give_something_else(name, tmp_path):
    first = TINY[name].fit(shapes(), run_in(tmp_path / "a"))
    dataset = shapes()
    few = dataset.few_labels
    dataset.few_labels = dataclasses.replace(few, values=(few.values + 1) % np.asarray(few.sizes))
    other = TINY[name].fit(dataset, run_in(tmp_path / "b"))
    assert fingerprint(first.encoder) != fingerprint(other.encoder)


@pytest.mark.parametrize("name", TINY)
def test_images_without_any_annotation_are_enough(name, tmp_path):
    dataset = Unlabelled(load_dataset("shapes3d", size=16))
    learned = TINY[name].fit(dataset, run_in(tmp_path))
    images = dataset.batch(np.arange(3))
    latent = learned.encoder.latent(images)
    assert learned.generator(latent).shape == images.shape
    if name == "contralord":
        codes = learned.encoder(images)
        torch.testing.assert_close(codes, learned.encoder.trunk(images))
        for (first, last), part in zip([(0, 5), (5, 9)], learned.encoder.representations, strict=True):
            torch.testing.assert_close(learned.encoder.represent(codes, part), latent[:, first:last])
        with pytest.raises(ValueError, match="has no representation 'z'; it has discriminative, content"):
            learned.encoder.represent(codes, "z")
        assert learned.generator.parts == {"discriminative": (0, 5), "content": (5, 9), "residual": (9, 12)}


@pytest.mark.parametrize("name", TINY)
def test_a_residual_of_no_dimensions_is_allowed(name, tmp_path):
    learned = dataclasses.replace(TINY[name], residual_dim=0).fit(shapes(), run_in(tmp_path))
    images = shapes().batch([0, 1])
    assert learned.encoder.residual(images).shape == (2, 0)
    assert learned.generator.latent_dim == learned.encoder.code_dim


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("residual_dim", -1, "residual_dim must be a whole number of at least 0"),
        ("sigma", -1.0, "sigma must be at least 0, got -1.0"),
        ("batch_size", 0, "batch_size must be a whole number of at least 1, got 0"),
    ],
)
def test_settings_out_of_range_are_named(name, field, value, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY[name], **{field: value}).fit(shapes(), run_in(tmp_path))


def test_a_queue_shorter_than_the_batch_is_refused(tmp_path):
    with pytest.raises(ValueError, match="queue_length must be at least the batch"):
        dataclasses.replace(TINY["contralord"], queue_length=5).fit(shapes(), run_in(tmp_path))


def test_a_view_that_destroys_a_factor_is_warned_of(tmp_path):
    with pytest.warns(UserWarning, match="color views of shapes3d destroy a labelled factor: floor hue"):
        dataclasses.replace(TINY["contralord"], augmentations="color").fit(shapes(), run_in(tmp_path))


@pytest.mark.parametrize("name", TINY)
def test_a_resumed_run_ends_where_it_would_have(name, tmp_path, monkeypatch):
    whole = TINY[name].fit(shapes(), run_in(tmp_path / "whole"))
    batch = TrainingImages.batch
    calls = []

    def stop(self, places, run):
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return batch(self, places, run)

    monkeypatch.setattr(TrainingImages, "batch", stop)
    with pytest.raises(KeyboardInterrupt):
        TINY[name].fit(shapes(), run_in(tmp_path / "cut", save_every=0))
    monkeypatch.setattr(TrainingImages, "batch", batch)
    resumed = TINY[name].fit(shapes(), run_in(tmp_path / "cut", save_every=0, resume=True))
    assert fingerprint(resumed.encoder) == fingerprint(whole.encoder)
    assert fingerprint(resumed.generator) == fingerprint(whole.generator)


@pytest.mark.parametrize("name", TINY)
def test_large_tables_lie_in_a_file_that_nobody_has_to_remove(name, tmp_path, monkeypatch):
    expected = TINY[name].fit(shapes(), run_in(tmp_path / "memory"))
    monkeypatch.setattr(latent_training, "LARGE", 0)
    files = []
    table = latent_training.LatentTable

    def noting(*given, file=None):
        files.append(file)
        return table(*given, file=file)

    monkeypatch.setattr(latent_training, "LatentTable", noting)
    found = TINY[name].fit(shapes(), run_in(tmp_path / "file"))
    assert fingerprint(found.encoder) == fingerprint(expected.encoder)
    assert files == [tmp_path / "file" / "latents-0"]
    assert not files[0].exists()


@pytest.mark.parametrize("name", list(TINY))
def test_runs_of_older_versions_go_on_with_the_kernels_they_had(name, tmp_path):
    told = {"late_kernel": 4} if hasattr(TINY[name], "late_kernel") else {}
    method = dataclasses.replace(TINY[name], **told)
    method.fit(shapes(), run_in(tmp_path))
    config = json.loads((tmp_path / "config.json").read_text())
    for later in ("late_kernel", "vgg_weights"):
        config["hyperparameters"].pop(later, None)
    (tmp_path / "config.json").write_text(json.dumps(config))
    method.fit(shapes(), run_in(tmp_path, resume=True))
    if told:
        with pytest.raises(ValueError, match="late_kernel"):
            dataclasses.replace(method, late_kernel=2).fit(shapes(), run_in(tmp_path, resume=True))


@pytest.mark.parametrize("name", ["zerodim", "contralord"])
def test_the_first_stage_is_weighed_as_asked(name, tmp_path, monkeypatch):
    module, seen = importlib.import_module(f"contrafact.methods.{name}"), []
    original = module.few_label_loss

    def listening(*arguments):
        seen.extend(one for one in arguments if isinstance(one, FewLabelWeights))
        return original(*arguments)

    monkeypatch.setattr(module, "few_label_loss", listening)
    asked = {"supervised_weight": 3.0, "classification_weight": 0.02, "entropy_after": 0.5}
    dataclasses.replace(TINY[name], **asked).fit(shapes(), run_in(tmp_path))
    assert [one.entropy for one in seen] == [0.0] * 3 + [1e-3] * 3
    assert {(one.supervised, one.classification) for one in seen} == {(3.0, 0.02)}


@pytest.mark.parametrize("name", ["zerodim", "contralord"])
def test_spaced_values_start_in_order_and_learn_slowly(name, tmp_path, monkeypatch):
    module, seen = importlib.import_module(f"contrafact.methods.{name}"), []
    original = module.few_label_loss

    def listening(encoder, *arguments):
        seen.append(encoder.embeddings.detach().clone())
        return original(encoder, *arguments)

    monkeypatch.setattr(module, "few_label_loss", listening)
    moved = {}
    for codes in ("spaced", "learned"):
        dataclasses.replace(TINY[name], value_codes=codes, latent_rate=0.01).fit(shapes(), run_in(tmp_path / codes))
        if codes == "spaced":
            torch.testing.assert_close(seen[0], torch.linspace(-2, 2, 10)[None, :, None].expand(3, 10, 1))
        else:
            assert seen[0].abs().max() < 0.1
        moved[codes] = (seen[-1] - seen[0]).abs().max().item()
        seen.clear()
    assert 0.01 < moved["learned"] < 0.06
    assert 0 < moved["spaced"] < moved["learned"] / 50


def test_stage_two_leaves_the_generator_untouched(tmp_path):
    short = TINY["contralord"].fit(shapes(), run_in(tmp_path / "short"))
    longer = dataclasses.replace(TINY["contralord"], encoder_steps=9).fit(shapes(), run_in(tmp_path / "long"))
    for name, weight in short.generator.state_dict().items():
        if name != "quantiles":  # the prior is fitted to the encoder's codes
            torch.testing.assert_close(longer.generator.state_dict()[name], weight, rtol=0, atol=0)
    assert fingerprint(short.encoder) != fingerprint(longer.encoder)


def test_algorithm_1_to_the_letter_leaves_the_generator_as_it_was_drawn(tmp_path):
    method = dataclasses.replace(TINY["contralord"], update_generator=False)
    one = method.fit(shapes(), run_in(tmp_path / "one"))
    other = dataclasses.replace(method, steps=9).fit(shapes(), run_in(tmp_path / "other"))
    torch.testing.assert_close(one.generator.stem[0].weight, other.generator.stem[0].weight, rtol=0, atol=0)


def test_keys_have_batch_statistics_of_their_own(tmp_path):
    """With batch normalisation, one group of keys and several give other contrasts; without it the same."""
    found = {}
    for kind in ("resnet18", "conv"):
        for groups in (1, 2):
            torch.manual_seed(0)
            method = dataclasses.replace(TINY["contralord"], key_groups=groups)
            encoder = SharedEncoder((3, 16, 16), ["a", "b"], 1, 3, encoder=kind, width=0.1)
            slow = momentum_copy(encoder)
            decode = torch.nn.Sequential(torch.nn.Linear(5, 3 * 16 * 16), torch.nn.Unflatten(1, (3, 16, 16)))
            queues = [FeatureQueue(7, dims, torch.Generator().manual_seed(dims)) for dims in (2, 3)]
            pictures, rngs = torch.rand(6, 3, 16, 16), [torch.Generator().manual_seed(i) for i in (1, 2)]
            run = run_in(tmp_path / f"{kind}{groups}")
            keys = method.encoder_loss(
                encoder, slow, decode, queues, pictures, torch.zeros(6, 5), Views(("light",)), *rngs, run
            )[2]
            found[kind, groups] = keys[1]
    assert (found["resnet18", 1] - found["resnet18", 2]).abs().max() > 1e-3
    torch.testing.assert_close(found["conv", 1], found["conv", 2], atol=1e-5, rtol=1e-4)


def test_the_few_label_loss_is_the_sum_over_images(tmp_path):
    torch.manual_seed(0)
    dataset, run = shapes(12), run_in(tmp_path)
    images = TrainingImages(dataset, dataset.few_labels, 30, run)
    encoder = AssignedEncoder(dataset.image_shape, images.labels.names, images.labels.sizes, 1, 0, 0.1)
    generator = torch.nn.Sequential(
        torch.nn.Linear(5, 3 * 16 * 16), torch.nn.Sigmoid(), torch.nn.Unflatten(1, (3, 16, 16))
    )
    places, annotated = np.array([15, 3, 20]), np.array([0, 4])
    residual = torch.randn(5, 2)
    weights = FewLabelWeights(torch.nn.functional.mse_loss, 0.5, 0.01, 0.3, 0.2, 7.0)
    loss, _ = few_label_loss(
        encoder, generator, images, places, annotated, residual, torch.Generator().manual_seed(1), weights, run
    )
    noise = torch.randn(5, 2, generator=torch.Generator().manual_seed(1))
    terms = {"plain": [], "entropy": [], "decay": [], "annotated": [], "decay annotated": [], "error": []}
    for row, place in enumerate([*places, *annotated]):
        picture = dataset.batch(images.indices[[place]])
        p = encoder.logits(picture)[0].softmax(dim=1)
        if place < 12:
            values = dataset.factors_of(images.indices[[place]])[0, :3]
            codes = torch.stack([encoder.embeddings[f, v, 0] for f, v in enumerate(values)])
        else:
            codes = (p * encoder.embeddings[..., 0]).sum(dim=1)
        made = generator(torch.cat([codes, residual[row] + 0.5 * noise[row]])[None])
        distance = (made - picture).square().mean()
        decay = residual[row].square().mean()
        if row < 3:
            terms["plain"].append(distance)
            terms["decay"].append(decay)
            terms["entropy"].append(sum(-float(q) * math.log(float(q)) for f in p for q in f.detach() if q > 0) / 3)
        else:
            terms["annotated"].append(distance)
            terms["decay annotated"].append(decay)
            terms["error"].append(-sum(p[f, v].log() for f, v in enumerate(values)))
    mean = {name: float(sum(found) / len(found)) for name, found in terms.items()}
    expected = mean["plain"] + 0.01 * mean["decay"] + 0.3 * mean["entropy"]
    expected += 7.0 * (mean["annotated"] + 0.01 * mean["decay annotated"] + 0.2 * mean["error"])
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_stage_two_regresses_annotations_where_there_are_any_and_assignments_elsewhere(tmp_path):
    torch.manual_seed(0)
    dataset, run = shapes(12), run_in(tmp_path)
    images = TrainingImages(dataset, dataset.few_labels, 30, run)
    encoder = AssignedEncoder(dataset.image_shape, images.labels.names, images.labels.sizes, 2, 0, 0.1)
    found = assigned_codes(encoder, images, run)
    assert found.shape == (30, 6)
    for place in range(30):
        if place < 12:
            values = dataset.factors_of(images.indices[[place]])[0, :3]
            expected = torch.cat([encoder.embeddings[f, v] for f, v in enumerate(values)])
        else:
            expected = encoder(dataset.batch(images.indices[[place]]))[0]
        torch.testing.assert_close(found[place], expected)


@pytest.mark.parametrize("anchor", ["online", "latent"])
def test_contralords_objective_is_equation_6(anchor, tmp_path):
    torch.manual_seed(0)
    method = dataclasses.replace(
        TINY["contralord"], anchor=anchor, content_weight=0.7, residual_weight=1.3, latent_weight=3.0, temperature=0.2
    )
    encoder = SharedEncoder((3, 16, 16), ["a", "b"], 1, 3, encoder="conv", width=0.1)
    slow = momentum_copy(SharedEncoder((3, 16, 16), ["a", "b"], 1, 3, encoder="conv", width=0.1))
    generator = torch.nn.Sequential(
        torch.nn.Linear(5, 3 * 16 * 16), torch.nn.Sigmoid(), torch.nn.Unflatten(1, (3, 16, 16))
    )
    queues = [FeatureQueue(7, dims, torch.Generator().manual_seed(dims)) for dims in (2, 3)]
    pictures, target = torch.rand(4, 3, 16, 16), torch.randn(4, 5)
    views = Views(("light",))
    run = run_in(tmp_path)
    loss, _, keys = method.encoder_loss(
        encoder,
        slow,
        generator,
        queues,
        pictures,
        target,
        views,
        torch.Generator().manual_seed(9),
        torch.Generator().manual_seed(8),
        run,
    )
    rng = torch.Generator().manual_seed(9)
    first, second = views(pictures, rng), views(pictures, rng)
    codes = torch.cat(encoder.split(pictures), dim=1)
    expected = image_distance(generator(codes), pictures, "squared").item()
    expected += 3.0 * float((codes - target).square().mean().detach())
    for part, weight, columns in ((1, 0.7, slice(0, 2)), (2, 1.3, slice(2, 5))):
        total = 0.0
        for n in range(4):
            online = unit(encoder.split(first)[part][n]).detach()
            key = unit(slow.split(second)[part][n])
            anchored, positive = (online, key) if anchor == "online" else (unit(target[n, columns]), online)
            near = math.exp(float(anchored @ positive) / 0.2)
            far = sum(math.exp(float(anchored @ negative) / 0.2) for negative in queues[part - 1].features)
            total -= math.log(near / (near + far)) / 4
        expected += weight * total
        torch.testing.assert_close(keys[part - 1], unit(slow.split(second)[part]))
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    loss.backward()
    assert all(p.grad is None for p in slow.parameters())
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in encoder.parameters())
