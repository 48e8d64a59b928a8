"""Datasets, one per file."""

import sys

from contrafact.core.catalog import Catalog, CataloguePackage

CATALOG = Catalog("data", "dataset", helpers={"load"}, base="contrafact.core.dataset:ImageDataset")


class _Package(CataloguePackage):
    CATALOG = CATALOG


sys.modules[__name__].__class__ = _Package
