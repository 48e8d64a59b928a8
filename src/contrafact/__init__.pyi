# Written by `python -m tests.stubs`; a test keeps it fresh.
from contrafact import app as app
from contrafact import bench as bench
from contrafact import core as core
from contrafact import data as data
from contrafact import editing as editing
from contrafact import evaluation as evaluation
from contrafact import generators as generators
from contrafact import losses as losses
from contrafact import methods as methods
from contrafact import metrics as metrics
from contrafact import nn as nn
from contrafact import report as report
from contrafact import training as training
from contrafact.core.method import load_run as load_run
from contrafact.core.run import Run as Run
from contrafact.data.load import load_dataset as load_dataset
from contrafact.editing.directions import load_directions as load_directions
from contrafact.editing.latents import load_latents as load_latents
from contrafact.generators.checkpoints import load_generator as load_generator
from contrafact.generators.wrap import wrap as wrap

__version__: str
__all__ = [
    "load_generator",
    "load_dataset",
    "load_run",
    "load_directions",
    "load_latents",
    "wrap",
    "Run",
    "core",
    "nn",
    "losses",
    "training",
    "data",
    "generators",
    "methods",
    "metrics",
    "evaluation",
    "editing",
    "bench",
    "report",
    "app",
]
