"""Kills: whatever ends a command, at whatever moment, starting it again gives what an undisturbed one gives.

``python -m tests.kill --lives 500 --races 70 --jobs 2 --seed 0`` (or ``make kill``). For each scenario the command is
run once undisturbed. A life then starts the same command in a child process, ends it before its time, once or several
times, starts it again until it finishes, and compares every file, byte by byte, with the undisturbed one's.
A race starts two commands together in one folder: it must end as if one had come after the other, or been refused.
"""
