"""That the VAE learns, its flow follows the codes, and a cut run goes on bit by bit."""

import pytest
import torch

from contrafact.core.run import Run
from contrafact.methods.vae import VAE
from contrafact.nn.encoders import GaussianEncoder
from tests.methods.blobs import Blobs


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_learns_and_its_flow_follows_the_codes(tmp_path, likelihood):
    method = VAE(
        latent_dim=4, width=0.2, steps=400, batch_size=16, learning_rate=3e-3, likelihood=likelihood, flow_layers=4,
        flow_steps=200,
    )  # fmt: skip
    run = Run(tmp_path, precision="float32", progress=False)
    # On nearly black images the Gaussian's gradient vanishes in the sigmoid; on grey ones Bernoulli's is weak.
    blobs = Blobs() if likelihood == "bernoulli" else Blobs(0.4, 0.9)
    artefacts = method.fit(blobs, run)
    images = blobs.batch(range(16))
    blank_error = images.var(dim=0).mean()  # of the mean image
    with torch.no_grad():
        assert (artefacts.generator(artefacts.encoder(images)) - images).square().mean() < 0.5 * blank_error
        codes = artefacts.encoder(images)
        drawn = artefacts.generator.sample(2000, torch.Generator().manual_seed(0))
    assert artefacts.generator.space == "w"
    torch.testing.assert_close(drawn.mean(dim=0), codes.mean(dim=0), atol=0.3, rtol=0)
    torch.testing.assert_close(drawn.std(dim=0), codes.std(dim=0), atol=0.35, rtol=0)
    assert artefacts.generator.note["active_latents"] >= 2
    assert artefacts.generator.note["trained_on"] == "blobs"


def test_resumes_in_the_second_stage_bit_by_bit(tmp_path):
    method = VAE(latent_dim=2, width=0.1, steps=10, batch_size=4, flow_layers=2, flow_steps=20)
    whole = method.fit(Blobs(), Run(tmp_path / "whole", progress=False, log_every=5))

    class Cut(Run):
        def _flush_log(self, done):
            if done == 20:
                raise SystemError("the machine went down")
            return super()._flush_log(done)

    with pytest.raises(SystemError):
        method.fit(Blobs(), Cut(tmp_path / "cut", progress=False, log_every=5, save_every=0))
    again = method.fit(Blobs(), Run(tmp_path / "cut", progress=False, log_every=5, resume=True))
    for name in ("encoder", "generator"):
        expected, got = getattr(whole, name).state_dict(), getattr(again, name).state_dict()
        assert all(torch.equal(expected[key], got[key]) for key in expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"warmup": 1.5}, "warmup must lie in"),
        ({"batch_size": 0}, "batch_size must be a whole number"),
        ({"likelihood": "gauss"}, "unknown likelihood 'gauss'; did you mean 'gaussian'"),
        ({"latent_dim": -2}, "latent_dim must be a whole number"),
        ({"sigma": 0.0}, "sigma must be above 0"),
    ],
)
def test_bad_settings(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        VAE(**settings).fit(Blobs(), tmp_path)


def test_a_small_dataset_is_encoded_once_for_the_flow(tmp_path, monkeypatch):
    encoded = []
    posterior = GaussianEncoder.posterior
    monkeypatch.setattr(GaussianEncoder, "posterior", lambda self, x: encoded.append(len(x)) or posterior(self, x))
    VAE(latent_dim=2, width=0.1, steps=1, batch_size=4, flow_layers=2, flow_steps=1).fit(Blobs(), tmp_path)
    assert encoded[:2] == [4, 16]
