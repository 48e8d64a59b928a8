"""Names of the Hugging Face Hub: from a cache folder laid out as huggingface_hub does, and from a server of our own."""

import hashlib
import json
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import huggingface_hub.constants
import pytest
import torch

import contrafact as cf
from contrafact.cli import main
from contrafact.core import hub
from contrafact.core.artefact import save_artefact
from contrafact.editing.encoder import load_encoder
from contrafact.generators import VAE
from tests.generators.recorded import TOLERANCE, Recorded

COMMIT, LATER = "1" * 40, "2" * 40
REPO = "ann/faces"


def put(cache, files, repo=REPO, commit=COMMIT, refs=("main",)):
    """Files as huggingface_hub keeps them: blobs by their hash, links to them in the snapshot, a file for each ref."""
    base = cache / f"models--{repo.replace('/', '--')}"
    for ref in refs:
        (base / "refs").mkdir(parents=True, exist_ok=True)
        (base / "refs" / ref).write_text(commit)
    for name, content in files.items():
        blob = base / "blobs" / hashlib.sha256(content).hexdigest()
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        link = base / "snapshots" / commit / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    return base


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and no network."""
    folder = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A small generator's file."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "generator.safetensors"
    save_artefact(VAE.tiny(), path)
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory, weights):
    """A run's folder."""
    folder = tmp_path_factory.mktemp("runs") / "two"
    cf.methods.Random(num_directions=2).fit(cf.load_generator(weights), folder)
    return folder


def files_of(folder, prefix=""):
    return {prefix + path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("hf://a/b", ("a/b", "", None)),
        ("hf://a/b.c-d/x/y.pt@v1", ("a/b.c-d", "x/y.pt", "v1")),
        ("hf://a/b@refs/pr/1", ("a/b", "", "refs/pr/1")),
        ("hf://a/b@v1/x.pt", ("a/b", "x.pt", "v1")),
        (Path("hf://a/b/x.pt"), ("a/b", "x.pt", None)),
    ],
)
def test_names_have_three_parts(text, parts):
    assert hub.parse(text) == hub.HubName(*parts)


@pytest.mark.parametrize("text", ["hf://a", "hf://a/b/../../c", "hf://a/b/x@v1@v2", "hf:///", "hf://a/b@../../x"])
def test_other_texts_are_no_names(text):
    with pytest.raises(ValueError, match=r"a name on the Hub is hf://|is no revision"):
        hub.parse(text)


@pytest.mark.parametrize("name", [f"hf://{REPO}", f"hf://{REPO}/generator.safetensors@main", f"hf://{REPO}@{COMMIT}"])
def test_generators_come_from_the_cache_and_are_named_with_their_commit(name, cache, weights):
    put(cache, {"generator.safetensors": weights.read_bytes(), "README.md": b"# faces"})
    generator = cf.load_generator(name)
    assert generator.name == f"hf://{REPO}/generator.safetensors@{COMMIT}"
    latent = generator.sample(2, seed=0)
    assert torch.equal(generator(latent), cf.load_generator(weights)(latent))


def test_other_programs_files_are_read_by_the_usual_readers(cache, tmp_path):
    recorded = Recorded("stylegan2_rosinality")
    torch.save({"g_ema": recorded.state, "latent_avg": recorded["latent_avg"]}, tmp_path / "g.pt")
    put(
        cache, {"checkpoints/550000.pt": (tmp_path / "g.pt").read_bytes(), "checkpoints/args.json": b'{"lr_mlp": 0.01}'}
    )
    generator = cf.load_generator(f"hf://{REPO}/checkpoints")
    assert float((generator(recorded["w"]) - (recorded["image"] + 1) / 2).abs().max()) <= TOLERANCE
    assert generator.note["read_beside"] == ["args.json"]
    assert generator.name == f"hf://{REPO}/checkpoints/550000.pt@{COMMIT}"


def test_a_run_on_a_generator_of_the_hub_says_which_commit(cache, weights, tmp_path):
    put(cache, {"generator.safetensors": weights.read_bytes()})
    run = cf.methods.Random(num_directions=2).fit(cf.load_generator(f"hf://{REPO}"), tmp_path / "run")
    named = run.config["source"]["name"]
    assert named == f"hf://{REPO}/generator.safetensors@{COMMIT}"
    put(cache, {"generator.safetensors": b"another"}, commit=LATER)  # the branch has gone on
    again = cf.load_generator(named)
    latent = again.sample(2, seed=0)
    assert torch.equal(again(latent), run.generator(latent))
    with pytest.raises(ValueError, match="weight file"):
        cf.load_generator(f"hf://{REPO}")


def test_runs_directions_and_encoders_come_too(cache, finished):
    put(cache, {**files_of(finished), **files_of(finished, "older/")})
    for name in (f"hf://{REPO}", f"hf://{REPO}/older@main"):
        run = cf.load_run(name)
        assert torch.equal(run.directions.vectors(), cf.load_run(finished).directions.vectors())
        assert cf.load_directions(name).num_directions == 2
        assert cf.load_generator(name).name == f"{name.removesuffix('@main')}@{COMMIT}"
    assert cf.load_directions(f"hf://{REPO}/older/directions.safetensors").num_directions == 2
    with pytest.raises(ValueError, match=r"yields directions, generator, but no encoder|has no file that may be"):
        load_encoder(f"hf://{REPO}")


def test_the_cached_copy_of_a_run_is_not_written_to(cache, finished, capsys):
    put(cache, files_of(finished))
    assert main(["name", f"hf://{REPO}", "0", "smile"]) == 2
    assert (
        "is the cached copy of ann/faces on the Hub, which is only read; copy it and use the copy"
        in capsys.readouterr().err
    )


def test_commands_take_names_of_the_hub(cache, finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(cache, files_of(finished))
    name = f"hf://{REPO}"
    out = ["--samples", "1", "--frames", "3", "--out"]
    assert main(["traverse", name, *out, "one"]) == 0
    assert main(["traverse", "--generator", name, "--use", name, *out, "two"]) == 0
    first, second = sorted(Path("one").glob("*.png")), sorted(Path("two").glob("*.png"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert len(first) >= 2
    assert main(["fit", "random", "--generator", name, "--out", "three"]) == 0
    assert json.loads(Path("three/config.json").read_text())["source"]["name"] == f"{name}@{COMMIT}"


@pytest.mark.parametrize(
    ("files", "name", "message"),
    [
        (
            {"a.pt": b"x", "b.pt": b"y"},
            "",
            r"has several files that may be the generator: a\.pt, b\.pt; name one: hf://",
        ),
        ({"README.md": b"x"}, "", r"has no file that may be the generator \(\.safetensors, .*\); it has README\.md"),
        ({"a.pt": b"x"}, "/c.pt", r"ann/faces has no file or folder 'c\.pt'; it has a\.pt"),
        (
            {"a.pt": b"x"},
            "@v9",
            r"hf://ann/faces@v9 is not in the cache \(.*hub\), and HF_HUB_OFFLINE is set; fetch it",
        ),
        ({}, "", r"hf://ann/faces is not in the cache .* fetch it once with a network"),
    ],
)
def test_what_is_not_there_or_not_clear(files, name, message, cache):
    put(cache, files)
    with pytest.raises(ValueError, match=message):
        cf.load_generator(f"hf://{REPO}{name}")


def test_a_repository_without_a_run_is_none(cache):
    put(cache, {"a.pt": b"x"})
    with pytest.raises(
        ValueError, match=r"hf://ann/faces is no run: expected config\.json and result\.json, it has a\.pt"
    ):
        cf.load_run(f"hf://{REPO}")


def test_without_huggingface_hub_the_line_that_installs_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(
        ValueError, match=r"needs huggingface_hub, which is not installed: pip install 'contrafact\[hub\]'"
    ):
        cf.load_generator(f"hf://{REPO}")


class Hub(BaseHTTPRequestHandler):
    """As much of the Hub as a download asks for."""

    files: ClassVar[dict[str, bytes]] = {}

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path in (
            f"/api/models/{REPO}",
            f"/api/models/{REPO}/revision/main",
            f"/api/models/{REPO}/revision/{COMMIT}",
        ):
            siblings = [{"rfilename": name} for name in (*self.files, "../../outside.pt")]
            return self.answer(json.dumps({"id": REPO, "modelId": REPO, "sha": COMMIT, "siblings": siblings}).encode())
        content = self.files.get(re.sub(f"/{REPO}/resolve/(main|{COMMIT})/", "", path))
        if content is not None:
            return self.answer(content)
        code = {"/api/models/ann/gated": "GatedRepo", f"/api/models/{REPO}/revision/v9": "RevisionNotFound"}
        self.send_response(403 if "gated" in path else 404)
        self.send_header("X-Error-Code", code.get(path, "RepoNotFound"))
        self.send_header("Content-Length", "0")
        return self.end_headers()

    def answer(self, content):
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *args):
        """Nothing on the tests' output."""


@pytest.fixture
def server(tmp_path):
    Hub.files = {}
    served = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()


def test_what_is_fetched_once_is_there_without_a_network(tmp_path, server, weights, monkeypatch):
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def at(address):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        pattern = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", pattern)

    at(server)
    Hub.files = {"generator.safetensors": weights.read_bytes()}
    branch, exact = f"hf://{REPO}", f"hf://{REPO}/generator.safetensors@{COMMIT}"
    assert cf.load_generator(branch).name == exact
    assert not list(tmp_path.glob("**/outside.pt"))
    for name, message in (
        (f"{branch}@v9", f"{REPO} has no revision 'v9': give a branch, a tag or a commit"),
        ("hf://ann/none", r"there is no repository ann/none on the Hub, or it is private: for one of yours log in"),
        (
            "hf://ann/gated",
            r"ann/gated asks its users to agree to something: do so at https://huggingface\.co/ann/gated",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            cf.load_generator(name)
    at("http://127.0.0.1:9")
    assert [cf.load_generator(name).name for name in (branch, exact)] == [exact, exact]
    with pytest.raises(
        ValueError, match=r"hf://ann/other is not in the cache \(.*\), and the Hub cannot be reached \("
    ):
        cf.load_generator("hf://ann/other")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert [cf.load_generator(name).name for name in (branch, exact)] == [exact, exact]


def tree_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_pipelines_of_diffusers_come_without_what_is_not_read(cache, tmp_path):
    diffusers = pytest.importorskip("diffusers")
    made = cf.generators.Diffusion.tiny()
    pipeline = diffusers.DDIMPipeline(made.denoiser, diffusers.DDIMScheduler())
    pipeline.save_pretrained(tmp_path / "ddim")
    more = dict.fromkeys(
        ("unet/diffusion_pytorch_model.bin", "unet/diffusion_pytorch_model.fp16.safetensors", "all.safetensors",
         "safety_checker/model.safetensors", "unet/program.py"),
        b"never asked for",
    )  # fmt: skip
    put(cache, tree_of(tmp_path / "ddim") | more)
    generator = cf.load_generator(f"hf://{REPO}", {"steps": 2, "space": "noise"})
    assert generator.name == f"hf://{REPO}@{COMMIT}"
    again = cf.load_generator(tmp_path / "ddim", {"steps": 2, "space": "noise"})
    assert torch.equal(generator(again.sample(1, seed=0)), again(again.sample(1, seed=0)))
    wanted, place = hub._wanted(hub.parse(f"hf://{REPO}"), sorted(tree_of(tmp_path / "ddim") | more), "generator")
    assert (set(wanted), place) == (set(tree_of(tmp_path / "ddim")), "")


def test_a_variant_is_fetched_where_there_is_nothing_else(cache):
    names = ["model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.fp16.safetensors"]
    assert hub._wanted(hub.parse(f"hf://{REPO}"), names, "generator")[0] == names


def test_a_vae_of_diffusers_comes_with_its_settings(cache, tmp_path):
    pytest.importorskip("diffusers")
    cf.generators.AutoencoderKL.tiny().vae.save_pretrained(tmp_path / "vae")
    put(cache, tree_of(tmp_path / "vae"))
    assert cf.load_generator(f"hf://{REPO}").latent_dim == 256
