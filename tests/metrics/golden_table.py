"""Print the reference's values and ours side by side: ``python -m tests.metrics.golden_table [FOLDER]``.

Without a folder the committed cases are compared, with one all cases in it. Exits with 1 when one is out of tolerance.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.metrics.golden_cases import CASES, SAMPLED, compare, load, read_folder, results, sampled


def main(folder: str | None = None) -> int:
    console = Console(width=110)
    out = 0
    cases = (
        CASES if folder is None else sorted(p.name.removesuffix(".fast.json") for p in Path(folder).glob("*.fast.json"))
    )
    for case in cases:
        if folder is None:
            inputs = load(case), sampled(case) if case in SAMPLED else None, results()[case]
        else:
            inputs = read_folder(Path(folder), case)
        table = Table("metric", title=case, title_justify="left")
        for column in ("reference", "ours", "difference", "tolerance"):
            table.add_column(column, justify="right")
        for row in compare(case, *inputs):
            out += not row.within
            style = "" if row.within else "bold red"
            values = (f"{row.reference:.6f}", f"{row.ours:.6f}", f"{row.distance:.1e}", f"{row.tolerance:.0e}")
            table.add_row(row.name, *values, style=style)
        console.print(table)
    console.print(f"{out} values out of tolerance" if out else "all values within tolerance")
    return 1 if out else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
