"""Published numbers against the tables themselves, as they stand in the text of the papers (``published/``)."""

import re
from pathlib import Path

import numpy as np
import pytest

from contrafact.bench.recipe import load_recipe, recipe_folder, recipe_names

FOLDER = Path(__file__).parent / "published"
NUMBER = re.compile(r"\d+(?:\.\d+)?(?:\s*e\s*-\s*\d+)?")
DATASETS = ("Cars3D", "Shapes3D", "MPI3D")
DISCO_ROWS = (
    *("FactorVAE", "β-TCVAE", "InfoGAN-CR"),
    *(f"{name} on GAN" for name in ("LD", "CF", "GS", "DS", "DisCo")),
    *(f"{name} on {kind}" for kind in ("VAE", "Flow") for name in ("LD", "DisCo")),
)
FACTORS = ("D", "C", "I", "SAP", "MIG", "smoothness")


def lines_of(table):
    """The numbers of every line, without the label it begins with."""
    text = (FOLDER / f"{table}.txt").read_text(encoding="utf-8")
    lines = [line.partition("\t")[2] or line for line in text.splitlines()]
    return [[float(re.sub(r"\s", "", found)) for found in NUMBER.findall(line)] for line in lines]


def of_rows(rows, titles, lines):
    """Single numbers by row and column."""
    return {
        row: {title: (value, None) for title, value in zip(titles, line, strict=True)}
        for row, line in zip(rows, lines, strict=True)
    }


def disco_of(table, dataset, titles):
    """Means and spreads in pairs, two columns for each data set."""
    first = 4 * DATASETS.index(dataset)
    return {
        row: {title: tuple(line[first + 2 * i : first + 2 * i + 2]) for i, title in enumerate(titles)}
        for row, line in zip(DISCO_ROWS, lines_of(table), strict=True)
    }


def transposed(table, rows, titles):
    """A table whose columns are our rows."""
    lines = [line for line in lines_of(table) if len(line) == len(rows)]
    return of_rows(rows, titles, list(zip(*lines[-len(titles) :], strict=True)))


def halves(tasks, names, column):
    """Percentages as shares: of each input a line, of both tasks from place ``column`` on."""

    def read(table):
        lines = lines_of(table)
        # Labels hold numbers too where no tab follows them.
        places = [line[2 * column : 2 * column + 2] for line in lines]
        pairs = zip(names, places, strict=True)
        return {
            f"{task}, {name}": (round(value / 100, 4), None)
            for name, pair in pairs
            for task, value in zip(tasks, pair, strict=True)
        }

    return read


def regularisers(table, tasks):
    rows = [
        f"{name}, λ = {weight}"
        for name in ("orthogonality", "orthogonality, permuted", "Hessian")
        for weight in (0.001, 0.1)
    ]
    return {row: halves(tasks, ("z", "z0", "z1", "gap"), place)(table) for place, row in enumerate(rows)}


def repeated(table, row):
    """Mean and sample deviation over six runs, a pair of columns each."""
    lines = np.array(lines_of(table)).reshape(4, 6, 2) / 100
    return {
        row: {
            f"{task}, {name}": (runs.mean(), runs.std(ddof=1))
            for name, pair in zip(("z", "z0", "z1", "gap"), lines, strict=True)
            for task, runs in zip(("DC", "BC"), pair.T, strict=True)
        }
    }


def clustered(table, rows, titles=("ACC", "NMI", "ARI")):
    # Citations, [34], are in the labels.
    return of_rows(rows, titles, lines_of(table))


def cifar10():
    """The first column is a dash where nobody measured it."""
    rows = ("ClusterGAN", "InfoGAN", "InfoGAN-CR", "CD-GAN, few labels", "CD-GAN, no labels (in the text)")
    found = zip(rows, lines_of("cd_gan_table3"), strict=True)
    return {
        row: {t: (v, None) for t, v in zip(("ACC", "IS", "FID")[-len(line) :], line, strict=True)}
        for row, line in found
    }


def contralord_table2():
    names = ("Locatello et al.", "LORD", "ZeroDIM (Gabbay et al.)", "ContraLORD")
    rows = [f"{name}, {data}" for data in ("shapes3d", "cars3d", "dsprites", "small_norb") for name in names]
    return of_rows(rows, FACTORS, lines_of("contralord_table2"))


def contralord_table1():
    names = {
        "cifar10": ("MoCo", "SimCLR", "LORD", "OverLORD", "ContraLORD"),
        "cifar100": ("MoCo", "SimCLR", "LORD", "OverLORD", "ContraLORD"),
        "imagenet100": ("CMC", "MoCo", "LORD", "OverLORD", "ContraLORD"),
    }
    rows = [f"{name}, {data}" for data, found in names.items() for name in found]
    accuracies = [[round(value / 100, 6) for value in line[-2:]] for line in lines_of("contralord_table1")]
    return of_rows(rows, ("top 1", "top 5"), accuracies)


def contralord_table3(columns, rows=("LORD", "OverLORD", "ContraLORD")):
    """Some columns of its seven; the last two have no number in LORD's row."""
    lines = lines_of("contralord_table3")[-len(rows) :]
    return of_rows(rows, columns, [[line[place] for place in columns.values()] for line in lines])


def swept(table, rows):
    """A line per value of what is swept, which it begins with."""
    return of_rows(rows, FACTORS, [line[-6:] for line in lines_of(table)])


def encdiff():
    """FactorVAE to DisCo on three data sets, from two tables of DisCo's."""
    names = ("FactorVAE", "β-TCVAE", "InfoGAN-CR", "LD on GAN", "DS on GAN", "DisCo on GAN")
    found = {}
    for data in DATASETS:
        similar = disco_of("disco_table1", data, ("MIG", "D"))
        predicted = disco_of("disco_table9", data, ("β-VAE score", "FactorVAE score"))
        for name in names:
            found[f"{name}, {data}"] = {"FactorVAE score": predicted[name]["FactorVAE score"], **similar[name]}
    return found


def vae_shapes3d():
    """Two rows of DisCo's Table 1, and one of ContraLORD's Table 2."""
    disco = disco_of("disco_table1", "Shapes3D", ("MIG", "DCI"))
    locatello = contralord_table2()["Locatello et al., shapes3d"]
    labelled = {"MIG": locatello["MIG"], "DCI": locatello["D"]}
    return {name: disco[name] for name in ("β-TCVAE", "FactorVAE")} | {"semi-supervised, 100 labels": labelled}


def contrast_fashion_mnist():
    """ContraLORD's rows of CIFAR-10."""
    rows = contralord_table1()
    return {name.partition(", cifar10")[0]: rows[name] for name in rows if name.endswith(", cifar10")}


EXPECTED = {
    **{
        f"disco-table1{'' if data == 'Shapes3D' else f'-{data.lower()}'}": disco_of(
            "disco_table1", data, ("MIG", "DCI")
        )
        for data in DATASETS
    },
    **{
        f"disco-table9{'' if data == 'Shapes3D' else f'-{data.lower()}'}": disco_of(
            "disco_table9", data, ("β-VAE score", "FactorVAE score")
        )
        for data in DATASETS
    },
    "disco-table2": of_rows(
        (
            "concatenation, contrast",
            "variation, contrast",
            "concatenation, classification",
            "variation, classification",
        ),
        ("MIG", "DCI"),
        lines_of("disco_table2"),
    ),
    "disco-table4": of_rows(
        (
            *(
                f"{space}, {kind}"
                for space in "ZW"
                for kind in ("unit length", "orthonormal", "3 fully connected layers")
            ),
            *("no flipping, no domination", "domination only", "flipping only", "both"),
        ),
        ("MIG", "DCI"),
        [line[-2:] for line in lines_of("disco_table4")],
    ),
    "disco-table3": of_rows(
        ("DS", "CF", "GS", "LD", "DisCo"),
        ("Young", "Smile", "Bald", "Blonde hair", "overall"),
        lines_of("disco_table3"),
    ),
    "disco-table10": {
        row: {title: tuple(line[2 * place : 2 * place + 2]) for title, line in zip(("DCI", "MIG"), lines, strict=True)}
        for lines in (lines_of("disco_table10"),)
        for place, row in enumerate(("β-TCVAE", "CF", "DisCo (GAN)"))
    },
    "disco-table12": transposed(
        "disco_table12", ("A (true, fixed)", "A + B (mixed, fixed)", "A + B → A (mixed, then free)"), ("loss",)
    ),
    "disco-table6": transposed("disco_table6", [f"T = {t}" for t in (0.7, 0.8, 0.9, 0.95, 0.98)], ("MIG", "DCI")),
    "disco-table11": transposed("disco_table11", ("light encoder", "ResNet-50"), ("loss", "MIG", "DCI")),
    "latentclr-table1": {
        row: {
            title: tuple(lines[title][2 * place : 2 * place + 2])
            for title in ("↑ Smile", "↑ Lipstick", "↓ Smile", "↓ Lipstick")
        }
        for titles in (["↑ Smile", "↑ Age", "↑ Lipstick", "↓ Smile", "↓ Age", "↓ Lipstick"],)
        for lines in (dict(zip(titles, lines_of("latentclr_table1"), strict=True)),)
        for place, row in enumerate(("GANSpace", "SeFa", "LatentCLR"))
    },
    "cd-gan-table1": clustered(
        "cd_gan_table1",
        ("ClusterGAN", "InfoGAN", "InfoGAN-CR", "GAN with bp", "GAN with Disc φ", "CD-GAN, no labels"),
    ),
    "cd-gan-table2": clustered(
        "cd_gan_table2",
        (
            *("ClusterGAN", "InfoGAN", "InfoGAN-CR", "GAN with bp", "GAN with Disc φ"),
            *("CD-GAN, no labels", "CD-GAN, few labels"),
        ),
    ),
    "cd-gan-table3": cifar10(),
    "contralord-table1": contralord_table1(),
    "contralord-table2": contralord_table2(),
    "contralord-table3": contralord_table3({"FID": 3, "LPIPS": 4}),
    "contralord-table3-celeba-hq": contralord_table3(
        {"FID, female to male": 5, "FID, male to female": 6}, ("OverLORD", "ContraLORD")
    ),
    "contralord-table4": of_rows(
        (
            *("none", "reconstruction", "reconstruction, latents", "reconstruction, latents, content"),
            "all four",
        ),
        FACTORS,
        lines_of("contralord_table4"),
    ),
    "contralord-table5": swept("contralord_table5", [f"batch {32 << i}" for i in range(6)]),
    "contralord-table6": swept("contralord_table6", [f"K = {1600 << i:,}" for i in range(6)]),
    "sub-infomax-table1": {"disjoint labels": halves(("DC", "BC"), ("r", "r0", "r1", "gap"), 0)("sub_infomax_table1")},
    "sub-infomax-table2": {
        f"InfoMin, λ = {weight}": halves(("DC", "BC"), ("r", "r0", "r1", "z", "z0", "z1"), place)("sub_infomax_table2")
        for place, weight in enumerate((0.001, 0.1))
    },
    "sub-infomax-table3": regularisers("sub_infomax_table3", ("DC", "BC")),
    "sub-infomax-table4": {"disjoint labels": halves(("DC", "DL"), ("r", "r0", "r1", "gap"), 0)("sub_infomax_table4")},
    "sub-infomax-table5": {
        f"InfoMin, λ = {weight}": halves(("DC", "DL"), ("r",), 0)("sub_infomax_table5") for weight in (0.001, 0.1)
    },
    "sub-infomax-table6": regularisers("sub_infomax_table6", ("DC", "DL")),
    "sub-infomax-table7": {
        f"orthogonality; published: “{name}”": halves(("DC", "DL"), ("z", "z0", "z1"), place)("sub_infomax_table7")
        for place, name in enumerate(("random", "task difficulty"))
    },
    "sub-infomax-table8": repeated("sub_infomax_table8", "orthogonality, permuted, λ = 0.1"),
    "sub-infomax-table9": repeated("sub_infomax_table9", "Hessian, λ = 0.1"),
    "encdiff-table": encdiff(),
    "vae-shapes3d": vae_shapes3d(),
    "contrast-fashion-mnist": contrast_fashion_mnist(),
}
IN_NONE_OF_THE_PAPERS = {"encdiff-table": ("EncDiff", "DisDiff")}
"""Methods, by recipe, whose numbers stand in none of the five papers, so that nothing here vouches for them: EncDiff's
and DisDiff's own papers are not among the five."""
WORKED_OUT = {"diagonal"}
"""Columns that the papers do not print: ours, from what they do."""


@pytest.mark.parametrize("name", EXPECTED)
def test_every_published_number_is_the_papers(name):
    others = IN_NONE_OF_THE_PAPERS.get(name, ())
    rows = {
        row.name: {title: numbers for title, numbers in row.published.items() if title not in WORKED_OUT}
        for row in load_recipe(name).rows
        if row.published and row.name.partition(", ")[0] not in others
    }
    assert rows.keys() == EXPECTED[name].keys()
    for row, expected in EXPECTED[name].items():
        assert rows[row].keys() == expected.keys(), row
        for title, (mean, spread) in expected.items():
            ours, our_spread = rows[row][title]
            assert ours == pytest.approx(mean, abs=1e-9), (row, title)
            assert (our_spread is None) == (spread is None), (row, title)
            assert spread is None or our_spread == pytest.approx(spread, abs=1e-9), (row, title)


def test_every_recipe_with_published_numbers_is_tested():
    assert {name for name in recipe_names() if any(row.published for row in load_recipe(name).rows)} == EXPECTED.keys()


def test_numbers_that_are_in_none_of_the_papers_are_said_to_be_handed_down():
    words = " ".join((recipe_folder() / "encdiff_table.py").read_text(encoding="utf-8").split())
    assert "only those that were handed down to us, not read in the papers' tables" in words
    others = IN_NONE_OF_THE_PAPERS["encdiff-table"]
    rows = load_recipe("encdiff-table").rows
    assert {row.name: row.published for row in rows if row.published and row.name.partition(", ")[0] in others} == {
        "EncDiff, Shapes3D": {"FactorVAE score": (0.999, None), "D": (0.969, None)},
        "EncDiff, MPI3D": {"D": (0.685, None)},
        "DisDiff, Shapes3D": {"FactorVAE score": (0.902, None), "D": (0.723, None)},
        "DisDiff, MPI3D": {"D": (0.337, None)},
    }, "nobody can look them up here: they stay as they came"
