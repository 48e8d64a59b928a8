"""Print the reference's values and ours side by side: ``python -m tests.metrics.golden_table [FOLDER]``.

For each case, ``contrafact evaluate --metrics all`` with the reference's scores beside it, as a user would run it; then
what the command does not compute: values per factor, matrices, recorded votes, other protocols. Without a folder the
committed cases are compared, with one all cases in it. Exits with 1 when a value is out of tolerance.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.metrics.golden_cases import CASES, SAMPLED, compare, load, read_folder, results, sampled

# Rows whose score the command reports too, under its full name.
REPORTED = {
    "mig": "mig.score",
    "sap": "sap.score",
    "modularity": "modularity.score",
    "irs": "irs.score",
    "total correlation": "total_correlation.total_correlation",
    "wasserstein": "total_correlation.wasserstein",
    "wasserstein normalized": "total_correlation.wasserstein_normalized",
    "code information": "total_correlation.mutual_information",
    "dci disentanglement": "dci.disentanglement",
    "dci completeness": "dci.completeness",
    "dci informativeness": "dci.informativeness",
    "dci informativeness train": "dci.informativeness_train",
}


def main(folder: str | None = None) -> int:
    console = Console(width=120)
    cases = (
        CASES if folder is None else sorted(p.name.removesuffix(".fast.json") for p in Path(folder).glob("*.fast.json"))
    )
    failed = []
    for case in cases:
        if folder is None:
            data, votes, reference = load(case), sampled(case) if case in SAMPLED else None, results()[case]
        else:
            data, votes, reference = read_folder(Path(folder), case)
        rows = list(compare(case, data, votes, reference))
        reported = [row for row in rows if row.name in REPORTED]
        with tempfile.TemporaryDirectory() as place:
            codes, recorded = Path(place) / f"{case}.npz", Path(place) / f"{case}.json"
            np.savez(codes, **{k: v for k, v in data.items() if k.startswith(("codes", "factors_t"))})
            scores = {REPORTED[row.name]: row.reference for row in reported}
            tolerances = {REPORTED[row.name]: row.tolerance for row in reported}
            recorded.write_text(json.dumps({"scores": scores, "tolerances": tolerances}))
            command = ["evaluate", "--codes", str(codes), "--metrics", "all", "--reference", str(recorded)]
            console.rule(f"contrafact evaluate --codes {codes.name} --metrics all --reference {recorded.name}")
            done = subprocess.run([sys.executable, "-m", "contrafact", *command], check=False)
        table = Table("also", title=case, title_justify="left")
        for column in ("reference", "ours", "difference", "tolerance"):
            table.add_column(column, justify="right")
        for row in rows:
            if row not in reported:
                values = (f"{row.reference:.6f}", f"{row.ours:.6f}", f"{row.distance:.1e}", f"{row.tolerance:.0e}")
                table.add_row(row.name, *values, style="" if row.within else "bold red")
        console.print(table)
        if done.returncode or not all(row.within for row in rows):
            failed.append(case)
    console.print(f"out of tolerance: {', '.join(failed)}" if failed else "all values within tolerance")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
