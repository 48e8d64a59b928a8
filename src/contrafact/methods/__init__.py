"""Methods, one paper per file.

>>> from contrafact import methods
>>> "sefa" in methods.CATALOG, methods.SeFa().num_directions
(True, 10)
"""

import sys

from contrafact.core.catalog import Catalog, CataloguePackage

CATALOG = Catalog("methods", "method", base="contrafact.core.method:Method")


class _Package(CataloguePackage):
    CATALOG = CATALOG


sys.modules[__name__].__class__ = _Package
