"""Write the tables of docs/generators.md: ``python docs/checkpoints/rows.py``, from the repository's root.

A row for each kind of file that tests/generators/kinds has: what is read of it and how far its images are from those
that the original program made (small random weights, recorded), or what is said of it where it is refused.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parents[1]))

from tests.generators.kinds import Kind, kinds, measure, refusal  # noqa: E402
from tests.generators.recorded import Recorded  # noqa: E402

from contrafact.generators._nearest import LAYOUTS, patterns  # noqa: E402

PAGE = FOLDER.parent / "generators.md"
FOUND = FOLDER / "found.json"
"""What was measured, by kind: a difference, or a message."""
READ = "| family | program | file | what is read | difference, at most |\n|---|---|---|---|---|\n"
REFUSED = "| file | what is said of it |\n|---|---|\n"


def find(kind: Kind) -> float | str:
    """What reading one such file gives: a difference of two digits, or a message."""
    with tempfile.TemporaryDirectory() as folder:
        if kind.recorded is None:
            return refusal(kind, Path(folder))
        return float(f"{measure(kind, Path(folder)):.1e}")


def _same(before: float | str | None, now: float | str) -> float | str:
    """What was found before where it is said alike: other digits are another processor's, and no news."""
    both = isinstance(before, float) and isinstance(now, float)
    return before if both and spoken(before) == spoken(now) else now


def spoken(difference: float) -> str:
    """The power of ten above a difference, 1e-7 at least: the digits are another processor's."""
    return f"1e{math.ceil(math.log10(max(difference, 1e-7)))}"


def read_table(found: dict[str, float | str]) -> str:
    """The kinds that are read."""
    rows = [
        f"| {kind.family} | {kind.program} | {kind.file} | {kind.read} | {spoken(float(found[kind.name]))} |\n"
        for kind in kinds()
        if kind.recorded is not None
    ]
    return READ + "".join(rows)


def refused_table(found: dict[str, float | str]) -> str:
    """The kinds that are not."""
    rows = [
        f"| {kind.family}, {kind.program}, {kind.file}: {kind.read} | {_cell(str(found[kind.name]))} |\n"
        for kind in kinds()
        if kind.recorded is None
    ]
    return REFUSED + "".join(rows)


def layouts() -> dict[str, dict[str, int]]:
    """The names that all files of a program have, for the message about a file that is like them."""
    found: dict[str, dict[str, int]] = {}
    # A recording's first kind is the program that made it, others put it into something.
    first = {kind.recorded: kind for kind in reversed(kinds()) if isinstance(kind.recorded, str)}
    for recorded, kind in first.items():
        state = Recorded(recorded).state
        if state:
            label, names = f"{kind.family} ({kind.program})", patterns(state)
            found[label] = {name: found.get(label, names)[name] for name in names if name in found.get(label, names)}
    return {label: dict(sorted(names.items())) for label, names in sorted(found.items())}


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;")


def main() -> None:
    """Read every kind and write both tables into the page, and the names of what is read for the reader of others."""
    LAYOUTS.write_text(json.dumps(layouts(), indent=1) + "\n", encoding="utf-8")
    before = json.loads(FOUND.read_text(encoding="utf-8")) if FOUND.exists() else {}
    found = {kind.name: _same(before.get(kind.name), find(kind)) for kind in kinds()}
    FOUND.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    text = PAGE.read_text(encoding="utf-8")
    for header, table in ((READ, read_table(found)), (REFUSED, refused_table(found))):
        begin = text.index(header)
        end = text.find("\n\n", begin) + 1 or len(text)
        text = text[:begin] + table + text[end:]
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
