"""Metrics, one per file, and ways to run many of them: ``evaluate``, ``evaluate_encoder``, ``compare``.

>>> from contrafact import metrics
>>> factors = [[i % 4, i // 4 % 4] for i in range(400)]
>>> round(metrics.mig(factors, factors).score, 3)  # codes that are the factors
1.0
"""

import importlib
import sys
from typing import Any

from contrafact.core.catalog import Catalog, CataloguePackage

CATALOG = Catalog("metrics", "metric")
# Imported on first use, as the metrics themselves are.
_FUNCTIONS = {
    "evaluate": "evaluation.codes",
    "evaluate_encoder": "evaluation.codes",
    "Evaluation": "evaluation.result",
    "evaluate_files": "evaluation.tables",
    "compare": "evaluation.compare",
    "compare_runs": "evaluation.compare",
    "rank_methods": "evaluation.ranks",
    "smallest_p": "evaluation.ranks",
    "summarize": "evaluation.paper",
    "Running": "evaluation.running",
    "scorer": "evaluation.scorer",
    "Codes": "core.encoding",
    "active_codes": "core.active",
    "active_by_kl": "core.active",
}


class _Package(CataloguePackage):
    CATALOG = CATALOG

    def __getattr__(self, name: str) -> Any:
        if name in _FUNCTIONS:
            return getattr(importlib.import_module(f"contrafact.{_FUNCTIONS[name]}"), name)
        try:
            return super().__getattr__(name)
        except ModuleNotFoundError as error:
            # Where contrafact-metrics alone is installed the package's other rooms are missing, too.
            if error.name != "torch" and not str(error.name).startswith("contrafact."):
                raise
            raise ModuleNotFoundError(f"metric {name!r} needs torch: pip install contrafact", name="torch") from error

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *_FUNCTIONS})


sys.modules[__name__].__class__ = _Package
