"""A table of a library that is not here, as polars' looks."""

import numpy as np


class Foreign:
    """A column of a library that is not here: values by ``to_numpy``, as polars' have."""

    __arrow_c_stream__ = None

    def __init__(self, values):
        self.values = np.array(values, dtype=object) if None in values else np.array(values)

    def to_numpy(self):
        return self.values


class ForeignTable:
    """A table of that library: names in ``columns``, types in ``schema``."""

    __arrow_c_stream__ = None
    schema = ()

    def __init__(self, **columns):
        self.columns, self.held = list(columns), {name: Foreign(values) for name, values in columns.items()}

    def __getitem__(self, name):
        return self.held[name]
