import numpy as np
import pytest
import torch

from contrafact.core.dataset import ImageDataset
from contrafact.core.method import load_run
from contrafact.core.metric import MetricResult
from contrafact.data.load import load_dataset
from contrafact.evaluation import run as evaluate
from contrafact.evaluation.control import budget_of, fit_control, fit_regression
from contrafact.evaluation.regression import RegressionSettings
from contrafact.evaluation.run import REGRESSION, check_asked, default_metrics, evaluate_run
from contrafact.evaluation.sampling import dataset_of, encode, factors_of, sample_indices
from contrafact.evaluation.scores import read_scores
from contrafact.generators.analytic import Analytic
from contrafact.generators.biggan import BigGAN
from contrafact.methods.attribute_predictor import AttributePredictor
from contrafact.methods.random import Random
from contrafact.metrics import CATALOG, class_transfer, edit_effects, linear_separability, mds, rescoring
from contrafact.metrics.mig import mig
from contrafact.nn.attributes import FunctionPredictor
from tests.conftest import quiet

SMALL = {"num_train": 300, "num_test": 100}


class Pictures(ImageDataset):
    """Grey pictures whose brightness is their label."""

    name, image_shape, source = "pictures", (3, 16, 16), "made up"

    def __init__(self, labels=None):
        self._labels = labels

    def __len__(self):
        return 40

    def batch(self, indices):
        return torch.as_tensor(np.asarray(indices) % 4 / 4).float()[:, None, None, None].expand(-1, 3, 16, 16)

    @property
    def labels(self):
        return self._labels


def test_encoding_in_batches_is_encoding_at_once(vae_folder):
    encoder, dataset = load_run(vae_folder).encoder, load_dataset("shapes3d", size=16)
    indices = np.arange(0, 480_000, 40_001)
    with torch.no_grad():
        at_once = encoder(dataset.batch(indices)).numpy()
    np.testing.assert_allclose(encode(encoder, dataset, indices, batch=5), at_once, atol=1e-5)


def test_images_of_another_size_are_refused(vae_folder):
    with pytest.raises(ValueError, match=r"expects images of shape \(N, 3, 16, 16\), got .*32.*size="):
        encode(load_run(vae_folder).encoder, load_dataset("shapes3d", size=32), np.arange(3))


def test_samples_do_not_overlap_and_a_small_dataset_is_divided():
    train, test = sample_indices(load_dataset("shapes3d", size=16), 300, 100, seed=3)
    assert (len(train), len(test)) == (300, 100)
    assert len({*train, *test}) == 400
    train, test = sample_indices(Pictures(), 10_000, 5_000, seed=0)
    assert (len(train), len(test)) == (26, 14)
    assert {*train, *test} == set(range(40))


def test_the_score_is_the_metric_of_the_codes(vae_folder):
    run, dataset = load_run(vae_folder), load_dataset("shapes3d", size=16)
    ((name, result),) = evaluate_run(run, metrics=["MIG"], seed=5, **SMALL)
    train, _ = sample_indices(dataset, 300, 100, seed=5)
    assert name == "mig"
    assert result.score == pytest.approx(mig(encode(run.encoder, dataset, train), dataset.factors_of(train)).score)
    (line,) = [r for r in read_scores(vae_folder) if r["seed"] == 5]
    assert line["scores"] == {"score": result.score}
    assert line["data"] == {"name": "shapes3d", "source": "procedural stand-in", "image_shape": [3, 16, 16]}


def test_held_out_points_are_those_the_metric_was_not_fitted_on(disco_folder):
    ((_, result),) = evaluate_run(disco_folder, metrics=["dci"], **SMALL)
    assert (result.num_train, result.num_test) == (300, 100)


def test_labels_count_as_one_factor():
    labels = np.arange(40) % 4
    assert factors_of(Pictures(labels), np.array([5, 2])).tolist() == [[1], [2]]
    with pytest.raises(
        ValueError, match=r"pictures has neither factors nor labels.*choose another dataset with --data"
    ):
        factors_of(Pictures(), np.array([0]))


def test_a_generator_remembers_its_data_through_a_run_on_it(disco_folder):
    dataset = dataset_of(load_run(disco_folder))
    assert (dataset.name, dataset.image_shape) == ("shapes3d", (3, 16, 16))


def test_without_data_the_remedy_is_named(tmp_path):
    Random().fit(Analytic.tiny(), quiet(tmp_path / "r"))
    run = load_run(tmp_path / "r")
    with pytest.raises(ValueError, match="does not say what images it was trained on; name them with --data"):
        evaluate_run(run, metrics=["mig"])


def test_the_control_is_scored_beside_the_run(disco_folder):
    run = load_run(disco_folder)
    with pytest.raises(ValueError, match=r"has no control yet; make one with `contrafact evaluate .* --control`"):
        evaluate_run(run, who="control")
    control = fit_control(run, device="cpu")
    assert len(control.log) == 1
    assert control.log[-1]["step"] == 6
    again = fit_control(run, device="cpu")
    assert again.result == control.result
    for who in ("run", "control"):
        evaluate_run(run, metrics=["mig"], who=who, **SMALL)
    assert [line["of"] for line in read_scores(disco_folder)] == ["run", "control"]


def test_the_control_has_the_runs_budget(disco_folder):
    budget = budget_of(load_run(disco_folder))  # 3 directions of 2 samples, each a pair of images
    assert budget == RegressionSettings(steps=6, batch_size=12, width=0.1, slope=0.01)  # as released


def test_directions_alone_are_scored_through_a_regression_encoder(vae_folder, tmp_path):
    Random(num_directions=3).fit(load_run(vae_folder).generator, quiet(tmp_path / "r"))
    run = load_run(tmp_path / "r")
    assert default_metrics(run) == ()
    with pytest.raises(ValueError, match="yields directions, generator, but no encoder"):
        evaluate_run(run, metrics=["mig"])
    fit_regression(run, run.directions, REGRESSION, RegressionSettings(steps=3, batch_size=4, width=0.1), device="cpu")
    ((_, result),) = evaluate_run(run, metrics=["mig"], **SMALL)
    assert result.matrix.shape == (3, 6)


def test_true_directions_are_recovered_by_the_true_directions(tmp_path):
    generator = Analytic("sprite", size=16)
    learned = Random(num_directions=8, constraint="orthonormal").fit(generator, quiet(tmp_path / "r"))
    random = dict(evaluate_run(tmp_path / "r"))["recovery"]
    with torch.no_grad():
        learned.directions.weight.copy_(generator.true_directions())
    learned.artefacts().save(tmp_path / "r")
    ((name, result),) = evaluate_run(tmp_path / "r")
    assert name == "recovery"
    assert result.score == pytest.approx(1.0, abs=1e-3)
    assert random.score < 0.8
    assert read_scores(tmp_path / "r")[0]["data"] is None


def test_recovery_needs_a_generator_that_knows(disco_folder):
    with pytest.raises(ValueError, match="a generator whose true directions are known, such as analytic"):
        evaluate_run(disco_folder, metrics=["recovery"])


def test_interventional_metrics_hold_factors_fixed(vae_folder, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(evaluate, "CATALOG", Spy(seen))
    results = dict(evaluate_run(vae_folder, metrics=["beta_vae_score", "mig"], seed=8, **SMALL))
    assert list(results) == ["beta_vae_score", "mig"]
    ((codes, dataset, *numbers),) = seen
    assert dataset.name == "shapes3d"
    assert numbers == [8, 300, 50], "the seed; votes, no more than are asked for and no more than its own"
    indices = np.array([7, 99])
    np.testing.assert_allclose(codes.at(indices), encode(load_run(vae_folder).encoder, dataset, indices), atol=1e-5)


class Spy:
    """The metrics' catalogue, with a β-VAE score that only notes what it is given."""

    def __init__(self, seen):
        self.seen = seen

    def resolve(self, name):
        return CATALOG.resolve(name)

    def get(self, name):
        def score(codes, dataset, *, seed, num_train=10_000, num_test=50):
            self.seen.append((codes, dataset, seed, num_train, num_test))
            return MetricResult(score=0.5, protocol="spied", num_train=1)

        return score


def test_interventional_metrics_need_factors(vae_folder):
    with pytest.raises(ValueError, match="pictures has no factors to hold fixed, which beta_vae_score needs"):
        evaluate_run(vae_folder, Pictures(np.arange(40) % 4), ["beta_vae_score"])


def bright(images):
    return images.mean(dim=(2, 3))


bright.names = ("red", "green", "blue")


def test_a_predictor_sees_images_as_pictures_show_them(disco_folder, monkeypatch):
    """A generator does not clamp, and an edit may leave [0, 1] by more than a predictor takes."""
    run, seen = load_run(disco_folder), []
    kind, made = type(run.generator), type(run.generator).forward
    monkeypatch.setattr(kind, "forward", lambda self, latent: 5 * made(self, latent) - 2)

    def watching(images):
        seen.append([float(end) for end in images.aminmax()])
        return bright(images)

    assert run.generator(run.generator.sample(8, seed=0)).max() > 1.5
    evaluate_run(run, metrics=["rescoring"], predictor=FunctionPredictor(watching, "watching"))
    assert np.array(seen).min() >= 0
    assert np.array(seen).max() <= 1


def test_a_predictor_judges_what_directions_do(disco_folder):
    run = load_run(disco_folder)
    results = dict(evaluate_run(run, metrics=["rescoring,mds"], seed=4, predictor=FunctionPredictor(bright, "bright")))
    latents = run.generator.sample(500, torch.Generator().manual_seed(4))
    alone = rescoring(run.generator, run.directions, bright, latents=latents)
    np.testing.assert_allclose(results["rescoring"].matrix, alone.matrix, atol=1e-6)
    expected = {"score": alone.score, **dict(zip(bright.names, alone.per_factor.tolist(), strict=True))}
    assert results["rescoring"].scores() == pytest.approx(expected)
    labels = mds(run.generator, run.directions, lambda images: (bright(images) > 0.5).long(), seed=4)
    np.testing.assert_allclose(results["mds"].matrix, labels.matrix)
    assert results["mds"].attributes == bright.names
    lines = {line["metric"]: line for line in read_scores(disco_folder)}
    assert lines["mds"]["data"] == {"name": "as bright sees it", "source": "bright"}
    assert set(lines["mds"]["scores"]) == {"score", *bright.names}
    evaluate_run(run, metrics=["rescoring"], seed=4, predictor=FunctionPredictor(bright, "another"))
    assert [line["data"]["source"] for line in read_scores(disco_folder)] == ["bright", "bright", "another"]


def test_edits_start_from_as_many_latents_as_are_asked_for(disco_folder):
    judge = FunctionPredictor(bright, "bright")
    asked = {"metrics": ["rescoring,mds"], "seed": 4, "predictor": judge, "num_latents": 30}
    results = dict(evaluate_run(load_run(disco_folder), **asked))
    assert [result.num_train for result in results.values()] == [30, 30]
    with pytest.raises(ValueError, match="num_latents"):
        evaluate_run(load_run(disco_folder), **asked | {"num_latents": 0})


def test_a_predictor_judges_what_latents_tell(disco_folder):
    def left(images):  # brighter than the right
        return 0.5 + bright(images[..., :8]) - bright(images[..., 8:])

    run, judge = load_run(disco_folder), FunctionPredictor(left, "left")
    ((_, result),) = evaluate_run(run, metrics=["linear_separability"], num_train=80, seed=4, predictor=judge)
    alone = linear_separability(run.generator, left, num_latents=80, seed=4, attributes=judge.names)
    assert result.scores() == pytest.approx(alone.scores())
    assert set(result.scores()) == {"score", "z", "attribute 0", "attribute 1", "attribute 2"}


def test_an_extractor_compares_what_directions_do(disco_folder, tmp_path):
    run = load_run(disco_folder)
    with pytest.raises(ValueError, match=r"edit_effects needs an embedding .*: --extractor FILE.py:FUNCTION"):
        evaluate_run(run, metrics=["edit_effects"])
    with pytest.raises(ValueError, match=r"edit_effects needs an embedding .*: --extractor FILE.py:FUNCTION"):
        check_asked(run, ["edit_effects"])
    (tmp_path / "mine.py").write_text("def rows(images):\n    return images.mean(dim=3).flatten(1) + 1.0\n")
    asked = f"{tmp_path}/mine.py:rows"
    check_asked(run, ["edit_effects"], extractor=asked)
    ((_, result),) = evaluate_run(run, metrics=["edit_effects"], seed=4, extractor=asked)
    alone = edit_effects(run.generator, run.directions, lambda images: images.mean(dim=3).flatten(1) + 1.0, seed=4)
    np.testing.assert_allclose(result.identity, alone.identity)
    assert read_scores(disco_folder)[-1]["protocol"] == "edit_effects_rows_n200_magnitude3"


def test_a_control_is_judged_on_the_same_latents(disco_folder):
    run = load_run(disco_folder)
    fit_control(run, device="cpu")
    judge = FunctionPredictor(bright, "bright")
    ours, control = (
        evaluate_run(run, None, ["rescoring"], who=who, predictor=judge)[0][1] for who in ("run", "control")
    )
    np.testing.assert_allclose(ours.before, control.before)
    assert not np.allclose(ours.per_factor, control.per_factor)


def test_a_trained_predictor_is_named_by_its_run(vae_folder, disco_folder, tmp_path):
    method = AttributePredictor(width=0.1, steps=2, batch_size=4)
    method.fit(load_dataset("shapes3d", size=16), quiet(tmp_path / "predictor"))
    ((_, result),) = evaluate_run(disco_folder, metrics=["rescoring"], predictor=str(tmp_path / "predictor"))
    assert result.attributes == load_dataset("shapes3d", size=16).factor_names
    with pytest.raises(ValueError, match="yields encoder, generator, but no directions"):
        evaluate_run(vae_folder, metrics=["rescoring"], predictor=str(tmp_path / "predictor"))


@pytest.mark.parametrize("name", ["rescoring", "mds", "attribute_dependency", "linear_separability"])
def test_somebody_must_judge(disco_folder, name):
    with pytest.raises(ValueError, match=rf"{name} needs .*--data shapes3d --size 16 .*--predictor FILE.py:FUNCTION"):
        evaluate_run(disco_folder, metrics=[name])


@pytest.mark.parametrize("name", ["udr"])
def test_metrics_that_need_more_say_so(vae_folder, name):
    with pytest.raises(ValueError, match=rf"{name} needs more than a run and its data; call contrafact.metrics.{name}"):
        evaluate_run(vae_folder, metrics=[name])


def test_no_metric_and_an_unknown_metric(vae_folder, tmp_path):
    Random().fit(load_run(vae_folder).generator, quiet(tmp_path / "r"))
    with pytest.raises(ValueError, match=r"no metric applies to .*, which yields directions, generator; --control"):
        evaluate_run(tmp_path / "r")
    with pytest.raises(ValueError, match="unknown metric 'migg'; did you mean 'mig'"):
        evaluate_run(vae_folder, metrics=["migg"])


def test_directions_of_a_class_are_measured_in_the_others_and_need_a_class(tmp_path):
    generator = BigGAN.tiny()
    torch.nn.init.normal_(generator.embed.weight, std=2.0)
    generator.freeze().fix_label(1)
    run = Random(num_directions=3).fit(generator, quiet(tmp_path / "random"))
    ((name, result),) = evaluate_run(run, metrics=["class_transfer"])
    alone = class_transfer(generator, run.directions)
    assert name == "class_transfer"
    assert result.scores() == pytest.approx(alone.scores())
    assert result.classes == (0, 2, 3, 4)
    with pytest.raises(ValueError, match="class transfer needs a conditional generator"):
        evaluate_run(Random().fit(Analytic(), quiet(tmp_path / "free")), metrics=["class_transfer"])
