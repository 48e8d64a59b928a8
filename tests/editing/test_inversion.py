import math

import numpy as np
import pytest
import torch
from PIL import Image

import contrafact as cf
from contrafact.core.encoder import Encoder
from contrafact.core.generator import sample_latents
from contrafact.core.pictures import to_bytes
from contrafact.core.run import Run
from contrafact.editing.encoder import fit_latent_encoder, load_encoder
from contrafact.editing.inversion import EncoderStart, InversionSettings, invert, invert_photographs
from contrafact.editing.latents import load_latents
from contrafact.evaluation.regression import RegressionSettings
from contrafact.generators.analytic import Analytic
from contrafact.generators.stylegan2 import StyleGAN2
from contrafact.generators.wrap import wrap
from tests.report.tiny_runs import Stripes


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def stylegan():
    """A small random StyleGAN2 whose layers all show."""
    torch.manual_seed(0)
    generator = StyleGAN2(16, latent_dim=12, channels=[16, 12, 8], mapping_layers=2, mapping_lr=1.0)
    return generator.freeze()


class Linear(Encoder):
    """Codes ``pixels @ weight``."""

    def __init__(self, image_shape, code_dim):
        super().__init__()
        self.image_shape, self.code_dim = image_shape, code_dim
        self.register_buffer("weight", torch.randn(math.prod(image_shape), code_dim, generator=rng(3)))

    def encode(self, images):
        return images.flatten(1) @ self.weight


# -- recovery ---------------------------------------------------------------------------------------------------------


def test_the_shipped_generators_images_are_found_again():
    generator = cf.load_generator("shapes3d")
    latents = generator.sample(2, rng(5))
    images = generator(latents).clamp(0, 1)
    found = invert(generator, images, settings=InversionSettings(steps=100, starts=2), progress=False)
    assert found.psnr.min() > 40
    assert found.latents.shape == (2, 10)
    distance = (found.latents - latents).norm(dim=1) / (generator.latent_scale() * 10**0.5)
    assert distance.max() < 0.1  # the latents themselves, not only images that look alike
    torch.testing.assert_close(generator(found.latents), found.images)


def test_a_style_based_generators_images_are_found_in_w(stylegan):
    images = stylegan(stylegan.sample(2, rng(1))).clamp(0, 1)
    settings = InversionSettings(steps=200, learning_rate=0.1, prior_weight=0.0)
    found = invert(stylegan, images, settings=settings, progress=False)
    assert found.latents.shape == (2, 12)
    assert found.psnr.min() > 35


def test_mixed_styles_need_a_latent_per_layer(stylegan):
    """Every layer with a latent of its own: no point of W makes this image, one of W+ does."""
    images = stylegan(stylegan.sample(6, rng(2)).view(1, 6, 12)).clamp(0, 1)
    shared = {"steps": 150, "learning_rate": 0.1, "starts": 2, "prior_weight": 0.0, "layer_weight": 0.0}
    in_w = invert(stylegan, images, settings=InversionSettings(**shared), progress=False)
    layered = invert(stylegan, images, settings=InversionSettings(**shared, per_layer=True), progress=False)
    assert layered.latents.shape == (1, 6, 12)
    assert layered.psnr > in_w.psnr + 6
    assert layered.psnr > 25


def test_the_pull_to_one_latent_keeps_layers_together(stylegan):
    images = stylegan(stylegan.sample(6, rng(2)).view(1, 6, 12)).clamp(0, 1)
    apart = []
    for weight in (0.0, 1.0):
        settings = InversionSettings(steps=30, starts=1, per_layer=True, layer_weight=weight)
        latents = invert(stylegan, images, settings=settings, progress=False).latents
        apart.append(float((latents - latents.mean(dim=1, keepdim=True)).norm()))
    assert apart[1] < 0.2 * apart[0]


def test_the_pull_to_the_mean_keeps_latents_small():
    generator = Analytic("sprite", size=16)
    images = generator(3.0 * torch.ones(1, 8))
    norms = [
        float(invert(generator, images, settings=InversionSettings(60, prior_weight=w), progress=False).latents.norm())
        for w in (0.0, 1.0)
    ]
    assert norms[1] < 0.5 * norms[0]


def test_an_image_does_not_depend_on_its_neighbours():
    generator = Analytic("sprite", size=16)
    images = generator(generator.sample(5, rng(9))).clamp(0, 1)
    settings = {"steps": 30, "starts": 2, "samples": 50}
    together = invert(generator, images, settings=InversionSettings(**settings, batch_size=2), progress=False)
    for n in range(5):
        alone = invert(generator, images[n : n + 1], settings=InversionSettings(**settings), progress=False)
        torch.testing.assert_close(together.latents[n], alone.latents[0], atol=1e-4, rtol=0)


def test_of_several_starts_the_best_goes_on():
    """One pixel is a sine of the latent, another tells the periods apart: most starts end in a wrong valley."""
    generator = Stripes(latent_dim=1, image_shape=(1, 1, 2))

    def forward(z):
        return torch.cat((0.5 + 0.5 * torch.sin(3 * z), 0.5 + 0.1 * z), dim=1).view(-1, 1, 1, 2)

    generator.forward = forward
    images = forward(torch.tensor([[1.5]]))
    shared = {"steps": 60, "prior_weight": 0.0, "seed": 1}
    few, many = InversionSettings(**shared, starts=1, samples=1), InversionSettings(**shared, starts=6, samples=60)
    one, six = (invert(generator, images, settings=s, network="none", progress=False) for s in (few, many))
    assert float(one.latents) < 0  # a period away
    assert float(six.latents) == pytest.approx(1.5, abs=0.01)


def test_same_seed_same_latents():
    generator = Analytic("sprite", size=16)
    images = generator(generator.sample(1, rng(9))).clamp(0, 1)
    runs = [invert(generator, images, settings=InversionSettings(steps=5), progress=False) for _ in range(2)]
    assert torch.equal(runs[0].latents, runs[1].latents)


# -- encoders ---------------------------------------------------------------------------------------------------------


def test_a_linear_world_is_inverted_by_the_start_alone():
    latents, images = torch.randn(400, 3, generator=rng()), torch.randn(3, 24, generator=rng(1))
    codes = 0.5 + latents @ images @ torch.randn(24, 5, generator=rng(2))
    start = EncoderStart(latents[:300], codes[:300], ridge=1e-9)
    torch.testing.assert_close(start(codes[300:]), latents[300:], atol=1e-3, rtol=0)


def test_the_start_is_ridge_regression():
    from sklearn.linear_model import Ridge

    latents, codes = torch.randn(300, 8, generator=rng()), torch.randn(305, 4, generator=rng(1)) * 3 + 1
    start = EncoderStart(latents, codes[:300], ridge=0.01)
    centred = (codes[:300] - codes[:300].mean(dim=0)).double().numpy()
    model = Ridge(alpha=0.01 * np.diag(centred.T @ centred).mean())
    expected = model.fit(codes[:300].double().numpy(), latents.double().numpy()).predict(codes[300:].double().numpy())
    np.testing.assert_allclose(start(codes[300:]).numpy(), expected, atol=1e-5)


def test_the_encoders_estimate_is_one_of_the_starts():
    """An encoder that knows the answer: no step is needed, though the samples are far off."""
    generator = Stripes(latent_dim=3, image_shape=(1, 4, 6))
    generator.weight.div_(50)
    generator.forward = lambda z: 0.5 + (z @ generator.weight).view(-1, 1, 4, 6)
    images = generator(torch.tensor([[2.0, -1.0, 1.5]]))
    settings = InversionSettings(steps=1, starts=3, samples=4, prior_weight=0.0)
    without = invert(generator, images, settings=settings, progress=False)
    given = invert(generator, images, encoder=Linear((1, 4, 6), 5), settings=settings, progress=False)
    assert given.psnr > without.psnr + 10


def test_an_encoder_of_latents_is_trained_once(tmp_path):
    generator = Analytic("sprite", size=16)
    settings = RegressionSettings(steps=3, batch_size=4, width=0.1)
    run = Run(tmp_path / "encoder", device="cpu", progress=False, resume=True)
    encoder = fit_latent_encoder(generator, run, settings)
    assert (encoder.code_dim, encoder.image_shape) == (8, (3, 16, 16))
    again = fit_latent_encoder(generator, tmp_path / "encoder", settings)
    for source in (again, load_encoder(tmp_path / "encoder"), load_encoder(tmp_path / "encoder/encoder.safetensors")):
        assert all(torch.equal(a, b) for a, b in zip(encoder.parameters(), source.parameters(), strict=True))
    with pytest.raises(ValueError, match=r"another configuration .*steps: 3 before, 4 now"):
        fit_latent_encoder(generator, tmp_path / "encoder", RegressionSettings(steps=4, batch_size=4, width=0.1))
    with pytest.raises(ValueError, match="does not exist"):
        load_encoder(tmp_path / "nothing.safetensors")


def test_an_encoder_of_other_images_is_refused():
    generator = Analytic("sprite", size=16)
    with pytest.raises(ValueError, match=r"the encoder takes images \(1, 4, 6\), the generator makes \(3, 16, 16\)"):
        invert(generator, torch.zeros(1, 3, 16, 16), encoder=Linear((1, 4, 6), 2), progress=False)


def test_a_generator_in_training_gets_no_gradients_and_classes_may_be_open():
    torch.manual_seed(0)
    generator = StyleGAN2.tiny()  # three classes, none chosen
    images = generator(sample_latents(generator, 1, rng(1))).clamp(0, 1).detach()
    settings = InversionSettings(steps=20, starts=2, samples=20, per_layer=True)
    found = invert(generator, images, settings=settings, progress=False)
    assert found.latents.shape == (1, 6, 12)
    assert found.psnr > 20
    assert all(parameter.grad is None for parameter in generator.parameters())


# -- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        ({"starts": -1}, "starts must be a whole number of at least 1, got -1"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0, got 0.0"),
        ({"prior_weight": -1.0}, "prior_weight must be at least 0, got -1.0"),
        ({"pixel_weight": 0.0, "perceptual_weight": 0.0}, "both 0, so nothing would pull towards the image"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        InversionSettings(**settings)


def test_images_that_do_not_fit():
    generator = Analytic("sprite", size=16)
    with pytest.raises(
        ValueError, match=r"this Analytic expects images of shape \(N, 3, 16, 16\), got \(1, 3, 20, 20\)"
    ):
        invert(generator, torch.zeros(1, 3, 20, 20))
    with pytest.raises(ValueError, match="divide bytes by 255"):
        invert(generator, torch.full((1, 3, 16, 16), 200.0))
    with pytest.raises(ValueError, match="there are no images to invert"):
        invert(generator, torch.zeros(0, 3, 16, 16))
    with pytest.raises(ValueError, match="every layer of this Analytic takes the same latent, so there is no W"):
        invert(generator, torch.zeros(1, 3, 16, 16), settings=InversionSettings(per_layer=True))


def test_a_generator_that_breaks_down():
    module = torch.nn.Sequential(torch.nn.Linear(2, 12), torch.nn.Sigmoid(), torch.nn.Unflatten(1, (3, 2, 2)))
    generator = wrap(module, 2, image_range=(0.0, 1.0))
    torch.nn.init.constant_(module[0].bias, torch.nan)
    with pytest.raises(FloatingPointError, match="became NaN or infinite; try a lower learning rate"):
        invert(generator, torch.zeros(1, 3, 2, 2), settings=InversionSettings(steps=2, samples=3), progress=False)


# -- files ------------------------------------------------------------------------------------------------------------


def test_pictures_to_latents_and_back(tmp_path):
    generator = Analytic("sprite", size=16)
    for name, pixels in zip("ab", to_bytes(generator(generator.sample(2, rng(3)))), strict=True):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    settings = InversionSettings(steps=4, samples=20)
    stored, found = invert_photographs(generator, [tmp_path], settings=settings, network="none")
    back = load_latents(stored.save(tmp_path / "latents.safetensors"))
    assert (back.names, back.space, back.facts["distance"]) == (["a", "b"], "z", "none")
    assert back.facts["settings"]["steps"] == 4
    assert back.facts["psnr"] == pytest.approx(found.psnr.tolist(), abs=1e-3)
    assert torch.equal(back.latents, found.latents)
    with Image.open(tmp_path / "b.png") as picture:
        expected = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1) / 255
    torch.testing.assert_close(back.targets[1], expected)
