"""Hostile and damaged files for every reader of foreign bytes: ``python -m tests.fuzz --files 100000``.

A file may do nothing: no code of it runs, the process lives on, within ten seconds and 2 GiB, and whatever is wrong is
said by a ``ValueError`` that names the file. :mod:`tests.fuzz.targets` lists the readers, :mod:`tests.fuzz.mutate`
makes the files, :mod:`tests.fuzz.witness` sees what must not happen, :mod:`tests.fuzz.pool` reads in child processes.
"""
