import csv

import numpy as np
import pytest
import torch
from PIL import Image

from contrafact.cli import main
from contrafact.core.method import load_run
from contrafact.data.load import load_dataset
from contrafact.evaluation.codes_file import EncodedImages, encode_images, names_of_codes
from contrafact.nn.factor_codes import RegressedEncoder


def test_a_table_of_codes_scores_as_the_encoder_does(vae_folder, tmp_path, capsys):
    out = tmp_path / "codes.npz"
    assert main(["encode", str(vae_folder), "--num-images", "300", "--out", str(out), "--seed", "3"]) == 0
    assert f"wrote {out}: 300 images, 6 codes, floor hue, wall hue" in capsys.readouterr().out
    run, data = load_run(vae_folder), load_dataset("shapes3d", size=16)
    with np.load(out) as stored:
        indices = stored["images"].astype(int)
        assert (np.diff(indices) > 0).all(), "drawn without repetition, in order"
        with torch.no_grad():
            expected = run.encoder(data.batch(indices)).numpy()
        np.testing.assert_allclose(stored["codes"], expected, rtol=1e-4, atol=1e-5)
        assert (stored["factors"] == data.factors_of(indices)).all()
        assert stored["factor_names"].tolist() == list(data.factor_names)
        assert stored["code_names"].tolist() == [f"code {i}" for i in range(6)]
    assert main(["evaluate", "--codes", str(out), "--metrics", "mig"]) == 0


def test_a_folder_of_pictures_keeps_its_file_and_class_names(vae_folder, tmp_path):
    rng = np.random.default_rng(0)
    for kind, number in (("cats", 3), ("dogs", 2)):
        (tmp_path / "pets" / kind).mkdir(parents=True)
        for i in range(number):
            pixels = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / kind / f"{i}, the {kind}.png")
    out = tmp_path / "codes.csv"
    assert main(["encode", str(vae_folder), str(tmp_path / "pets"), "--out", str(out)]) == 0
    with out.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["image", *(f"code {i}" for i in range(6)), "class"]
    assert [row[0] for row in rows][:1] == ["cats/0, the cats.png"]
    assert [row[-1] for row in rows] == ["cats", "cats", "cats", "dogs", "dogs"]
    with torch.no_grad():
        codes = load_run(vae_folder).encoder(load_dataset(tmp_path / "pets", size=16).batch(range(5)))
    np.testing.assert_allclose(np.array([row[1:7] for row in rows], dtype=float), codes.numpy(), rtol=1e-4, atol=1e-5)


def test_codes_alone_and_another_ending(vae_folder, tmp_path, capsys):
    out = tmp_path / "codes.npy"
    assert main(["encode", str(vae_folder), "--num-images", "5", "--out", str(out)]) == 0
    assert np.load(out).shape == (5, 6)
    assert main(["encode", str(vae_folder), "--out", str(tmp_path / "codes.xlsx")]) == 2
    assert "--out must end in .npz, .csv, .npy, got 'codes.xlsx'" in capsys.readouterr().err
    assert main(["encode", str(vae_folder), "--num-images", "0", "--out", str(out)]) == 2
    assert "num_images must be a whole number of at least 1" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"codes are written as .npz, .csv, .npy; 'a.txt' has another ending"):
        EncodedImages(np.zeros((1, 1), np.float32), ("a",), ("0",), np.zeros((1, 0), int), ()).save(tmp_path / "a.txt")


def test_an_unknown_representation_is_refused(vae_folder):
    data = load_dataset("shapes3d", size=16)
    with pytest.raises(ValueError, match="has no representation 'z'; it has none but its codes"):
        encode_images(load_run(vae_folder).encoder, data, np.arange(2), "z")


def test_codes_of_factors_bear_their_names():
    encoder = RegressedEncoder((3, 16, 16), ["hue", "size"], factor_dim=2, width=0.05)
    assert names_of_codes(encoder, 4) == ("hue 0", "hue 1", "size 0", "size 1")
    assert names_of_codes(encoder, 2) == ("hue", "size")
    assert names_of_codes(encoder, 3) == ("code 0", "code 1", "code 2")
