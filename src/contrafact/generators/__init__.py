"""Generator architectures, one per file.

A file that defines a class of its own name is an entry. The class has ``tiny()``, a small instance with random weights
on which the contract test runs; a module-level ``read(content, settings)``, where there is one, recognises other
programs' checkpoints (see ``checkpoints.py``).

>>> from contrafact import generators
>>> "stylegan2" in generators.CATALOG, generators.StyleGAN2.tiny().space
(True, 'w')
"""

import sys

from contrafact.core.catalog import Catalog, CataloguePackage

CATALOG = Catalog("generators", "generator", helpers={"checkpoints"}, base="contrafact.core.generator:Generator")


class _Package(CataloguePackage):
    CATALOG = CATALOG


sys.modules[__name__].__class__ = _Package
