"""Metrics run on matrices, on files, on one run: results, limits, comparisons, controls.

>>> from contrafact.evaluation.result import info_of
>>> info_of("mig").low, info_of("mig").high
(0.0, 1.0)
"""
