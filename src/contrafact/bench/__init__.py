"""The one place that joins data, generators, methods and metrics: scoring runs, controls, tables of papers.

>>> from contrafact.bench.recipe import recipe_names
>>> "disco-table1" in recipe_names()
True
"""
