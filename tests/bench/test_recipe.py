import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from contrafact.bench.check import rows_without_source
from contrafact.bench.plan import Bench, method_of, plan
from contrafact.bench.recipe import SCALES, Recipe, Row, Trained, column_of, load_recipe, recipe_names
from contrafact.bench.reproduce import FIRST
from contrafact.core.settings import flat_fields
from contrafact.generators.checkpoints import changed, load_generator
from contrafact.generators.stylegan2 import StyleGAN2
from contrafact.methods import CATALOG as METHODS
from contrafact.metrics import CATALOG as METRICS


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_names_things_that_exist(name):
    recipe = load_recipe(name)
    assert recipe.title
    assert recipe.table
    assert len({row.name for row in recipe.rows}) == len(recipe.rows)
    for metric, _, generator, changes, *_ in map(column_of, recipe.columns.values()):
        assert metric == "log" or metric.partition(":")[0] in METRICS
        assert generator is None or load_generator(generator, changes)
    presets: set[str] = set()
    benches = [Bench(name, recipe, Path("unused"), scale) for scale in SCALES]
    for row in recipe.rows:
        assert set(row.published) <= set(recipe.columns)
        assert set(row.scales) <= set(SCALES)
        if row.method not in METHODS:
            continue
        cls = METHODS.get(row.method)
        assert {*row.settings, *row.small, *row.elsewhere, *recipe.small} <= set(flat_fields(cls))
        presets |= set(cls.presets)
        for bench in (bench for bench in benches if bench.scale in row.scales):
            assert method_of(bench, row), "its settings are within their ranges"
            assert method_of(bench, row, **row.elsewhere)
    assert set(recipe.presets.values()) <= presets, "no method of this recipe has such a preset"


@pytest.mark.parametrize("name", recipe_names())
def test_a_row_that_is_called_after_a_latent_space_is_edited_in_it(name):
    recipe = load_recipe(name)
    for row in recipe.rows:
        label = row.name.partition(",")[0]
        if label not in ("Z", "W"):
            continue
        for scale in row.scales:
            source = row.source or recipe.sources.get(scale)
            if isinstance(source, Trained):
                space = changed(StyleGAN2(8, latent_dim=4, channels=[4, 4], mapping_layers=1), row.changes).space
                assert (source.method, space) == ("stylegan2", label.lower()), row.name
            else:
                assert source is None or load_generator(source, row.changes).space == label.lower(), row.name
        assert row.changes == {"space": label.lower()}, "so that a source of the reader's own is edited in it too"


def test_table_4_has_rows_of_both_spaces():
    spaces = [row.changes.get("space") for row in load_recipe("disco-table4").rows]
    assert (spaces.count("z"), spaces.count("w")) == (3, 3)


def planned(name, scale):
    recipe = load_recipe(name)
    return plan(Bench(name, recipe, Path("unused"), scale, seeds=(0,)), {row.name for row in recipe.rows})


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", FIRST)
def test_what_readers_look_for_first_has_cells_at_both_scales(name, scale):
    assert planned(name, scale)


@pytest.mark.parametrize("name", recipe_names())
def test_encoders_that_read_directions_have_a_small_budget_at_the_small_scale(name):
    recipe = load_recipe(name)
    read = [cell for cell in planned(name, "small") if cell.kind == "read"]
    assert not read or "small" in recipe.regression, "10,000 steps by default, which take two cores hours"


@pytest.mark.parametrize("name", recipe_names())
def test_what_cannot_run_at_the_papers_scale_as_it_is_says_what_to_bring(name):
    recipe = load_recipe(name)
    bench = Bench(name, recipe, Path("unused"), "paper", seeds=(0,))
    everything = {row.name for row in recipe.rows}
    if not plan(bench, everything) or rows_without_source(bench, everything):
        assert re.search(r"--source \S", recipe.remark), "name the file and the option"


FILES = {
    "afhq": "train/{cat,dog,wild}",
    "cars3d": "nips2015-analogy-data.tar.gz",
    "celeba_hq": "CelebA-HQ-img",
    "cifar10": "cifar-10-batches-py",
    "cifar100": "cifar-100-python",
    "imagenet100": "n01558993",
    "mnist": "train-images-idx3-ubyte",
    "mpi3d": "mpi3d_toy.npz",
    "small_norb": "smallnorb-5x",
}
"""Of the data that has no stand-in and comes with no package, a file that its loader looks for."""


def sources_of(row):
    own = row.source.values() if isinstance(row.source, Mapping) else [row.source]
    return {source.source if isinstance(source, Trained) else source for source in own}


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_says_which_files_its_rows_need(name):
    recipe = load_recipe(name)
    sources = set().union(*(sources_of(row) for row in recipe.rows))
    wanted = {FILES[data] for data in FILES if sources & {data, data.replace("_", "-")}}
    assert {file for file in wanted if file not in recipe.remark} == set()


def test_those_files_are_what_the_loaders_are_documented_to_look_for():
    page = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")
    lines = [line for line in page.partition("| name | files |")[2].splitlines() if line.startswith("| `")]
    for data, file in FILES.items():
        assert any(f"`{data}`" in line.split("|")[1] and file in line for line in lines), data


@pytest.mark.parametrize("name", ["table2", "table4", "table6", "table11", "fig6", "appendix-e"])
def test_ablations_of_disco_are_on_a_generator_that_its_first_table_trains(name):
    first = {cell.key for cell in planned("disco-table1", "paper")}
    cells = planned(f"disco-{name}", "paper")
    generators = {cell.key for cell in cells if cell.method == "stylegan2" and cell.kind == "train"}
    assert len(generators) == 1
    assert generators < first
    on_it = [cell for cell in cells if cell.kind == "train" and cell.row.method == "disco"]
    assert {cell.generator for cell in on_it} == {0}
    rows = [row.name for row in load_recipe(f"disco-{name}").rows if row.method == "disco"]
    assert [cell.row.name for cell in on_it] == rows


@pytest.mark.parametrize(
    ("name", "row", "column", "published"),
    [
        ("disco-table1", "DisCo on VAE", "MIG", (0.331, 0.161)),
        ("disco-table1", "DisCo on GAN", "DCI", (0.708, 0.048)),
        ("disco-table2", "variation, contrast", "MIG", (0.562, None)),
        ("disco-table4", "domination only", "MIG", (0.296, None)),
        ("disco-table6", "T = 0.9", "DCI", (0.710, None)),
        ("disco-table11", "ResNet-50", "loss", (0.725, None)),
        ("sub-infomax-table1", "disjoint labels", "BC, r0", (0.101, None)),
        ("sub-infomax-table2", "InfoMin, λ = 0.1", "BC, z1", (0.358, None)),
        ("sub-infomax-table3", "Hessian, λ = 0.1", "DC, gap", (0.172, None)),
        ("sub-infomax-table3", "orthogonality, permuted, λ = 0.001", "BC, z0", (0.524, None)),
        ("sub-infomax-table6", "Hessian, λ = 0.001", "DL, gap", (0.264, None)),
        ("sub-infomax-table6", "orthogonality, λ = 0.1", "DC, z0", (0.465, None)),
        ("cd-gan-table1", "CD-GAN, no labels", "ARI", (0.94, None)),
        ("cd-gan-table2", "CD-GAN, few labels", "ACC", (0.82, None)),
        ("cd-gan-table2", "GAN with Disc φ", "NMI", (0.37, None)),
        ("contralord-table1", "ContraLORD, imagenet100", "top 1", (0.7623, None)),
        ("contralord-table1", "OverLORD, cifar100", "top 5", (0.8953, None)),
        ("contralord-table2", "ZeroDIM (Gabbay et al.), dsprites", "MIG", (0.48, None)),
        ("contralord-table3", "OverLORD", "FID", (16.5, None)),
        ("contralord-table4", "reconstruction, latents, content", "SAP", (0.37, None)),
        ("contralord-table5", "batch 512", "SAP", (0.45, None)),
        ("contralord-table6", "K = 25,600", "MIG", (0.95, None)),
        ("contrast-fashion-mnist", "LORD", "top 1", (0.8513, None)),
        ("cd-gan-table3", "ClusterGAN", "FID", (26.86, None)),
    ],
)
def test_published_numbers_are_the_papers(name, row, column, published):
    rows = {r.name: r for r in load_recipe(name).rows}
    assert rows[row].published[column] == published


@pytest.mark.parametrize("number", [3, 6, 8, 9])
def test_tables_of_separated_halves_have_the_control_that_decides_them(number):
    """A joint head, InfoMax on the whole z, no regulariser: its z is cut all the same."""
    recipe = load_recipe(f"sub-infomax-table{number}")
    control = next(row for row in recipe.rows if row.name == recipe.against)
    method = method_of(Bench("t", recipe, Path("unused"), "paper"), control)
    assert (method.regulariser, method.heads, method.infomax) == ("none", "joint", "whole")


@pytest.mark.parametrize("name", ["faces", "garments"])
def test_judged_directions_are_compared_at_equal_change_and_in_equal_number(name):
    recipe = load_recipe(name)
    assert {column_of(entry).metric for entry in recipe.columns.values()} == {"matched_rescoring"}
    for scale in SCALES:
        methods = {row.name: method_of(Bench("t", recipe, Path("unused"), scale), row) for row in recipe.rows}
        told = methods.pop("InterFaceGAN, told (ceiling)", None)
        assert told is None or told.predictor == recipe.predictor, "the ceiling is told by the judge itself"
        assert {method.num_directions for method in methods.values()} == {10}
        assert "random" in methods


def test_rows_that_the_page_of_tables_says_to_draw_are_there():
    page = (Path(__file__).parents[2] / "docs" / "tables.md").read_text(encoding="utf-8")
    lines = page.partition("| figure | trainings | picture |")[2].partition("\n\n")[0].splitlines()[2:]
    said = [re.findall(r"`([^`]+)`", line.split("|")[2]) for line in lines]
    assert {name for name, *_ in said} == {"disco-table4", "cd-gan-ablation", "cd-gan-table2"}
    for name, *rows in said:
        known = {row.name for row in load_recipe(name).rows}
        assert [row for row in rows if row not in known and not row.startswith(("--source ", "FOLDER/"))] == []


def test_a_row_to_compare_with_is_one_of_the_recipes():
    with pytest.raises(ValueError, match="unknown row of this recipe 'contol'; did you mean 'control'"):
        Recipe("t", "t", (Row("control", "sub_infomax"),), {}, against="contol")


def test_a_control_has_the_role_of_one():
    rows = [(name, row) for name in recipe_names() for row in load_recipe(name).rows]
    assert {(name, row.name) for name, row in rows if row.method == "control" and row.role != "control"} == set()
    assert {(name, row.name) for name, row in rows if "(control)" in row.name and row.role != "control"} == set()


def test_a_role_is_one_of_four_and_no_part_of_a_cells_key(tmp_path):
    with pytest.raises(ValueError, match="unknown role 'controll'; did you mean 'control'"):
        Recipe("t", "t", (Row("a", "random", role="controll"),), {})
    columns = {"MIG": ("mig", "score")}
    recipes = [Recipe("t", "t", (Row("a", "random", role=role),), columns) for role in ("method", "control")]
    keys = [[cell.key for cell in plan(Bench("t", one, tmp_path, source="shapes3d"), {"a"})] for one in recipes]
    assert keys[0] == keys[1] != []


def test_a_name_in_any_spelling_and_an_unknown_one():
    assert load_recipe("Disco_Table4") == load_recipe("disco-table4")
    with pytest.raises(ValueError, match="unknown recipe 'disco-table44'; did you mean 'disco-table4'"):
        load_recipe("disco-table44")
