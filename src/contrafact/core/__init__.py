"""The contracts every part of contrafact meets, and what runs share.

>>> from contrafact.core.method import load_run
>>> load_run("nowhere")
Traceback (most recent call last):
ValueError: nowhere is no folder; expected a run folder written by `contrafact fit`
"""
