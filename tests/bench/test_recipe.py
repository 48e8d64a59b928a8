import dataclasses

import pytest

from contrafact.bench.recipe import SCALES, load_recipe, recipe_names
from contrafact.methods import CATALOG as METHODS
from contrafact.metrics import CATALOG as METRICS


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_names_things_that_exist(name):
    recipe = load_recipe(name)
    assert recipe.title
    assert recipe.table
    assert len({row.name for row in recipe.rows}) == len(recipe.rows)
    assert all(metric == "log" or metric in METRICS for metric, _ in recipe.columns.values())
    for row in recipe.rows:
        assert set(row.published) <= set(recipe.columns)
        assert set(row.scales) <= set(SCALES)
        if row.method not in METHODS:
            continue
        cls = METHODS.get(row.method)
        fields = {field.name for field in dataclasses.fields(cls)}
        assert {*row.settings, *row.small, *recipe.small} <= fields
        for preset in recipe.presets.values():
            assert preset in cls.presets, f"{row.method} has no preset {preset}"


@pytest.mark.parametrize(
    ("name", "row", "column", "published"),
    [
        ("disco-table1", "DisCo on VAE", "MIG", (0.331, 0.161)),
        ("disco-table1", "DisCo on GAN", "DCI", (0.708, 0.048)),
        ("disco-table2", "variation, contrast", "MIG", (0.562, None)),
        ("disco-table4", "domination only", "MIG", (0.296, None)),
        ("disco-table6", "T = 0.9", "DCI", (0.710, None)),
        ("disco-table11", "ResNet-50", "loss", (0.725, None)),
        ("cd-gan-table1", "CD-GAN, no labels", "ARI", (0.94, None)),
        ("cd-gan-table2", "CD-GAN, few labels", "ACC", (0.82, None)),
        ("cd-gan-table2", "GAN with Disc φ", "NMI", (0.37, None)),
        ("cd-gan-table3", "ClusterGAN", "FID", (26.86, None)),
    ],
)
def test_published_numbers_are_the_papers(name, row, column, published):
    rows = {r.name: r for r in load_recipe(name).rows}
    assert rows[row].published[column] == published


def test_a_name_in_any_spelling_and_an_unknown_one():
    assert load_recipe("Disco_Table4") == load_recipe("disco-table4")
    with pytest.raises(ValueError, match="unknown recipe 'disco-table44'; did you mean 'disco-table4'"):
        load_recipe("disco-table44")
