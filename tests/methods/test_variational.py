"""What all variational autoencoders promise: the loss is the sum the paper says; without their own term they agree."""

import json

import pytest
import torch

from contrafact.core.artefact import fingerprint
from contrafact.core.run import Run
from contrafact.methods import CATALOG
from contrafact.methods._variational import Variational
from tests.methods.blobs import Blobs

NAMES = ("vae", "beta_vae", "beta_tcvae", "factor_vae", "dip_vae", "semi_supervised_vae")
SMALL = {"latent_dim": 3, "width": 0.1, "batch_size": 8, "learning_rate": 1e-3}


def small(name: str, **settings) -> Variational:
    cls = CATALOG.get(name)
    own = {"factor_vae": {"discriminator_width": 0.02}, "semi_supervised_vae": {"num_labelled": 4}}
    return cls(**{**SMALL, **own.get(name, {}), **settings})


def quiet(folder, **settings) -> Run:
    return Run(folder, device="cpu", precision="float32", progress=False, **settings)


def test_these_are_all():
    assert {name for name in CATALOG if issubclass(CATALOG.get(name), Variational)} == set(NAMES)


@pytest.mark.parametrize(
    ("name", "settings", "total"),
    [
        ("vae", {"warmup": 0.0}, lambda v: v["kl"]),
        ("beta_vae", {"beta": 3.0}, lambda v: 3 * v["kl"]),
        ("beta_vae", {"beta": 3.0, "warmup": 1.0}, lambda v: 3 * v["kl"] / 10),
        ("beta_tcvae", {"beta": 5.0}, lambda v: v["kl"] + 4 * v["total_correlation"]),
        ("beta_tcvae", {"beta": 5.0, "estimator": "stratified"}, lambda v: v["kl"] + 4 * v["total_correlation"]),
        ("factor_vae", {"gamma": 7.0}, lambda v: v["kl"] + 7 * v["total_correlation"]),
        ("factor_vae", {"gamma": 7.0, "warmup": 1.0}, lambda v: (v["kl"] + 7 * v["total_correlation"]) / 10),
        ("dip_vae", {"off_diagonal": 2.0}, lambda v: v["kl"] + 2 * v["off_diagonal"] + 20 * v["diagonal"]),
        (
            "dip_vae",
            {"version": "ii", "off_diagonal": 2.0},
            lambda v: v["kl"] + 2 * v["off_diagonal"] + 2 * v["diagonal"],
        ),
        ("dip_vae", {"diagonal": 1.5}, lambda v: v["kl"] + 10 * v["off_diagonal"] + 1.5 * v["diagonal"]),
        ("semi_supervised_vae", {"beta": 2.0}, lambda v: 2 * v["kl"] + 64 * v["supervised"]),
    ],
)
def test_the_loss_is_the_sum_of_its_terms(name, settings, total, tmp_path):
    """The log's line of the first of ten steps."""

    class First(Run):
        def _flush_log(self, done):
            super()._flush_log(done)
            raise SystemError("seen enough")

    with pytest.raises(SystemError):
        small(name, **settings, steps=10).fit(
            Blobs().annotated(*range(8)), First(tmp_path, progress=False, precision="float32", log_every=1)
        )
    line = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])
    assert line["loss"] == pytest.approx(line["reconstruction"] + total(line), rel=1e-5)
    assert 0 <= line["active"] <= 3


@pytest.mark.parametrize(
    ("name", "settings", "steps"),
    [
        ("vae", {"network": "locatello", "likelihood": "bernoulli", "warmup": 0.0}, 8),
        ("beta_tcvae", {"beta": 1.0}, 8),
        ("beta_tcvae", {"beta": 1.0, "estimator": "stratified"}, 8),
        ("dip_vae", {"off_diagonal": 0.0}, 8),
        ("semi_supervised_vae", {"beta": 1.0, "supervised_weight": 0.0}, 8),
        ("factor_vae", {"gamma": 0.0}, 1),  # it draws two batches a step, so only the first is the same
    ],
)
def test_without_its_own_term_each_is_the_plain_vae(name, settings, steps, tmp_path):
    source = Blobs().annotated(*range(8))
    plain = small("beta_vae", beta=1.0, steps=steps).fit(source, quiet(tmp_path / "plain"))
    other = small(name, **settings, steps=steps).fit(source, quiet(tmp_path / "other"))
    for mine, theirs in zip(plain.encoder.parameters(), other.encoder.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)
    for mine, theirs in zip(plain.generator.parameters(), other.generator.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "vae"])
def test_a_cut_run_goes_on_bit_by_bit(name, tmp_path):
    method, source = small(name, steps=20), Blobs().annotated(*range(8))
    whole = method.fit(source, quiet(tmp_path / "whole", log_every=5))

    class Cut(Run):
        def _flush_log(self, done):
            if done == 15:
                raise SystemError("the machine went down")
            return super()._flush_log(done)

    settings = {"device": "cpu", "precision": "float32", "progress": False, "log_every": 5}
    with pytest.raises(SystemError):
        method.fit(source, Cut(tmp_path / "cut", save_every=0, **settings))
    again = method.fit(source, Run(tmp_path / "cut", resume=True, **settings))
    assert fingerprint(again.encoder) == fingerprint(whole.encoder)
    assert fingerprint(again.generator) == fingerprint(whole.generator)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("beta_vae", {"beta": -1.0}, "beta must be at least 0, got -1.0"),
        ("beta_tcvae", {"beta": -0.5}, "beta must be at least 0, got -0.5"),
        ("beta_tcvae", {"estimator": "weigthed"}, "unknown estimator 'weigthed'; did you mean 'weighted'"),
        ("beta_tcvae", {"estimator": "stratified", "batch_size": 17}, r"as the dataset has \(16\), got 17"),
        ("factor_vae", {"gamma": -2.0}, "gamma must be at least 0"),
        ("factor_vae", {"discriminator_width": 0.0}, "discriminator_width must be above 0, got 0.0"),
        ("dip_vae", {"version": "iii"}, "unknown version 'iii'; did you mean 'ii'"),
        ("dip_vae", {"off_diagonal": -1.0}, "off_diagonal must be at least 0"),
        ("dip_vae", {"diagonal": -1.0}, "diagonal must be at least 0"),
        ("semi_supervised_vae", {"supervised_weight": -1.0}, "supervised_weight must be at least 0"),
        ("semi_supervised_vae", {"num_labelled": 0}, "num_labelled must be a whole number"),
        (
            "semi_supervised_vae",
            {"latent_dim": 1},
            "2 labelled factors need a code each, but latent_dim is 1; raise it",
        ),
        ("semi_supervised_vae", {"supervision": "l2"}, "unknown supervision 'l2'; known: cross_entropy, squared"),
        ("beta_vae", {"network": "locatelo"}, "unknown network 'locatelo'; did you mean 'locatello'"),
        ("beta_vae", {"likelihood": "gauss"}, "unknown likelihood 'gauss'; did you mean 'gaussian'"),
        ("beta_vae", {"warmup": -0.1}, "warmup must lie in"),
        ("beta_vae", {"sigma": -1.0}, "sigma must be above 0"),
        ("beta_vae", {"batch_size": 0}, "batch_size must be a whole number"),
    ],
)
def test_bad_settings(name, settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        small(name, **{"steps": 2, **settings}).fit(Blobs().annotated(*range(8)), tmp_path)
