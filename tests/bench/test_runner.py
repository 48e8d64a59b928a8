import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from contrafact.bench import cells as bench_cells
from contrafact.bench.plan import Bench
from contrafact.bench.recipe import Column, Recipe, Row
from contrafact.bench.runner import run_bench
from contrafact.bench.table import Scores, results_grid
from contrafact.core.method import load_run
from contrafact.evaluation.regression import RegressionSettings
from contrafact.generators.checkpoints import load_generator
from contrafact.methods.attribute_predictor import AttributePredictor
from contrafact.methods.disco import DisCo
from contrafact.metrics import matched_rescoring, mds, recovery
from contrafact.nn.attributes import load_predictor
from tests.conftest import TINY_DISCO

COLUMNS = {"MIG": ("mig", "score"), "loss": ("log", "loss")}


def folder_of(out, method, seed, row=None, source=None):
    """The run folder of the one training that is so."""
    found = []
    for path in (out / "cells").glob(f"{method.replace('_', '-')}-seed{seed}-*/cell.json"):
        record = json.loads(path.read_text())
        if row in (None, record["row"]) and source in (None, record["config"]["source"]["name"]):
            found.append(path.parent / "run")
    assert len(found) == 1
    return found[0]


@pytest.fixture
def recipe(vae_folder):
    return Recipe(
        title="A tiny table",
        table="none",
        rows=(
            Row("DisCo", "disco", {"MIG": (0.5, 0.1)}, {**TINY_DISCO, "steps": 4}),
            Row("control", "control"),
            Row("directions only", "random", regression=RegressionSettings(steps=3, batch_size=4, width=0.1)),
            Row("not here", "no_such_method", {"MIG": (0.3, None)}),
            Row("another scale", "disco", scales=("paper",)),
        ),
        columns={"MIG": ("mig", "score")},
        sources={"small": str(vae_folder)},
        num_train=200,
        num_test=50,
    )


def test_a_recipe_runs_and_a_second_time_costs_nothing(recipe, tmp_path, monkeypatch):
    bench = Bench("tiny", recipe, tmp_path / "out", seeds=(0, 1), device="cpu")
    table = run_bench(bench)
    lines = table.splitlines()
    assert lines[0] == "|  | MIG, ours | MIG, published | seeds | training |"
    assert lines[2].startswith("| DisCo | 0.")
    assert "0.500 ± 0.100" in lines[2]
    assert lines[4].startswith("| DisCo − control | ")
    assert lines[6] == "| not here | – | 0.300 | 0 | – |"
    assert lines[7] == "", "a row of another scale is not printed"
    assert "another scale" not in table
    assert lines[8].startswith("| column | best (mean rank) | next |")
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [cell["seed"] for cell in results["rows"]["DisCo"]["cells"]] == [0, 1]
    assert results["environment"]["device"].startswith("cpu")
    assert table in (tmp_path / "out" / "results.md").read_text()

    def train(*_):
        raise AssertionError("a finished cell was trained again")

    monkeypatch.setattr(DisCo, "train", train)
    monkeypatch.setattr(bench_cells, "evaluate_run", train)
    assert run_bench(bench) == table


def test_chosen_rows_run_and_finished_ones_stay_in_the_table(recipe, tmp_path):
    def counts(seeds, *rows):
        run_bench(Bench("tiny", recipe, tmp_path, seeds=tuple(range(seeds)), device="cpu", rows=rows))
        rows = json.loads((tmp_path / "results.json").read_text())["rows"]
        return [len(rows[name]["cells"]) for name in ("DisCo", "control", "directions only")]

    assert counts(1, "directions") == [0, 0, 1]
    assert counts(1, "disco", "CONTROL") == [1, 1, 1]
    assert counts(2, "DisCo") == [2, 1, 1]
    with pytest.raises(ValueError, match="no row of tiny has 'sefa' in its name; its rows are: DisCo; control; dir"):
        counts(1, "sefa")


def test_a_scale_that_nothing_runs_at_says_what_is_missing(recipe, tmp_path):
    recipe = Recipe("t", "t", (Row("DisCo", "disco", settings=TINY_DISCO),), COLUMNS)
    with pytest.raises(ValueError, match="needs a generator of your own, name it with --source"):
        run_bench(Bench("tiny", recipe, tmp_path))


@pytest.mark.filterwarnings("ignore:.* have no label among the 10")
def test_rows_on_images_choose_size_and_labels(tmp_path):
    settings = {"latent_dim": 3, "width": 0.1, "steps": 2, "batch_size": 4}
    rows = (
        Row("plain", "beta_vae", settings=settings, source="shapes3d"),
        Row("labelled", "beta_vae", settings=settings, source="shapes3d", data={"labels": 10}),
    )
    recipe = Recipe("t", "t", rows, {"loss": ("log", "loss")}, data={"small": {"size": 16}, "paper": {"size": 64}})
    run_bench(Bench("tiny", recipe, tmp_path, seeds=(0, 1), device="cpu"))
    sources = {
        (row, seed): json.loads((folder_of(tmp_path, "beta_vae", seed, row) / "config.json").read_text())["source"]
        for row in ("plain", "labelled")
        for seed in (0, 1)
    }
    assert all(source["image_shape"] == [3, 16, 16] for source in sources.values())
    assert "labels" not in sources["plain", 1]
    for seed in (0, 1):
        assert (sources["labelled", seed]["labels"]["number"], sources["labelled", seed]["labels"]["chosen"]) == (
            10,
            f"seed {seed}",
        )


def test_entries_of_an_array_are_columns_even_where_their_mean_has_its_name(tmp_path):
    # The table of sub-embeddings reports an array "whole", a task each, and its mean as a score of the same name.
    row = Row(
        "none", "sub_infomax", settings={"steps": 2, "batch_size": 4, "encoder": "conv"}, source="mnist-stl:dc-bc"
    )
    gaps = "sub_embedding_gaps:z"
    columns = {"DC": (gaps, "whole.0"), "BC": (gaps, "whole.1"), "mean": (gaps, "whole"), "DC, 0": (gaps, "matrix.0.0")}
    recipe = Recipe("pairs", "none", (row,), columns, data={"small": {"size": 32}}, num_train=60, num_test=40)
    run_bench(Bench("pairs", recipe, tmp_path / "out", seeds=(0,), device="cpu"))
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    values = results["rows"]["none"]["cells"][0]["scores"]
    assert values["mean"] == pytest.approx((values["DC"] + values["BC"]) / 2)
    assert 0 < values["DC, 0"] <= 1


def test_controls_follow_rows_of_every_kind(tmp_path, vae_folder):
    light = RegressionSettings(steps=2, batch_size=4, width=0.1)
    settings = {"latent_dim": 3, "width": 0.1, "steps": 2, "batch_size": 4}
    rows = (
        Row("VAE", "beta_vae", settings=settings, source="shapes3d"),
        Row("untrained", "control"),
        Row("SeFa", "sefa", settings={"num_directions": 3}, regression=light),
        Row("random", "control"),
    )
    sources, data = {"small": str(vae_folder)}, {"small": {"size": 16}}
    recipe = Recipe("t", "t", rows, COLUMNS, sources=sources, data=data, num_train=60, num_test=20)
    run_bench(Bench("tiny", recipe, tmp_path, seeds=(0,), device="cpu"))
    cells = {
        name: row["cells"][0]["scores"]
        for name, row in json.loads((tmp_path / "results.json").read_text())["rows"].items()
    }
    assert all(0 <= cell["MIG"] <= 1 for cell in cells.values())
    assert len({cell["MIG"] for cell in cells.values()}) == 4
    assert "loss" in cells["VAE"]
    assert "loss" not in cells["untrained"]
    regressions = [folder_of(tmp_path, "sefa", 0) / place for place in ("regression", "control/regression")]
    ours, its = (load_run(folder).config["hyperparameters"] for folder in regressions)
    assert ours == its


def test_a_row_without_a_control_is_refused_before_it_is_trained(tmp_path):
    rows = (Row("GAN", "wgan_gp", source="shapes3d"), Row("nothing", "control"))
    recipe = Recipe("t", "t", rows, COLUMNS, data={"small": {"size": 16}})
    with pytest.raises(ValueError, match="t, row 'nothing': wgan_gp yields neither directions nor an enc"):
        run_bench(Bench("t", recipe, tmp_path, seeds=(0,), device="cpu"))
    assert not list(tmp_path.iterdir())


def test_the_training_log_can_be_a_column(recipe, tmp_path, vae_folder):
    recipe = Recipe("t", "t", (Row("DisCo", "disco", settings=TINY_DISCO),), COLUMNS, num_train=100, num_test=30)
    table = run_bench(Bench("tiny", recipe, tmp_path, seeds=(0,), source=str(vae_folder), device="cpu"))
    last = json.loads((folder_of(tmp_path, "disco", 0) / "log.jsonl").read_text().splitlines()[-1])
    assert f"{last['loss']:.3f}" in table


def test_a_column_can_be_of_another_generator(tmp_path, vae_folder):
    rows = (
        Row("random", "random", settings={"num_directions": 4}, elsewhere={"num_directions": 8}),
        Row("VAE", "vae", settings={"latent_dim": 2, "width": 0.1, "steps": 2, "batch_size": 4}, source="shapes3d"),
    )
    recipe = Recipe(
        title="t",
        table="t",
        rows=rows,
        columns={"recovery": Column("recovery", "score", "analytic:sprite", {"size": 16})},
        sources={"small": str(vae_folder)},
        data={"small": {"size": 16}},
        regression={"small": RegressionSettings(steps=2, batch_size=4, width=0.1)},
    )
    table = run_bench(Bench("tiny", recipe, tmp_path, seeds=(0, 1), device="cpu"))
    generator = load_generator("analytic:sprite")
    scores = []
    for seed in (0, 1):
        run = load_run(folder_of(tmp_path, "random", seed, source="analytic:sprite"))
        assert run.directions.num_directions == 8
        scores.append(recovery(run.directions.vectors(), generator.true_directions()).score)
    mean, spread = np.mean(scores), np.std(scores, ddof=1)
    assert table.splitlines()[2].startswith(f"| random | {mean:.3f} ± {spread:.3f} | 2 |")
    assert table.splitlines()[3].startswith("| VAE | – | 2 |")  # it learns from images: no directions to recover
    assert load_run(folder_of(tmp_path, "random", 1, source=str(vae_folder))).directions.num_directions == 4


def test_edits_are_judged_by_a_predictor_trained_once(tmp_path, vae_folder, monkeypatch):
    rows = tuple(Row(name, "random", settings={"num_directions": 1}) for name in ("first", "second"))
    recipe = Recipe(
        title="t",
        table="t",
        rows=rows,
        columns={"MDS": ("mds", "score")},
        presets={"small": "quick"},
        sources={"small": str(vae_folder)},
        regression={"small": RegressionSettings(steps=2, batch_size=4, width=0.1)},
    )
    monkeypatch.setattr(AttributePredictor, "presets", {"quick": {"steps": 3, "width": 0.1, "batch_size": 8}})
    bench = Bench("tiny", recipe, tmp_path, seeds=(0,), device="cpu")
    table = run_bench(bench)
    (judged,) = (tmp_path / "cells").glob("judge-*")
    run, judge = load_run(folder_of(tmp_path, "random", 0)), load_predictor(judged / "run")
    score = mds(run.generator, run.directions, judge.labels).score
    assert table.splitlines()[2].startswith(f"| first | {score:.3f} | 1 |")
    assert table.splitlines()[3].startswith(f"| second | {score:.3f} | 1 |")

    own = tmp_path / "judge.py"
    own.write_text(
        "import torch\n\n\ndef dark(x):\n    return torch.stack([x.mean((1, 2, 3)), x[:, 0, 0, 0]], 1) < 0.5\n"
    )
    bench = replace(bench, recipe=replace(recipe, rows=rows[:1]), out=tmp_path / "own", predictor=f"{own}:dark")
    assert "| first | 0." in run_bench(bench)
    assert not list((tmp_path / "own" / "cells").glob("judge-*"))


def test_a_generator_of_unknown_images_needs_a_judge(tmp_path):
    row = Row("random", "random", settings={"num_directions": 2}, regression=RegressionSettings(2, 4, width=0.1))
    recipe = Recipe("t", "t", (row,), {"MDS": ("mds", "score")})
    with pytest.raises(ValueError, match="does not say what images it was trained on; name them with --data, or a pre"):
        run_bench(Bench("tiny", recipe, tmp_path, seeds=(0,), source="analytic", device="cpu"))


def test_means_spreads_and_the_margin_over_the_control():
    recipe = Recipe("t", "t", (Row("A", "disco"), Row("control", "control")), {"MIG": ("mig", "score")})
    cells = {
        "A": [Scores("A", seed, {"MIG": value}, 2.0) for seed, value in enumerate([0.4, 0.5, 0.6])],
        "control": [Scores("control", seed, {"MIG": value}, 4.0) for seed, value in enumerate([0.1, 0.1, 0.1])],
    }
    assert results_grid(recipe, cells).to_markdown().splitlines()[2:] == [
        "| A | 0.500 ± 0.100 | 3 | 2 s |",
        "| control | 0.100 ± 0.000 | 3 | 4 s |",
        "| A − control | +0.400 (+4.0 std) |  |  |",
    ]


def test_the_best_seed_stands_beside_the_mean_where_the_paper_gives_nothing_else():
    columns = {"ACC": ("clustering", "accuracy"), "FID": ("fid", "score")}
    recipe = Recipe("t", "t", (Row("a", "cd_gan"), Row("b", "sup_con")), columns, best=True)
    cells = {
        "a": [Scores("a", 0, {"ACC": 0.7, "FID": 30.0}, 1.0), Scores("a", 1, {"ACC": 0.8, "FID": 20.0}, 1.0)],
        "b": [Scores("b", 0, {"ACC": 0.6}, 1.0)],
    }
    lines = results_grid(recipe, cells).to_markdown().splitlines()
    assert "| 0.750 ± 0.071 (0.800) |" in lines[2]
    assert "| 25.000 ± 7.071 (20.000) |" in lines[2]
    assert lines[3].startswith("| b | 0.600 | – | 1 |")


TINY_BETA = {"latent_dim": 3, "width": 0.1, "steps": 2, "batch_size": 4}
MIXED = Recipe(
    "t",
    "t",
    (
        Row("on images", "beta_vae", settings=TINY_BETA, source="mnist"),
        Row("random directions", "random", settings={"num_directions": 2}, source="cars3d"),
    ),
    {"loss": ("log", "loss")},
    data={"small": {"size": 16}},
)


def never(*_):
    raise AssertionError("something was trained")


def test_a_source_that_is_asked_for_is_used_by_rows_on_images_and_recorded(tmp_path):
    recipe = replace(MIXED, rows=MIXED.rows[:1])
    run_bench(Bench("tiny", recipe, tmp_path, seeds=(0,), source="shapes3d", device="cpu"))
    source = json.loads((folder_of(tmp_path, "beta_vae", 0) / "config.json").read_text())["source"]
    results = json.loads((tmp_path / "results.json").read_text())
    assert source["name"] == results["source"] == results["rows"]["on images"]["cells"][0]["source"] == "shapes3d"


def test_a_source_that_some_rows_cannot_use_is_refused_and_those_that_can_are_named(vae_folder, tmp_path, monkeypatch):
    monkeypatch.setitem(bench_cells._COMPUTE, "train", never)
    message = (
        "tiny: 1 of 2 rows cannot use --source .*; name those that can with --rows: random directions. "
        "Row 'on images' learns from images: "
    )
    with pytest.raises(ValueError, match=message):
        run_bench(Bench("tiny", MIXED, tmp_path / "out", seeds=(0,), source=str(vae_folder), device="cpu"))
    with pytest.raises(ValueError, match="rows cannot use --source nosuch; leave --source out"):
        run_bench(Bench("tiny", MIXED, tmp_path / "out", seeds=(0,), source="nosuch", device="cpu"))
    assert not (tmp_path / "out").exists()


def test_rows_that_were_not_asked_for_keep_the_source_they_were_trained_on(tmp_path):
    rows = tuple(replace(MIXED.rows[0], name=name, source="shapes3d") for name in ("first", "second"))
    recipe = replace(MIXED, rows=rows)
    run_bench(Bench("tiny", recipe, tmp_path, seeds=(0,), rows=("first",), device="cpu"))
    run_bench(Bench("tiny", recipe, tmp_path, seeds=(0,), rows=("second",), source="dsprites", device="cpu"))
    results = json.loads((tmp_path / "results.json").read_text())
    assert [results["rows"][name]["cells"][0]["source"] for name in ("first", "second")] == ["shapes3d", "dsprites"]
    assert results["source"] == "shapes3d, dsprites"


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        (
            {"rows": (Row("a", "random", settings={"num_direction": 3}, source="shapes3d"),)},
            {},
            "unknown setting",
        ),
        (
            {"rows": (Row("a", "random", settings={"num_directions": 0}, source="shapes3d"),)},
            {},
            "num_directions must be",
        ),
        ({"rows": (Row("a", "random", source="shaeps3d"),)}, {}, "row 'a': "),
        ({"rows": (Row("a", "labels_only", source="shapes3d"),)}, {}, "row 'a': labels_only learns from annotated"),
        ({"columns": {"MIG": ("mgi", "score")}}, {}, "unknown metric 'mgi'"),
        ({"columns": {"MIG": Column("mig", "score", "shaeps3d")}}, {}, "row 'good': .*shaeps3d"),
        ({}, {"seeds": ()}, "there are no seeds"),
        ({}, {"seeds": (10**20,)}, "seeds must be at most"),
        ({}, {"data": "shaeps3d"}, "unknown dataset 'shaeps3d'"),
        ({}, {"predictor": "nobody"}, "'nobody' is no attribute predictor"),
        ({}, {"device": "meta"}, "unknown device 'meta'"),
    ],
)
def test_nothing_is_trained_before_every_name_and_option_is_known(changes, options, message, tmp_path, monkeypatch):
    monkeypatch.setitem(bench_cells._COMPUTE, "train", never)
    good = (Row("good", "random", settings={"num_directions": 2}, source="shapes3d"),)
    changes = {**changes, "rows": (*good, *changes.get("rows", ()))}
    with pytest.raises(ValueError, match=message):
        run_bench(
            Bench("tiny", replace(MIXED, **changes), tmp_path / "out", **{"seeds": (0,), "device": "cpu", **options})
        )
    assert not (tmp_path / "out").exists()


def test_a_recipe_brings_its_judge_and_directions_that_are_judged_need_no_encoder(vae_folder, tmp_path, monkeypatch):
    (tmp_path / "judge.py").write_text("def dark(images):\n    return 1 - images.mean((2, 3))\n")
    monkeypatch.setattr(bench_cells, "fit_regression", lambda *_, **__: pytest.fail("no column needs an encoder"))
    row = Row("random", "random", settings={"num_directions": 3})
    columns = {"red": ("matched_rescoring", "per_factor.0"), "others": ("matched_rescoring", "side.0")}
    recipe = Recipe(
        "t", "none", (row,), columns, sources={"small": str(vae_folder)}, predictor=f"{tmp_path / 'judge.py'}:dark"
    )
    run_bench(Bench("t", recipe, tmp_path / "out", seeds=(0,), device="cpu"))
    scores = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]["random"]["cells"][0]["scores"]
    run = load_run(folder_of(tmp_path / "out", "random", 0))
    alone = matched_rescoring(run.generator, run.directions, lambda images: 1 - images.mean((2, 3)))
    assert scores == pytest.approx({"red": alone.per_factor[0], "others": alone.side[0]}, abs=1e-5)
    with pytest.raises(ValueError, match=r"no\.py does not exist"):
        run_bench(Bench("t", replace(recipe, predictor="no.py:dark"), tmp_path / "never", device="cpu"))
    another = Bench("t", recipe, tmp_path / "never", device="cpu", predictor="other.py:dark")
    with pytest.raises(ValueError, match=r"other\.py does not exist"):
        run_bench(another)


def test_a_column_of_residuals_is_empty_where_an_encoder_keeps_none(tmp_path):
    small = {"width": 0.1, "steps": 2}
    few = {"amortization_steps": 1, "tuning_steps": 1, "num_images": 100, "batch_size": 8}
    table = Recipe(
        title="Leaks",
        table="none",
        rows=(
            Row("labels only", "labels_only", settings=small, source="shapes3d"),
            Row("ZeroDIM", "zerodim", settings=small | few, source="shapes3d"),
            Row("VAE", "semi_supervised_vae", settings=small | {"batch_size": 8}, source="shapes3d"),
        ),
        columns={"I": ("zerodim", "informativeness"), "leak": ("linear_probe:residual", "per_factor.0")},
        data={"small": {"size": 16, "labels": 40}},
        num_train=200,
        num_test=50,
    )
    run_bench(Bench("leaks", table, tmp_path / "out", seeds=(0,), device="cpu"))
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
    scores = {name: row["cells"][0]["scores"] for name, row in rows.items()}
    assert {name: list(found) for name, found in scores.items()} == {
        "labels only": ["I"],
        "ZeroDIM": ["I", "leak"],
        "VAE": ["I", "leak"],
    }


def test_a_column_of_another_scale_is_not_measured_nor_printed(recipe, tmp_path):
    columns = {"MIG": ("mig", "score"), "big": Column("mig", "no such", scales=("paper",))}
    bench = Bench("tiny", replace(recipe, columns=columns), tmp_path, seeds=(0,), device="cpu", rows=("DisCo",))
    assert list(bench.recipe.columns) == ["MIG"]
    assert run_bench(bench).splitlines()[0] == "|  | MIG, ours | MIG, published | seeds | training |"


def test_a_row_begins_with_the_encoder_of_another_at_its_seed(vae_folder, tmp_path):
    vae = {"latent_dim": 5, "width": 0.1, "steps": 2, "batch_size": 4}
    fixed = {**TINY_DISCO, "train_encoder": False}
    rows = (
        Row("bridged", "disco", settings=fixed, encoder="β-VAE"),
        Row("β-VAE", "beta_vae", settings=vae, source="shapes3d", data={"size": 16}),
    )
    columns = {"MIG": ("mig", "score")}
    recipe = Recipe("t", "t", rows, columns, sources={"small": str(vae_folder)}, num_train=200, num_test=50)
    bench = Bench("tiny", recipe, tmp_path, seeds=(0, 1), device="cpu")
    run_bench(bench)
    for seed in (0, 1):
        mine, theirs = (load_run(folder_of(tmp_path, method, seed)).encoder for method in ("disco", "beta_vae"))
        for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(a, b)
    with pytest.raises(ValueError, match="unknown row of this recipe 'β-VEA'; did you mean 'β-VAE'"):
        replace(recipe, rows=(replace(rows[0], encoder="β-VEA"), rows[1]))


def test_a_row_of_codes_alone_has_no_number_of_directions(tmp_path):
    vae = {"latent_dim": 5, "width": 0.1, "steps": 2, "batch_size": 4}
    row = Row("β-VAE", "beta_vae", settings=vae, source="shapes3d", data={"size": 16})
    columns = {"MIG": ("mig", "score"), "recovery": ("recovery", "score")}
    recipe = Recipe("t", "t", (row,), columns, num_train=200, num_test=50)
    table = run_bench(Bench("tiny", recipe, tmp_path, seeds=(0,), device="cpu"))
    assert table.splitlines()[2].split(" | ")[2] == "–"
