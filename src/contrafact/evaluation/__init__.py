"""Metrics run on matrices, on files, on one run: results, limits, comparisons, controls."""
