"""A run made ready to be passed on: the folder alone loads, and tells nothing of where it was made."""

import importlib
import json
import os
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import HfHubHTTPError
from PIL import Image

import contrafact as cf
from contrafact.cli import main
from contrafact.core.artefact import save_artefact
from contrafact.generators import VAE
from contrafact.report.share import share_run, upload_run

SECRET = "ann-of-the-hills"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run whose folder says where it was made, with a score."""
    home = tmp_path / "home" / SECRET
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    path = home / "weights" / "tiny.safetensors"
    save_artefact(VAE.tiny(), path)
    folder = home / "runs" / "first"
    cf.methods.Random(num_directions=3).fit(cf.load_generator(path), folder)
    config = json.loads((folder / "config.json").read_text())
    config["source"]["from"] = f"../../{SECRET}/weights"
    config["hyperparameters"]["encoder"] = f"/home/{SECRET}/my nets/net.pt"
    config["command"] = ["contrafact", "fit", f"--data=../{SECRET}"]
    (folder / "config.json").write_text(json.dumps(config))
    line = {
        "metric": "mig",
        "of": "run",
        "data": {"name": "photos", "source": f"C:\\Users\\{SECRET}\\photos", "image_shape": [3, 16, 16]},
        "protocol": "20 bins",
        "seed": 0,
        "scores": {"score": 0.25},
        "result": {"score": 0.25, "protocol": "20 bins", "notes": ["a | b <i>"]},
        "date": "2026-01-01",
    }
    (folder / "scores.jsonl").write_text(json.dumps(line) + "\n")
    (folder / "labels.csv").write_text(f"{SECRET},1\n")
    cf.core.direction_files.name_direction(folder, 0, "smile <b>")
    return cf.load_run(folder)


def card_of(folder):
    from huggingface_hub import ModelCard

    return ModelCard.load(folder / "README.md")


def test_the_card_says_what_the_hub_asks_for(run):
    share_run(run, "out", license="mit")
    card = card_of(Path("out"))
    assert (card.data.license, card.data.library_name) == ("mit", "contrafact")
    assert card.data.tags == ["contrafact", "disentanglement", "interpretable-directions", "random"]
    assert card.data.pipeline_tag == "unconditional-image-generation"
    assert "# random on tiny.safetensors" in card.text
    assert "| smile &lt;b> |" in card.text
    assert "| mig (1, 2, 3) | 0.250 |" in card.text
    assert "3. a \\| b &lt;i>" in card.text
    assert "![What each direction changes](strip.png)" in card.text
    with Image.open("out/strip.png") as picture:
        assert picture.width > 300


def test_nothing_says_who_made_it_or_where(run):
    shared = share_run(run, "out")
    assert sorted(shared.files) == sorted(path.name for path in Path("out").iterdir())
    assert "labels.csv" not in shared.files
    for path in Path("out").iterdir():
        assert SECRET.encode() not in path.read_bytes(), path
        assert os.fsencode(Path.cwd()) not in path.read_bytes(), path
    config = json.loads(Path("out/config.json").read_text())
    assert "command" not in config
    assert set(config["environment"]) == {"contrafact", "torch", "python"}
    assert config["hyperparameters"]["encoder"] == "net.pt"


def test_the_lines_of_the_card_load_it_from_its_folder(run, monkeypatch):
    share_run(run, "out")
    block = card_of(Path("out")).text.partition("```python\n")[2].partition("```")[0]
    assert len(block.splitlines()) == 3
    monkeypatch.chdir("out")
    found: dict = {}
    exec(block, found)
    with torch.no_grad():
        expected = run.generator(run.directions(run.generator.sample(4, seed=0), 0, 2.0))
    assert torch.equal(found["images"].detach(), expected)
    assert found["run"].directions.names[0] == "smile <b>"


def test_sharing_again_leaves_nothing_of_before(run):
    share_run(run, "out")
    first = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    (run.folder / "scores.jsonl").unlink()
    shared = share_run(run, "out")
    assert "scores.jsonl" not in {path.name for path in Path("out").iterdir()} | shared.files.keys()
    assert Path("out/generator.safetensors").read_bytes() == first["generator.safetensors"]


def test_folders_of_others_are_left_alone(run):
    Path("out").mkdir()
    Path("out/README.md").write_text("mine")
    with pytest.raises(ValueError, match=r"out holds something else \(README\.md\); name a new folder with --to"):
        share_run(run, "out")
    Path("other").mkdir()
    Path("other/thesis.tex").write_text("x")
    with pytest.raises(ValueError, match=r"other holds something else \(thesis\.tex\)"):
        share_run(run, "other")
    with pytest.raises(ValueError, match="is the run itself"):
        share_run(run, run.folder)
    with pytest.raises(ValueError, match="is a file; name a folder"):
        share_run(run, "out/README.md")
    with pytest.raises(ValueError, match="a license is given by its short name on the Hub"):
        share_run(run, "new", license="All rights: reserved\ntags: x")


class Api:
    """What the Hub was asked to do."""

    asked: list = []  # noqa: RUF012 - emptied by the fixture

    def create_repo(self, repo, **options):
        self.asked.append(("create", repo, options))

    def upload_folder(self, **options):
        there = sorted(path.name for path in Path(options["folder_path"]).iterdir())
        self.asked.append(("upload", there, options))


@pytest.fixture
def api(monkeypatch):
    Api.asked.clear()
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    return Api.asked


def test_an_upload_is_of_these_files_alone(run, api, capsys):
    assert main(["share", str(run.folder), "--to", "hf://ann/smiles@dev", "--license", "mit", "--private"]) == 0
    (_, repo, created), (_, there, uploaded) = api
    assert (repo, created) == ("ann/smiles", {"private": True, "exist_ok": True})
    assert (uploaded["repo_id"], uploaded["revision"]) == ("ann/smiles", "dev")
    assert sorted(uploaded["allow_patterns"]) == there
    assert "README.md" in there
    assert not Path(uploaded["folder_path"]).exists()
    said = capsys.readouterr().out
    assert "shared as hf://ann/smiles@dev" in said
    assert 'run = cf.load_run("hf://ann/smiles@dev")' in said


def test_a_dry_run_uploads_nothing(run, api, capsys):
    assert main(["share", str(run.folder), "--to", "hf://ann/smiles", "--dry-run"]) == 0
    assert api == []
    said = capsys.readouterr().out
    assert "generator.safetensors" in said
    assert "nothing uploaded; would be at hf://ann/smiles" in said
    assert "license unknown: say which with --license" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "hf://ann/smiles/x.pt"], "a run is shared to a whole repository, hf://ORG/REPO[@BRANCH], got"),
        (["--to", "out", "--dry-run"], "--private and --dry-run are of an upload: --to hf://ORG/REPO"),
    ],
)
def test_refusals_on_the_command_line(arguments, message, run, api, capsys):
    assert main(["share", str(run.folder), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_nobody_logged_in(run, monkeypatch):
    # Of the library that this version of huggingface_hub connects with.
    http = importlib.import_module(HfHubHTTPError.__mro__[1].__module__.partition(".")[0])

    class Refusing(Api):
        def create_repo(self, repo, **options):
            request = http.Request("POST", "https://huggingface.co/api/repos/create")
            raise HfHubHTTPError("401 Client Error: log in first", response=http.Response(401, request=request))

    monkeypatch.setattr(huggingface_hub, "HfApi", Refusing)
    with pytest.raises(ValueError, match="hf://ann/smiles: 401 Client Error: log in first"):
        upload_run(run, "hf://ann/smiles")


def test_runs_of_other_kinds_have_lines_of_their_own(tmp_path):
    module = torch.nn.Sequential(torch.nn.Linear(4, 3 * 8 * 8), torch.nn.Tanh(), torch.nn.Unflatten(1, (3, 8, 8)))
    run = cf.methods.Random(num_directions=2).fit(cf.wrap(module, latent_dim=4), tmp_path / "mine")
    shared = share_run(run, tmp_path / "out")
    assert shared.lines[2].startswith("vectors = run.directions")
    assert "strip.png" not in shared.files
    assert len(cf.load_run(tmp_path / "out").directions) == 2
