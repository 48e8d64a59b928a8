"""Clusters of class codes on images the run has not seen, and image metrics with a classifier's features."""

import numpy as np
import pytest
import torch

from contrafact.core.method import load_run
from contrafact.data.load import load_dataset
from contrafact.evaluation import classes
from contrafact.evaluation.classes import ClassifierFeatures, class_factor, classifier_of, split_for_scoring
from contrafact.evaluation.run import default_metrics, evaluate_run
from contrafact.evaluation.sampling import dataset_of
from contrafact.evaluation.scores import read_scores
from contrafact.methods.cd_gan import CDGAN
from contrafact.methods.sup_con import SupCon
from contrafact.metrics.clustering import clustering
from contrafact.metrics.fid import fid
from tests.conftest import quiet
from tests.data.tiny_files import write_idx
from tests.methods.labelled import Stripes

TINY = CDGAN(
    width=0.1, steps=2, batch_size=6, encoder_batch=6, noise_dim=3, class_dim=4, anchors_per_class=2, average=0.5
)


@pytest.fixture
def stripes_run(tmp_path):
    with pytest.warns(UserWarning, match="mode collapse"):
        TINY.fit(Stripes(labels=12), quiet(tmp_path / "run"))
    return load_run(tmp_path / "run")


def test_class_datasets_are_clustered_by_default_on_the_class_codes_alone(stripes_run):
    source = Stripes()
    assert default_metrics(stripes_run, source) == ("clustering",)
    ((name, result),) = evaluate_run(stripes_run, source)
    assert name == "clustering"
    chosen = np.random.default_rng(0).permutation(240)
    codes = stripes_run.encoder(source.batch(chosen).clamp(0, 1))[:, :4].detach().numpy()
    assert result.scores() == clustering(codes, source.labels[chosen], seed=0).scores()
    assert set(result.scores()) == {"accuracy", "purity", "nmi", "ari"}
    (line,) = read_scores(stripes_run.folder)
    assert line["data"]["name"] == "stripes"


def test_runs_are_scored_on_test_images(tmp_path, monkeypatch):
    folder = tmp_path / "mnist"
    folder.mkdir()
    write_idx(folder, monkeypatch)
    source = load_dataset(folder)
    assert split_for_scoring("train") == "test"
    assert split_for_scoring("test") == "train"
    assert split_for_scoring(None) == "test"
    CDGAN(width=0.1, steps=2, batch_size=10, encoder_batch=10, noise_dim=3, class_dim=4).fit(
        source, quiet(tmp_path / "run")
    )
    run = load_run(tmp_path / "run")
    assert run.config["source"]["split"] == "train"
    assert dataset_of(run).split == "test"


def test_one_annotated_factor_of_a_grid_is_its_class(tmp_path):
    source = load_dataset("shapes3d", size=16, labels=40, factors=["shape"])
    SupCon(width=0.1, steps=2, class_dim=4, anchors_per_class=2).fit(source, quiet(tmp_path))
    run = load_run(tmp_path)
    assert class_factor(run, source) == "shape"
    ((name, result),) = evaluate_run(run, num_train=200)
    assert name == "clustering"
    assert result.num_train == 200
    assert len(result.per_factor) == 1
    several = load_dataset("shapes3d", size=16, labels=40)
    run.config["source"]["labels"] = several.few_labels.describe()
    assert class_factor(run, several) is None


def test_image_metrics_say_whose_features_they_used(stripes_run, tmp_path, monkeypatch):
    monkeypatch.setenv("CONTRAFACT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(classes, "CLASSIFIER_STEPS", 60)
    source = Stripes()
    found = dict(evaluate_run(stripes_run, source, ["fid", "inception_score"], num_train=100))
    assert found["fid"].protocol == "fid_stripes-classifier_real100_generated100"
    assert found["inception_score"].protocol == "inception_score_stripes-classifier_n100_splits10"
    assert 1 <= found["inception_score"].score <= 3
    classifier = classifier_of(source)  # kept in the cache: not trained again
    right = classifier(source.batch(np.arange(240)).clamp(0, 1)).argmax(dim=1).numpy() == source.labels
    assert right.mean() > 0.8
    extractor = ClassifierFeatures(classifier, "stripes")
    chosen = np.random.default_rng(0).choice(240, 100, replace=False)
    generator = stripes_run.generator
    with torch.no_grad():
        made = generator(generator.sample(100, torch.Generator().manual_seed(0))).clamp(0, 1)
        expected = fid(extractor(source.batch(chosen)).double(), extractor(made).double()).score
    assert found["fid"].score == pytest.approx(expected, rel=1e-3)


def test_image_metrics_need_labels_to_train_on(vae_folder):
    with pytest.raises(ValueError, match="shapes3d has no labels to train a feature extractor with; name one: --extr"):
        evaluate_run(vae_folder, metrics=["fid"])


def test_image_metrics_take_a_function_of_ones_own(stripes_run, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("def thirds(images):\n    return images.flatten(1)[:, ::3]\n")
    source, asked = Stripes(), f"{tmp_path}/mine.py:thirds"
    ((_, result),) = evaluate_run(stripes_run, source, ["fid"], num_train=100, extractor=asked)
    assert result.protocol == "fid_thirds_real100_generated100"
    chosen = np.random.default_rng(0).choice(240, 100, replace=False)
    generator = stripes_run.generator
    with torch.no_grad():
        made = generator(generator.sample(100, torch.Generator().manual_seed(0))).clamp(0, 1)
    expected = fid(source.batch(chosen), made, extractor=lambda images: images.flatten(1)[:, ::3]).score
    assert result.score == pytest.approx(expected, rel=1e-6)
    with pytest.raises(ValueError, match=r"inception_score needs class scores, and .*thirds gives features"):
        evaluate_run(stripes_run, source, ["inception_score"], extractor=asked)
    with pytest.raises(ValueError, match=r"extractor must be inception, dinov2:PATH or FILE.py:FUNCTION, got 'vgg'"):
        evaluate_run(stripes_run, source, ["kid"], extractor="vgg")
    with pytest.raises(ValueError, match=r"mine.py defines no 'halves'"):
        evaluate_run(stripes_run, source, ["kid"], extractor=f"{tmp_path}/mine.py:halves")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ValueError, match="Inception features need"):
        evaluate_run(stripes_run, source, ["kid"], extractor="inception")


def test_image_metrics_need_a_generator(tmp_path):
    source = Stripes(labels=12)
    SupCon(width=0.1, steps=1, class_dim=4, anchors_per_class=2).fit(source, quiet(tmp_path))
    with pytest.raises(ValueError, match="yields encoder, but no generator"):
        evaluate_run(load_run(tmp_path), source, ["kid"])
