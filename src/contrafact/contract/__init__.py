"""What every item promises, as checks that run on anybody's item: the tests' on ours, ``contrafact check`` on yours.

Each module holds one kind's checks: plain functions of a subject that pass, or raise
:class:`~contrafact.contract.promise.Broken` with what to do. Their docstrings' first lines are what is promised.
"""
