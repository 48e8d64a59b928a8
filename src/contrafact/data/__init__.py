"""Datasets, one per file.

>>> from contrafact import data
>>> "shapes3d" in data.CATALOG, data.Shapes3D.factor_names[0]
(True, 'floor hue')
"""

import sys

from contrafact.core.catalog import Catalog, CataloguePackage

CATALOG = Catalog("data", "dataset", helpers={"load"}, base="contrafact.core.dataset:ImageDataset")


class _Package(CataloguePackage):
    CATALOG = CATALOG


sys.modules[__name__].__class__ = _Package
