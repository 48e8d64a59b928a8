"""Methods on annotations of one's own: several factors, holes and numbers, and what they are scored on."""

import numpy as np
import pytest
import torch

from contrafact.cli import main
from contrafact.core.few_labels import choose_labels
from contrafact.core.memory import MemoryImages
from contrafact.core.run import LABELS
from contrafact.data.load import load_dataset
from contrafact.evaluation.labelled import LabelledImages, held_out, scored_part
from contrafact.evaluation.run import evaluate_run
from contrafact.losses.assignment import classification_loss
from contrafact.methods import CDGAN, VAE, ContraLORD, LabelsOnly, SemiSupervisedVAE, ZeroDIM
from contrafact.methods.semi_supervised_vae import supervised_loss
from contrafact.nn.factor_codes import embedded
from tests.conftest import quiet

TINY = {"width": 0.1, "steps": 1, "batch_size": 8}
TABLE = {
    "floor": ["red", "green", "blue"] * 10,
    "wall": [0, 1, -1] * 10,
    "tilt": np.linspace(-30, 30, 30).round(1),
}


@pytest.fixture(scope="module")
def pictures():
    return MemoryImages(torch.rand(36, 1, 16, 16, generator=torch.Generator().manual_seed(0)))


def some(columns):
    return {"index": np.arange(30), **columns}


@pytest.mark.parametrize(
    "method",
    [
        ZeroDIM.preset("quick", **TINY, amortization_steps=1, tuning_steps=1),
        SemiSupervisedVAE.preset("quick", **TINY),
        LabelsOnly(**TINY),
        ContraLORD.preset("quick", **TINY, encoder_steps=1, encoder_batch_size=8),
    ],
    ids=lambda method: method.name(),
)
def test_factors_of_ones_own_with_holes_and_numbers(method, pictures, tmp_path, capsys):
    run = method.fit(pictures, tmp_path, labels=some(TABLE))
    assert pictures.few_labels is None, "the images that were passed stay as they were"
    assert run.annotated_factors == ("floor", "wall", "tilt")
    assert torch.isfinite(run.encoder(pictures.batch([0, 1]))).all()
    part = scored_part(run, pictures)
    assert len(part) == 20
    assert part.factor_names == ("floor", "wall", "tilt")
    assert "scored on the 20 of 36 images of which floor, wall, tilt are known" in capsys.readouterr().err
    again = choose_labels(pictures, tmp_path / LABELS)
    assert again.describe()["fingerprint"] == run.config["source"]["labels"]["fingerprint"]


def test_a_method_of_classes_refuses_what_it_cannot_use_before_it_writes(pictures, tmp_path):
    gan = CDGAN.preset("quick", **TINY)
    with pytest.raises(ValueError, match=r"cd_gan learns values such as classes, and 'tilt' holds 30 different"):
        gan.fit(pictures, tmp_path / "run", labels=some(TABLE))
    with pytest.raises(ValueError, match="expected labels of one factor, got floor, wall; choose one"):
        gan.fit(pictures, tmp_path / "run", labels=some({"floor": TABLE["floor"], "wall": TABLE["wall"]}))
    with pytest.raises(ValueError, match="vae takes no labels; leave out labels="):
        VAE.preset("quick", **TINY).fit(pictures, tmp_path / "run", labels=some(TABLE))
    assert not (tmp_path / "run").exists()


def test_unknown_values_do_not_count_and_numbers_lie_between_two():
    logits = torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(0))
    log_p = logits.log_softmax(dim=2)
    values = torch.tensor([[0, 2], [-1, 1]])
    expected = -(log_p[0, 0, 0] + log_p[0, 1, 2] + log_p[1, 1, 1]) / 2
    torch.testing.assert_close(classification_loss(logits, values), expected)
    shares = torch.tensor([[0.25, 0.0], [0.0, 0.0]])
    expected = -(0.75 * log_p[0, 0, 0] + 0.25 * log_p[0, 0, 1] + log_p[0, 1, 2] + log_p[1, 1, 1]) / 2
    torch.testing.assert_close(classification_loss(logits, values, shares), expected)

    rows = torch.arange(6.0).reshape(2, 3, 1)
    between = embedded(rows, torch.tensor([[0, 2], [1, 1]]), torch.tensor([[0.5, 0.0], [1.0, 0.0]]))
    torch.testing.assert_close(between[..., 0], torch.tensor([[0.5, 5.0], [2.0, 4.0]]))


@pytest.mark.parametrize("supervision", ["cross_entropy", "squared"])
def test_a_number_is_regressed_and_a_hole_is_not(supervision):
    mean = torch.tensor([[0.3, -1.0], [0.7, 2.0]])
    places = torch.tensor([[2.5, 1.0], [0.0, -1.0]], dtype=torch.float64)
    told = [(0.3, 3.0 / 10), (-1.0, 1.5 / 2), (0.7, 0.5 / 10)]
    each = []
    for code, target in told:
        made = 1 / (1 + np.exp(-code))
        entropy = -target * np.log(made) - (1 - target) * np.log(1 - made)
        each.append((made - target) ** 2 if supervision == "squared" else entropy)
    assert float(supervised_loss(mean, places, (10, 2), supervision)) == pytest.approx(sum(each) / 2, rel=1e-5)


def test_scores_are_of_images_with_every_label(pictures):
    part = LabelledImages(pictures, choose_labels(pictures, some(TABLE)))
    assert part.factor_sizes == (2, 2, 5)  # blue is where the wall is unknown; 20 numbers in five bins of four
    assert np.bincount(part.factors_of(range(20))[:, 2]).tolist() == [4] * 5
    torch.testing.assert_close(part.batch([2]), pictures.batch([3]))
    one = LabelledImages(pictures, choose_labels(pictures, some({"floor": TABLE["floor"]})))
    assert one.class_names == ("blue", "green", "red")
    assert one.labels.tolist()[:3] == [2, 1, 0]
    few = choose_labels(pictures, {"index": range(8), "floor": TABLE["floor"][:8]})
    with pytest.raises(ValueError, match="labels: floor are all known of 8 images; at least 10 are needed to score"):
        LabelledImages(pictures, few)


def test_a_run_is_scored_on_labels_held_out(pictures, tmp_path, capsys):
    run = LabelsOnly(**TINY).fit(
        pictures, tmp_path / "run", labels={"index": range(20), "floor": TABLE["floor"][:20], "wall": [0, 1] * 10}
    )
    held = tmp_path / "held.csv"
    held.write_text("\n".join(["index,floor,wall", *(f"{i},{TABLE['floor'][i % 30]},{i % 2}" for i in range(16, 36))]))
    part = held_out(run, pictures, held)
    assert part.indices.tolist() == list(range(16, 36))
    assert "4 of the 20 images in" in capsys.readouterr().err
    ((_, scored),) = evaluate_run(run, part, metrics=["mig"], num_train=14, num_test=6)
    assert scored.num_train == 14
    others = MemoryImages(torch.rand(36, 1, 16, 16, generator=torch.Generator().manual_seed(1)))
    held_out(run, others, held)
    assert "learned from" not in capsys.readouterr().err, "other images are not those of the same numbers"
    with pytest.raises(ValueError, match=r"no file .*nowhere\.csv; labels are a table"):
        held_out(run, pictures, tmp_path / "nowhere.csv")


def test_evaluate_takes_a_table_of_labels(tmp_path, capsys):
    data = load_dataset("shapes3d", size=16, labels=60, factors=["shape"])
    LabelsOnly(**TINY).fit(data, quiet(tmp_path / "run"))
    held = tmp_path / "held.csv"
    rows = np.random.default_rng(0).choice(len(data), 40, replace=False)
    held.write_text("\n".join(["index,shape", *(f"{i},{data.factors_of([i])[0, 4]}" for i in rows)]))
    assert main(["evaluate", str(tmp_path / "run"), "--labels", str(held), "--metrics", "mig"]) == 0
    assert "(mig_n26_bins20" in capsys.readouterr().out
    assert main(["evaluate", "--codes", "a.csv", "--labels", str(held)]) == 2
    assert "--labels has no meaning for --codes" in capsys.readouterr().err
