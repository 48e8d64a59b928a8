"""Every method's settings as they stand in the keys of cells that are kept: ``python -m tests.bench.settings``.

Written anew, it takes in methods that are new; a setting that an old method has gained stays out, and belongs in the
method's ``older``.
"""

import json
from pathlib import Path

from contrafact.core.settings import flat_fields
from contrafact.methods import CATALOG

RECORD = Path(__file__).with_name("settings.json")


def current():
    """Names of all settings, by the catalogued method that has them."""
    return {name: sorted(flat_fields(CATALOG.get(name))) for name in CATALOG.own_names()}


def main():
    known = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    lines = (f"{json.dumps(name)}: {json.dumps(known.get(name, found))}" for name, found in sorted(current().items()))
    RECORD.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
