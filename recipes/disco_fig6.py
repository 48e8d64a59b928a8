"""DisCo, Fig. 6: how many positives N and negatives M a query has, at a fixed sum and at a fixed ratio."""

from contrafact.bench.disco import ABLATED, ABLATED_REMARK, SIMILAR_CODES
from contrafact.bench.recipe import Recipe, Row

SUM, RATIO = 96, 2
RATIOS = tuple((positives, SUM - positives) for positives in (8, 16, 32, 48, 64, 80))
SUMS = tuple((positives, RATIO * positives) for positives in (8, 16, 64))
PAPER_BATCHES = {"batching": "paper", "shared_bases": False}


def called(positives: int, negatives: int) -> str:
    """The name of a row."""
    return f"N : M = {positives} : {negatives}"


def row(positives: int, negatives: int) -> Row:
    """A quarter of both at the small scale, and of the queries."""
    small = {"num_queries": 8, "num_positives": positives // 4, "num_negatives": negatives // 4}
    settings = {**PAPER_BATCHES, "num_positives": positives, "num_negatives": negatives}
    role = "method" if (positives, negatives) == (32, 64) else "ablation"
    return Row(called(positives, negatives), "disco", settings=settings, small=small, role=role)


RECIPE = Recipe(
    title="DisCo: positives and negatives of a query",
    table="Ren et al. 2022, Fig. 6 (curves; the text: 32 : 64 is best at a sum of 96, the sum matters little)",
    rows=tuple(row(*numbers) for numbers in (*RATIOS, *SUMS)),
    columns=SIMILAR_CODES,
    sweep="positives N",
    curves={
        f"N + M = {SUM}": tuple(called(*numbers) for numbers in RATIOS),
        f"M = {RATIO} N": tuple(called(*numbers) for numbers in (*SUMS, (SUM // 3, RATIO * SUM // 3))),
    },
    presets={"small": "quick", "paper": "released"},
    sources=ABLATED,
    small={"steps": 400, "encoder_width": 0.25},
    remark="the paper's batches: one direction asks, others are negatives. Small: a quarter of all three numbers, the "
    "shipped VAE, 400 steps, a quarter of the encoder; the figure's other points are not in the text. "
    + ABLATED_REMARK,
)
