"""Methods of every kind of schedule train on after the end, at a rate changed by consent, and begin from weights."""

import dataclasses
import shutil

import pytest

from contrafact.contract.method import Subject
from contrafact.core.files import read_json
from contrafact.core.run import Run
from contrafact.data.load import load_dataset
from contrafact.generators.analytic import Analytic
from contrafact.methods import CATALOG

# A rate of its own for two groups, a falling rate, drops, a rate set in every step, two networks against each other,
# and stages.
NAMES = ["latent_discovery", "beta_vae", "latentclr", "moco", "cd_gan", "contralord", "zerodim"]


@pytest.fixture(scope="module")
def sources():
    return {"generator": Analytic.tiny(), "images": load_dataset("shapes3d", size=16, labels=400, factors=["shape"])}


def fit(method, source, folder, **options):
    run = Run(folder, device="cpu", precision="float32", progress=False, log_every=2, **options)
    return weights_of(method.fit(source, run).artefacts(), source)


def weights_of(learned, source):
    modules = [module for module in (learned.encoder, learned.directions, learned.generator) if module is not None]
    return [p.detach().clone() for module in modules if module is not source for p in module.parameters()]


def distance(first, second):
    return sum(float((a - b).abs().sum()) for a, b in zip(first, second, strict=True))


@pytest.mark.filterwarnings("ignore:mode collapse")
@pytest.mark.parametrize("name", NAMES)
def test_a_method_trains_on_and_a_changed_rate_acts(name, sources, tmp_path):
    method = Subject(CATALOG.get(name), tmp_path).tiny()
    source, grows = sources[method.source], method.grows()
    rates = [f.name for f in dataclasses.fields(method) if f.name.endswith("rate")]
    longer = dataclasses.replace(method, **{grows: getattr(method, grows) + 4})
    slow = dataclasses.replace(longer, **dict.fromkeys(rates, 1e-9))
    whole = fit(method, source, tmp_path / "run", keep_checkpoint=True)
    shutil.copytree(tmp_path / "run", tmp_path / "slow")
    moved = distance(fit(longer, source, tmp_path / "run", resume=True), whole)
    assert 0 < distance(fit(slow, source, tmp_path / "slow", resume=True, change=rates), whole) < 0.1 * moved
    assert set(read_json(tmp_path / "slow" / "config.json")["changes"][0]["changed"]) == {grows, *rates}


@pytest.mark.filterwarnings("ignore:mode collapse")
@pytest.mark.parametrize("name", NAMES)
def test_a_method_begins_from_weights(name, sources, tmp_path):
    method = Subject(CATALOG.get(name), tmp_path).tiny()
    source = sources[method.source]
    rates = [f.name for f in dataclasses.fields(method) if f.name.endswith("rate")]
    first = fit(method, source, tmp_path / "first")
    still = dataclasses.replace(method, **dict.fromkeys(rates, 1e-9))
    begun = fit(still, source, tmp_path / "begun", seed=7, begin_from=tmp_path / "first")
    anew = fit(still, source, tmp_path / "anew", seed=7)
    assert distance(begun, first) < 0.02 * distance(anew, first)
