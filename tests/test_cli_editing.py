"""The editor's commands: name, traverse, compare, plane, cube, study, export, invert, edit."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import contrafact as cf
from contrafact.cli import main
from contrafact.core.pictures import to_bytes
from contrafact.editing.latents import load_latents


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*arguments, code=0):
    try:
        found = main([str(argument) for argument in arguments])
    except SystemExit as stopped:
        found = stopped.code
    assert found == code, f"exit code {found}"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A tiny VAE, DisCo's directions on it with an encoder, and random ones."""
    folder = tmp_path_factory.mktemp("runs")
    cpu = ["--device", "cpu", "--precision", "float32"]
    vae = ["--data", "shapes3d", "--size", 16, "--width", 0.1, "--latent-dim", 4, "--batch-size", 8, "--steps", 30]
    run("fit", "vae", *vae, *cpu, "--out", folder / "vae")
    small = ["--num-directions", 4, "--code-dim", 4, "--encoder-width", 0.1, "--directions-per-step", 4, "--steps", 2]
    run("fit", "disco", "--generator", folder / "vae", "--preset", "quick", *small, *cpu, "--out", folder / "disco")
    run("fit", "random", "--generator", folder / "vae", "--num-directions", 6, *cpu, "--out", folder / "random")
    return folder


@pytest.fixture
def disco(runs):
    """The run with its names as fitted, whatever a test before called them."""
    path = runs / "disco" / "directions.safetensors"
    content = path.read_bytes()
    yield runs / "disco"
    path.write_bytes(content)


@pytest.fixture
def photographs(runs):
    """Two pictures the generator can make, and one of another size."""
    generator = cf.load_run(runs / "vae").generator
    images = generator(generator.sample(2, torch.Generator().manual_seed(3)))
    for name, pixels in zip(("one", "two"), to_bytes(images), strict=True):
        Image.fromarray(pixels).save(f"{name}.png")
    Image.new("RGB", (40, 20), "red").save("wide.png")
    return ["one.png", "two.png"]


# -- names ------------------------------------------------------------------------------------------------------------


def test_a_name_is_used_everywhere(runs, capsys):
    shutil.copytree(runs / "random", "mine")
    run("name", "mine", 3, "rotate it")
    assert capsys.readouterr().out == "direction 3 of mine is called 'rotate it' now\n"
    run("name", "mine")
    assert capsys.readouterr().out.splitlines()[2:5] == ["2  direction 2", "3  rotate it", "4  direction 4"]
    run("traverse", "mine", "--directions", "rotate it", "--samples", 1, "--frames", 3, "--out", "t")
    assert [p.name for p in Path("t").glob("direction_*")] == ["direction_03.png"]
    assert "contrafact name mine 3" in capsys.readouterr().out
    run("report", "mine", "--samples", 1, "--out", "report.html")
    assert "rotate it" in Path("report.html").read_text()
    run("edit", "mine", "--latent", 1, "--direction", "rotate it")
    assert load_latents("edited/edited.safetensors").facts["edit"] == [["rotate it", 2.0]]
    run("name", "mine", "rotate it", "turn")
    assert cf.load_run("mine").directions.names[3] == "turn"


# -- strips -----------------------------------------------------------------------------------------------------------


def test_directions_travel(disco, runs, capsys):
    run("name", disco, 2, "hue")
    run("export", disco, "--directions", "hue", 0, "--out", "mine.safetensors")
    shown = capsys.readouterr().out
    assert "wrote mine.safetensors: hue, direction 0" in shown
    again = shown.strip().splitlines()[-1].split()  # the command it suggests works
    run(*again[1:], "--samples", 1, "--frames", 3)
    assert {p.name for p in Path("pictures").glob("direction_*")} == {"direction_00.png", "direction_01.png"}
    run("traverse", "--generator", runs / "vae", "--use", "mine.safetensors", code=2)
    assert "name a folder for them with --out" in capsys.readouterr().err
    run("traverse", "--generator", "shapes3d", "--use", "mine.safetensors", "--out", "x", code=2)
    assert "live in 4 latent dimensions but the generator has 10" in capsys.readouterr().err


def test_truncated_start(disco):
    run("traverse", disco, "--samples", 1, "--frames", 3, "--truncation", 0, "--out", "mean")
    run("traverse", disco, "--samples", 1, "--frames", 3, "--truncation", 0, "--seed", 5, "--out", "other")
    assert Path("mean/traversal.png").read_bytes() == Path("other/traversal.png").read_bytes()


def test_a_video_without_its_package(disco, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    run("traverse", disco, "--video", "--out", "v", code=2)
    assert "pip install 'contrafact[video]'" in capsys.readouterr().err
    assert not Path("v").exists()


def test_compare(disco, runs, capsys):
    run("compare", disco, runs / "random", "--directions", 1, 3, "--samples", 1, "--frames", 3)
    assert "wrote comparison/comparison.png and 2 strips beside it" in capsys.readouterr().out
    assert {p.name for p in Path("comparison").iterdir()} == {"comparison.png", "compare_01.png", "compare_03.png"}
    run("compare", disco, code=2)
    assert "a comparison needs at least two runs, got 1" in capsys.readouterr().err


# -- maps -------------------------------------------------------------------------------------------------------------


def test_plane(disco, runs, capsys):
    run("plane", disco, 0, "direction 2", "--steps", 9, "--pictures", 3, "--out", "p")
    assert "wrote p/plane.png, p/plane_images.png" in capsys.readouterr().out
    run("plane", runs / "random", 0, 1, "--steps", 9, "--pictures", 3, "--out", "q", "--encoder", disco)
    assert Path("q/plane.png").exists()
    run("plane", runs / "random", 0, 1, code=2)
    assert "has no encoder to read the images with; name one with --encoder" in capsys.readouterr().err


def test_plane_of_factors(disco, capsys, monkeypatch):
    Path("mine.py").write_text(
        "def colour(images):\n    return images.mean(dim=(2, 3)).numpy()\n\n\ncolour.names = ('red', 'green', 'blue')\n"
    )
    predictor = ["--width", 0.1, "--steps", 2, "--device", "cpu"]
    run("fit", "attribute_predictor", "--data", "shapes3d", "--size", 16, *predictor, "--out", "judge")
    seen = []
    monkeypatch.setattr("contrafact.report.planes.write_plane", lambda mapped, _: seen.append(mapped) or [])
    for name in ("mine.py:colour", "judge"):
        run("plane", disco, 0, 1, "--steps", 3, "--pictures", 2, "--predictor", name)
    assert seen[0].attributes == ("red", "green", "blue")
    assert seen[1].attributes == ("floor hue", "wall hue", "object hue", "scale", "shape", "orientation")
    assert seen[1].values.min() >= 0
    assert seen[1].values.max() <= 1
    run("plane", disco, 0, 1, "--predictor", "judge", "--encoder", disco, code=2)
    assert "give --predictor or --encoder, one of the two" in capsys.readouterr().err


def test_cube(disco, photographs, capsys):
    factors = ["wall hue", "floor hue", "object hue"]
    run("cube", disco, "--factors", *factors, "--values", 3, "--out", "c.png")
    shown = capsys.readouterr().out
    assert all(f"{factor}: code " in shown for factor in factors)
    assert Path("c.png").read_bytes().startswith(b"\x89PNG")
    run("cube", disco, "--factors", "wall", "floor hue", "object hue", code=2)
    assert "unknown factor of shapes3d 'wall'; did you mean" in capsys.readouterr().err
    run("cube", disco, "--data", ".", code=2)
    assert "are not known; name a dataset with --data" in capsys.readouterr().err


# -- studies ----------------------------------------------------------------------------------------------------------


def test_study(disco, runs, capsys):
    small = ["--participants", 2, "--images", 1, "--pool", 4, "--directions", 0, 1]
    run("study", "make", disco, runs / "random", "--out", "s", *small)
    assert "wrote s: a folder for each of 2 participants" in capsys.readouterr().out
    run("study", "score", "s", code=2)
    assert "holds no answers yet" in capsys.readouterr().err
    for path in Path("s").rglob("*.csv"):
        head, *rows = csv.reader(path.read_text().splitlines())
        path.write_text("\n".join(",".join(row) for row in [head, *([r[0], "yes", "no"] for r in rows)]))
    run("study", "score", "s")
    shown = capsys.readouterr().out
    assert "2 participants, 4 directions" in shown
    assert "disco " in shown
    assert json.loads(Path("s/key.json").read_text())["settings"]["pool"] == 4
    run("study", "score", "s", "t", code=2)
    assert "name one folder of answers to score, got 2" in capsys.readouterr().err
    run("study", "make", disco, "--out", "s", code=2)
    assert "s is not empty" in capsys.readouterr().err


# -- photographs ------------------------------------------------------------------------------------------------------


def test_a_photograph_is_edited_and_its_latents_used_again(disco, photographs, capsys):
    run("name", disco, 1, "smile")
    arguments = ["--direction", "smile", 3, "--by", 1.5, -1, "--steps", 20]
    run("edit", disco, "--image", *photographs, *arguments, "--out", "e")
    shown = capsys.readouterr().out
    assert "one: PSNR" in shown
    assert "note: LPIPS is not at hand" in shown
    assert {p.name for p in Path("e").iterdir()} == {
        "edit.png",
        "edited.safetensors",
        "latents.safetensors",
        "one_edited.png",
        "two_edited.png",
    }
    finished = cf.load_run(disco)
    stored, moved = load_latents("e/latents.safetensors"), load_latents("e/edited.safetensors")
    directions = finished.directions
    expected = directions(directions(stored.latents, 1, 1.5), 3, -1.0)
    torch.testing.assert_close(moved.latents, expected)
    pixels = to_bytes(finished.generator(expected))
    np.testing.assert_array_equal(np.asarray(Image.open("e/two_edited.png")), pixels[1])

    run("edit", disco, "--latents", "e/latents.safetensors", "--direction", "smile", "--by=-2", "--out", "f")
    again = load_latents("f/edited.safetensors")
    torch.testing.assert_close(again.latents, directions(stored.latents, 1, -2.0))
    run("traverse", disco, "--latents", "e/latents.safetensors", "--directions", "smile", "--frames", 3, "--out", "t")
    assert Path("t/direction_01.png").exists()


def test_edits_start_at_seeds(disco):
    run("edit", disco, "--latent", 7, 8, "--direction", 0, "--by", 1)
    moved = load_latents("edited/edited.safetensors")
    finished = cf.load_run(disco)
    latent = finished.generator.sample(1, torch.Generator().manual_seed(8))
    torch.testing.assert_close(moved.latents[1:], finished.directions(latent, 0, 1.0))
    assert moved.names == ["seed 7", "seed 8"]


def test_invert_then_edit(disco, runs, photographs, capsys):
    run("invert", *photographs, "--generator", runs / "vae", "--steps", 15, "--network", "none", "--encoder", disco)
    shown = capsys.readouterr().out
    assert "note:" not in shown
    assert "wrote inverted/latents.safetensors, inverted/inversion.png" in shown
    assert Path("inverted/one_reconstruction.png").exists()
    run("edit", disco, "--latents", "inverted/latents.safetensors", "--direction", 2)
    run(
        "edit",
        "--generator",
        runs / "vae",
        "--use",
        disco,
        "--latents",
        "inverted/latents.safetensors",
        "--direction",
        2,
    )


def test_an_encoder_is_trained_on_the_way(runs, photographs):
    arguments = ["--steps", 2, "--train-encoder", 2, "--device", "cpu"]
    run("invert", photographs[0], "--generator", runs / "vae", *arguments)
    assert Path("inverted/encoder/encoder.safetensors").exists()
    run("invert", photographs[0], "--generator", runs / "vae", "--steps", 2, "--encoder", "inverted/encoder")


def test_fitting(disco, photographs, capsys):
    run("edit", disco, "--image", "wide.png", "--direction", 0, "--steps", 2, code=2)
    assert "wide.png is 40×20 pixels, the generator makes 16×16" in capsys.readouterr().err
    for fit in ("crop", "resize"):
        run("edit", disco, "--image", "wide.png", "--direction", 0, "--steps", 2, "--fit", fit)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["edit", "DISCO", "--direction", 0], "say what to edit: --image FILE, --latents FILE or --latent SEED"),
        (["edit", "DISCO", "--direction", 0, "--latent", 1, "--image", "x.png"], "say what to edit"),
        (["edit", "DISCO", "--latent", 1], "name a direction with --direction"),
        (["edit", "DISCO", "--latent", 1, "--direction", "smiel"], "unknown direction 'smiel'"),
        (
            ["edit", "DISCO", "--latent", 1, "--direction", 0, 1, 2, "--by", 1, 2],
            "--by takes one number, or one for each direction (3); got 2",
        ),
        (["edit", "--latent", 1, "--direction", 0], "name a run folder, or a generator with --generator"),
        (["edit", "DISCO", "--image", "x.png", "--direction", 0], "x.png does not exist; expected a picture"),
        (["edit", "DISCO", "--latents", "x", "--direction", 0], "x does not exist; expected a file of latents"),
        (
            ["edit", "DISCO", "--latent", 1, "--direction", 0, "--layers", 0, 1],
            "all of its layers take the same latent",
        ),
        (["edit", "DISCO", "--image", "wide.png", "--fit", "crop", "--direction", 0, "--per-layer"], "there is no W+"),
        (["edit", "DISCO", "--latent", 1, "--direction", 0, "--truncation", 2], "truncation must lie in [0, 1], got 2"),
        (["invert", "wide.png"], "name the generator with --generator"),
        (["invert", "wide.png", "--generator", "shapes4d"], "unknown generator 'shapes4d'"),
        (["invert", "wide.png", "--generator", "shapes3d", "--label", 3], "label"),
        (
            ["invert", "wide.png", "--generator", "shapes3d", "--encoder", "x", "--train-encoder", 3],
            "give --encoder or --train-encoder, one of the two",
        ),
        (["name", "DISCO", 9, "x"], "direction 9 does not exist; there are 4, from 0"),
        (["name", "DISCO", 0], "say what direction 0 shall be called"),
        (["name", "nowhere"], "nowhere does not exist; expected a run folder"),
        (["export", "DISCO", "--out", "x.txt"], "must be called *.safetensors or *.npy or *.npz or *.pt, got 'x.txt'"),
        (["plane", "DISCO", 0, 0], "two different directions span a plane"),
    ],
)
def test_bad_input(arguments, message, disco, photographs, capsys):
    run(*[disco if argument == "DISCO" else argument for argument in arguments], code=2)
    shown = capsys.readouterr().err.strip().splitlines()
    assert message in shown[-1]
    assert len(shown) == 1


def test_images_are_truncated_in_every_space(capsys):
    """In Z only the image can be: its noise is normalised, so a shorter one is the same image."""
    for space in ("w", "z"):
        run("fit", "random", "--generator", "fashion-mnist", "--space", space, "--num-directions", 2, "--out", space)
        for truncation in ("1", "0.5", "0"):
            run(
                "edit",
                space,
                "--latent",
                1,
                2,
                "--direction",
                0,
                "--by",
                0,
                "--truncation",
                truncation,
                "--out",
                truncation,
            )
        images = {
            t: [np.asarray(Image.open(p), float) for p in sorted(Path(t).glob("*edited.png"))]
            for t in ("1", "0.5", "0")
        }
        whole, half, none = (np.abs(two[0] - two[1]).mean() for two in images.values())
        assert none < 1 < half < whole
    run("fit", "random", "--generator", "fashion-mnist", "--set", "space=z", "--set", "truncation=0.5", "--out", "own")
    assert cf.load_run("own").generator.truncation == 0.5
