"""Pictures, tables and the report page of a finished run.

>>> from contrafact.report.figures import magnitude_labels, magnitude_range
>>> magnitude_labels(magnitude_range(3, 2.0))
['−2 σ', '0', '+2 σ']
"""
