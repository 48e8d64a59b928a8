import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from torch.utils.data import DataLoader, TensorDataset

import contrafact as cf
from contrafact.core.directions import GlobalDirections
from contrafact.core.memory import MemoryImages, as_dataset, as_images
from contrafact.nn.encoders import ConvEncoder


def pictures(n=6, side=16, channels=3):
    return np.random.default_rng(0).integers(0, 256, (n, side, side, channels), dtype=np.uint8)


def test_every_form_of_the_same_pictures_gives_the_same_images():
    bytes_ = pictures()
    expected = torch.from_numpy(bytes_).movedim(3, 1).float() / 255
    forms = [
        expected,
        expected.numpy(),
        list(expected),
        bytes_,
        torch.from_numpy(bytes_).movedim(3, 1).contiguous(),
        [Image.fromarray(row) for row in bytes_],
    ]
    for form in forms:
        torch.testing.assert_close(as_images(form), expected)
    grey = as_images([Image.fromarray(row[..., 0]) for row in bytes_])
    torch.testing.assert_close(grey, expected[:, :1])
    torch.testing.assert_close(as_images(bytes_[..., 0]), expected[:, :1])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.rand(4, 8, 8), r"expected images \(N, 1, 3 or 4, H, W\), got shape \(4, 8, 8\)"),
        (torch.rand(4, 8, 8, 3), r"got shape \(4, 8, 8, 3\)"),
        (torch.rand(0, 3, 8, 8), r"got shape \(0, 3, 8, 8\)"),
        (torch.rand(2, 3, 8, 8) * 255, r"expected images in \[0, 1\], got values from .*; divide bytes by 255"),
        (torch.full((2, 3, 8, 8), torch.nan), r"got values from nan to nan"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.int64), r"expected float images in .* or bytes, got torch.int64"),
        (
            [Image.new("RGB", (8, 8)), Image.new("RGB", (9, 8))],
            r"pictures must have one size, got \[\(8, 8\), \(9, 8\)\]",
        ),
    ],
)
def test_what_is_no_batch_of_images_is_refused(images, message):
    with pytest.raises(ValueError, match=message):
        as_images(images)


def test_torch_datasets_and_loaders_keep_their_labels():
    images, labels = torch.rand(6, 3, 16, 16), torch.tensor([0, 1, 2, 0, 1, 2])
    for source in (TensorDataset(images, labels), DataLoader(TensorDataset(images, labels), 4), (images, labels)):
        data = as_dataset(source)
        assert data.labels.tolist() == labels.tolist()
        assert data.class_names == ("0", "1", "2")
        torch.testing.assert_close(data.batch([1, 5]), images[[1, 5]])
    assert as_dataset(TensorDataset(images)).labels is None
    assert as_dataset(data) is data
    with pytest.raises(ValueError, match=r"expected a dataset .* got str"):
        as_dataset("pictures")
    with pytest.raises(ValueError, match="holds no images"):
        as_dataset(TensorDataset(torch.rand(0, 3, 8, 8)))
    with pytest.raises(ValueError, match="labels must be whole numbers from 0, one for each of the 6 images"):
        MemoryImages(images, labels[:5])


def test_an_encoder_transforms_whatever_holds_images():
    encoder = ConvEncoder((3, 16, 16), 4, 0.05)
    images = as_images(pictures())
    with torch.no_grad():
        expected = encoder.eval()(images).numpy()
    encoder.train()
    for form in (images, pictures(), MemoryImages(images), DataLoader(TensorDataset(images), 5)):
        np.testing.assert_allclose(encoder.transform(form, batch_size=4), expected, rtol=1e-4, atol=1e-6)
    assert encoder.training, "left as it was"
    with pytest.raises(ValueError, match="the encoder expects images of shape"):
        encoder.transform(pictures(side=8))


def test_an_encoder_stands_in_a_pipeline():
    rng = np.random.default_rng(0)
    labels = np.arange(24) % 2
    rows = np.clip(rng.random((24, 256)) * 0.2 + labels[:, None] * 0.6, 0, 1)
    transformer = ConvEncoder((1, 16, 16), 4, 0.1).as_transformer()
    pipeline = make_pipeline(transformer, LogisticRegression())
    assert cross_val_score(pipeline, rows, labels, cv=3).shape == (3,)
    assert clone(transformer).get_params()["batch_size"] == 256
    assert transformer.fit(rows).get_feature_names_out().tolist() == ["code0", "code1", "code2", "code3"]
    images = rows.reshape(24, 1, 16, 16).astype(np.float32)
    np.testing.assert_allclose(transformer.transform(rows), transformer.transform(images), rtol=1e-5)
    with pytest.raises(ValueError, match="X has 9 features, but EncoderTransformer is expecting 256"):
        transformer.transform(rows[:, :9])
    with pytest.raises(ValueError, match=r"images \(1, 16, 16\) are rows of 256 numbers, X has n_features = 9"):
        clone(transformer).fit(rows[:, :9])


def test_latents_by_seed_and_directions_by_name():
    generator = cf.load_generator("analytic")
    latent = generator.sample(3, seed=5)
    assert torch.equal(latent, generator.sample(3, torch.Generator().manual_seed(5)))
    torch.manual_seed(1)
    first = generator.sample(3)
    torch.manual_seed(1)
    assert torch.equal(first, generator.sample(3)), "torch's own seed counts where none is given"
    with pytest.raises(ValueError, match=r"rng is a torch.Generator; for a seed write sample\(3, seed=0\)"):
        generator.sample(3, 0)
    with pytest.raises(ValueError, match="give rng or seed, not both"):
        generator.sample(3, torch.Generator(), seed=0)
    directions = GlobalDirections.of(torch.eye(generator.latent_dim)[:2], names=["wider", "taller"])
    assert torch.equal(directions(latent, "taller", 2.0), directions(latent, 1, 2.0))
    assert torch.equal(directions(latent, "taller"), directions(latent, 1, 1.0))
    with pytest.raises(ValueError, match="unknown direction 'tall'; did you mean 'taller'"):
        directions(latent, "tall", 2.0)


def test_things_say_what_they_are():
    generator = cf.load_generator("fashion-mnist")
    assert repr(generator).startswith("StyleGAN2('fashion-mnist': latents (N, ")
    assert "of w to images (N, 1, 32, 32)" in repr(generator)
    directions = GlobalDirections.of(torch.eye(6), names=list("abcdef"))
    assert repr(directions) == "GlobalDirections(6 directions in 6 dimensions: 'a', 'b', 'c', 'd', …)"
    assert len(directions) == 6
    assert repr(ConvEncoder((3, 16, 16), 4, 0.05)).startswith("ConvEncoder(images (N, 3, 16, 16) to codes (N, 4), 0.")
