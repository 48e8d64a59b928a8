"""What the recipes of "Unsupervised Disentanglement without Autoencoding" (Burns et al. 2021) share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from contrafact.bench.recipe import Recipe, Role, Row

CONTROL = "control: one head, InfoMax on the whole z"
CEILING = "labels of one factor each (the ceiling)"
_TITLES = {"ortho": "orthogonality", "permuted_ortho": "orthogonality, permuted", "hessian": "Hessian"}
_PLACES = {"z": "whole", "z0": "matrix.0", "z1": "matrix.1", "gap": "per_factor"}


def control(source: str) -> Row:
    """The row that decides the others: no regulariser, and a z that is cut into halves all the same."""
    return Row(CONTROL, "sub_infomax", settings={"heads": "joint", "infomax": "whole"}, source=source, role="control")


def half_columns(tasks: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Accuracies at each task of z and its halves, and the gaps.

    >>> half_columns(["DC"])["DC, z1"]
    ('sub_embedding_gaps:z', 'matrix.1.0')
    """
    return {
        f"{task}, {name}": ("sub_embedding_gaps:z", f"{place}.{k}")
        for name, place in _PLACES.items()
        for k, task in enumerate(tasks)
    }


def scored_columns(tasks: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Columns of the tables of ours: each task from r, from z, by the gap of z's halves, and how well those match.

    >>> list(scored_columns(["digit"]))
    ['digit, r', 'digit, z', 'digit, z gap', 'matched', 'unmatched', 'diagonal']
    """
    gaps = "sub_embedding_gaps:z"
    return {
        **{f"{task}, r": ("linear_probe", f"per_factor.{k}") for k, task in enumerate(tasks)},
        **{f"{task}, z": (gaps, f"whole.{k}") for k, task in enumerate(tasks)},
        **{f"{task}, z gap": (gaps, f"per_factor.{k}") for k, task in enumerate(tasks)},
        **{name: (gaps, name) for name in ("matched", "unmatched", "diagonal")},
    }


def digits_on_garments(variant: str, title: str, remark: str) -> Recipe:
    """The Hessian regulariser over λ at 32 pixels, between the control and labels of one factor each.

    Args:
        variant: of ``digits-garments``, ``over`` or ``centred``.
        title: of the table.
        remark: on its pairs.

    >>> [row.name for row in digits_on_garments("centred", "t", "").rows][::4] == [CONTROL, CEILING]
    True
    """
    rows: dict[str, tuple[dict[str, object], Role]] = {
        CONTROL: ({"heads": "joint", "infomax": "whole"}, "control"),
        **{
            f"Hessian, λ = {weight}": ({"regulariser": "hessian", "weight": weight}, "method")
            for weight in (0.001, 0.003, 0.01)
        },
        CEILING: ({"positives": "disjoint_labels"}, "ceiling"),
    }
    common = {"augmentations": "none", "batch_size": 128, "temperature": 0.1}
    return Recipe(
        title=title,
        table="none: ours, after Burns et al. 2021, Table 3",
        rows=tuple(
            Row(name, "sub_infomax", settings=common | settings, source=f"digits-garments:{variant}", role=role)
            for name, (settings, role) in rows.items()
        ),
        columns=scored_columns(("digit", "garment")),
        presets={"small": "quick", "paper": "quick"},
        num_train=4000,
        num_test=3000,
        against=CONTROL,
        remark=f"real images, 32 pixels; {remark}; matched: mean accuracy of the halves at the task each is the better "
        "at; a diagonal counts differences above 1.96 binomial errors alone; the control's z is cut like the others', "
        "so its gaps are what cutting alone gives",
    )


def disjoint_labels(table: str, tasks: Sequence[str], published: Sequence[float]) -> Recipe:
    """Tables 1 and 4: what labels reach, each half of r trained on those of one task; beside it r without labels, cut.

    Args:
        table: its number, ``"Table 1"``.
        tasks: the factors that pairs share, ``("DC", "BC")``.
        published: percentages of both tasks from r, its halves, and the gaps.

    >>> disjoint_labels("Table 1", ("DC", "BC"), range(8)).rows[0].published["BC, r"]
    (0.01, None)
    """
    pair = "-".join(tasks)
    source = f"mnist-stl:{pair.lower()}"
    columns = {
        title.replace("z", "r"): (metric.partition(":")[0], place)
        for title, (metric, place) in half_columns(tasks).items()
    }
    numbers = {column: (round(value / 100, 4), None) for column, value in zip(columns, published, strict=True)}
    return Recipe(
        title=f"SubInfoMax: accuracy of a supervised pipeline with disjoint labels, {pair}",
        table=f"Burns et al. 2021, {table}",
        rows=(
            Row(
                "disjoint labels", "sub_infomax", numbers, {"positives": "disjoint_labels", "heads": "none"},
                source=source, role="ceiling",
            ),
            control(source),
        ),
        columns=columns,
        presets={"small": "quick", "paper": "paper"},
        remark="small: the quick preset at the paper's 64 pixels; without MNIST's and STL-10's files, Fashion-MNIST "
        "items over procedural textures stand in",
    )  # fmt: skip


def regularisers_by_weight(
    table: str, tasks: Sequence[str], published: Mapping[tuple[str, float], Sequence[float]]
) -> Recipe:
    """Tables 3 and 6: three regularisers at two weights on pairs that share two factors.

    Args:
        table: its number, ``"Table 3"``.
        tasks: the factors that pairs share, ``("DC", "BC")``.
        published: per regulariser and λ percentages, in the order of :func:`half_columns`.

    >>> regularisers_by_weight("Table 3", ("DC", "BC"), {("ortho", 0.1): range(8)}).rows[1].name
    'orthogonality, λ = 0.1'
    """
    columns, pair = half_columns(tasks), "-".join(tasks)
    source = f"mnist-stl:{pair.lower()}"
    rows = [
        Row(
            f"{_TITLES[regulariser]}, λ = {weight}",
            "sub_infomax",
            {column: (value / 100, None) for column, value in zip(columns, values, strict=True)},
            {"regulariser": regulariser, "weight": weight},
            source=source,
        )
        for (regulariser, weight), values in published.items()
    ]
    return Recipe(
        title=f"SubInfoMax: orthogonality and Hessian at two weights, {pair}",
        table=f"Burns et al. 2021, {table}",
        rows=(control(source), *rows),
        columns={**columns, "diagonal": ("sub_embedding_gaps:z", "diagonal")},
        presets={"small": "quick", "paper": "paper"},
        data={"small": {"size": 32}},
        against=CONTROL,
        remark="small: 32 pixels; without MNIST's and STL-10's files, Fashion-MNIST items over procedural textures "
        "stand in; the paper's numbers are one run",
    )


def initialisations(table: str, regulariser: str, runs: Mapping[str, Sequence[float]], variances: str) -> Recipe:
    """Tables 8 and 9: six runs of one regulariser, λ = 0.1, that differ in their initialisation alone.

    Args:
        table: its number, ``"Table 8"``.
        regulariser: as the method has it.
        runs: percentages of runs 0 to 5, by column.
        variances: what the paper prints of the gaps.

    >>> initialisations("Table 9", "hessian", {"DC, z": [50.0, 70.0]}, "").rows[1].published["DC, z"][0]
    0.6
    """
    title = _TITLES[regulariser]
    return Recipe(
        title=f"SubInfoMax: {title}, λ = 0.1, over initialisations, DC-BC",
        table=f"Burns et al. 2021, {table}",
        rows=(
            control("mnist-stl:dc-bc"),
            Row(
                f"{title}, λ = 0.1",
                "sub_infomax",
                {name: (float(np.mean(of)) / 100, float(np.std(of, ddof=1)) / 100) for name, of in runs.items()},
                {"regulariser": regulariser, "weight": 0.1},
                source="mnist-stl:dc-bc",
            ),
        ),
        columns={**half_columns(("DC", "BC")), "diagonal": ("sub_embedding_gaps:z", "diagonal")},
        presets={"small": "quick", "paper": "paper"},
        data={"small": {"size": 32}},
        against=CONTROL,
        remark="small: 32 pixels; published: mean and sample deviation of runs 0 to 5 (--seeds 6 makes as many); the "
        f"paper prints population variances of the gaps, {variances} points squared. Which half is called z0 is an "
        "accident of the seed",
    )
