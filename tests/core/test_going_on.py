import dataclasses
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from contrafact.cli import main
from contrafact.cli.fit import _with_changes
from contrafact.core.artefact import fingerprint
from contrafact.core.files import read_json, write_json
from contrafact.core.going_on import differences, put_rates, rates_of, take_weights
from contrafact.core.method import load_run
from contrafact.core.run import CHECKPOINT, CONFIG, LOG, RESULT, SCORES, Run, read_log
from contrafact.data.load import load_dataset
from contrafact.editing.latents import StoredLatents
from contrafact.evaluation.sampling import dataset_of
from contrafact.methods.lord import LORD
from contrafact.methods.sefa import SeFa
from contrafact.methods.vae import VAE
from contrafact.report.comparison import contenders_of
from tests.core.toy import Toy, toy_generator, toy_run


def fit(folder, method=None, **options):
    return (method or Toy()).fit(toy_generator(), toy_run(folder, **options)).directions.weight


@pytest.fixture
def cut(tmp_path, monkeypatch):
    """A run that ended in step 50 of 60; its last checkpoint is of step 40."""

    def explode(step):
        if step == 50:
            raise RuntimeError("the machine caught fire")

    with monkeypatch.context() as patch:
        patch.setattr(Toy, "at_step", staticmethod(explode))
        with pytest.raises(RuntimeError):
            fit(tmp_path / "cut")
    return tmp_path / "cut"


# -- more steps -------------------------------------------------------------------------------------------------------


def test_a_finished_run_trains_on(tmp_path, capsys):
    run = tmp_path / "run"
    fit(run, Toy(steps=30), keep_checkpoint=True)
    assert (run / CHECKPOINT).exists()
    (run / SCORES).write_text("{}\n")
    assert fit(run, Toy(steps=60), resume=True, keep_checkpoint=True) is not None
    assert "from step 30 on: steps 60, was 30" in capsys.readouterr().err
    config = read_json(run / CONFIG)
    assert config["hyperparameters"]["steps"] == 60
    assert config["changes"] == [{"step": 30, "changed": {"steps": [30, 60]}}]
    assert [line["step"] for line in read_log(run / LOG)] == [20, 30, 40, 60]
    assert not (run / SCORES).exists()
    assert (run / "scores-30-steps.jsonl").exists()
    fit(run, Toy(steps=80), resume=True)
    assert not (run / CHECKPOINT).exists()


def test_a_run_killed_while_it_trains_on_goes_on(tmp_path, monkeypatch):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        fit(folder, Toy(steps=30), keep_checkpoint=True)
    expected = fit(whole, Toy(steps=60), resume=True)
    with monkeypatch.context() as patch:
        patch.setattr(Toy, "at_step", staticmethod(lambda step: sys.exit(9) if step == 45 else None))
        with pytest.raises(SystemExit):
            fit(killed, Toy(steps=60), resume=True)
    assert not (killed / RESULT).exists()
    with pytest.raises(ValueError, match="has not finished; go on with"):
        load_run(killed)
    assert torch.equal(fit(killed, Toy(steps=60), resume=True), expected)


def test_without_the_checkpoint_it_says_what_to_do(tmp_path):
    folder = tmp_path / "my run"
    fit(folder, Toy(steps=30))
    message = r"my run is finished and its last checkpoint was not kept.*--keep-checkpoint.*--from '.*my run' --out"
    with pytest.raises(ValueError, match=message):
        fit(folder, Toy(steps=60), resume=True)
    assert (folder / RESULT).exists()


def test_fewer_steps_are_another_configuration(cut):
    with pytest.raises(ValueError, match=r"hyperparameters.steps: 60 before, 50 now\).*consent with --change steps"):
        fit(cut, Toy(steps=50), resume=True)


def test_only_the_last_stage_grows():
    assert LORD().grows() == "encoder_steps"
    assert Toy().grows() == "steps"


def test_a_stale_checkpoint_behind_a_result_is_swept_and_a_kept_one_stays(tmp_path):
    fit(tmp_path / "run")
    fit(tmp_path / "kept", keep_checkpoint=True)
    shutil.copy(tmp_path / "kept" / CHECKPOINT, tmp_path / "run" / CHECKPOINT)
    for name in ("run", "kept"):
        fit(tmp_path / name, resume=True)
    assert not (tmp_path / "run" / CHECKPOINT).exists()
    assert (tmp_path / "kept" / CHECKPOINT).exists()


def test_an_older_versions_run_goes_on_without_a_checksum_and_a_newer_ones_does_not(cut):
    content = (cut / CHECKPOINT).read_bytes()
    (cut / CHECKPOINT).write_bytes(content[: content.rindex(b"contrafact-sha256:") - 2] + b"\0\0")
    assert torch.load(cut / CHECKPOINT, weights_only=True)["step"] == 40
    with pytest.raises(ValueError, match="it has no checksum"):
        fit(cut, resume=True)
    config = read_json(cut / CONFIG)
    del config["format"]
    write_json(cut / CONFIG, config)
    fit(cut, resume=True)


# -- changes by consent -----------------------------------------------------------------------------------------------


def test_a_learning_rate_changed_by_consent_acts_and_is_noted(cut, tmp_path):
    shutil.copytree(cut, tmp_path / "same")
    same = fit(tmp_path / "same", resume=True)
    before = torch.load(cut / CHECKPOINT, weights_only=True)["shared"]["directions"]["weight"]
    frozen = fit(cut, Toy(learning_rate=1e-12), resume=True, change=["learning_rate"])
    assert not torch.allclose(same, before, atol=1e-3)
    assert torch.allclose(frozen, before, atol=1e-6)
    assert read_json(cut / CONFIG)["changes"] == [{"step": 40, "changed": {"learning_rate": [0.1, 1e-12]}}]


def test_a_change_holds_though_the_run_was_killed_before_its_next_checkpoint(cut, monkeypatch):
    before = torch.load(cut / CHECKPOINT, weights_only=True)["shared"]["directions"]["weight"]
    slow = Toy(learning_rate=1e-12)
    with monkeypatch.context() as patch:
        patch.setattr(Toy, "at_step", staticmethod(lambda step: sys.exit(9) if step == 45 else None))
        with pytest.raises(SystemExit):
            fit(cut, slow, resume=True, change=["learning_rate"])
    assert torch.allclose(fit(cut, slow, resume=True), before, atol=1e-6)
    assert len(read_json(cut / CONFIG)["changes"]) == 1


def test_without_consent_the_way_to_give_it_is_said(cut):
    with pytest.raises(ValueError, match=r"resume with the same one, consent with --change learning_rate, or choose"):
        fit(cut, Toy(learning_rate=0.2), resume=True)


def test_a_seed_is_no_matter_of_consent(cut):
    with pytest.raises(ValueError, match=r"unknown setting to --change 'seed'.*learning_rate, precision, processes"):
        fit(cut, resume=True, seed=3, change=["seed"])
    with pytest.raises(ValueError, match=r"seed: 0 before, 3 now\); resume with the same one, or choose"):
        fit(cut, resume=True, seed=3)


def test_precision_changes_by_consent(cut):
    fit(cut, resume=True, precision="bfloat16", change=["precision"])
    assert read_json(cut / CONFIG)["precision"] == "bfloat16"


def test_a_change_to_a_finished_run_is_refused(tmp_path):
    fit(tmp_path / "run", keep_checkpoint=True)
    with pytest.raises(ValueError, match="is finished, so no change can act; ask for more --steps too"):
        fit(tmp_path / "run", Toy(learning_rate=0.2), resume=True, change=["learning_rate"])


def test_change_needs_resume(tmp_path):
    with pytest.raises(ValueError, match="--change is for a run that goes on; give --resume too"):
        toy_run(tmp_path, change=["learning_rate"])


def test_rates_keep_their_place_in_a_schedule():
    weight = torch.nn.Parameter(torch.ones(2))

    def made(rate):
        optimizer = torch.optim.Adam([weight], lr=rate, betas=(rate, 0.9))
        return {"o": optimizer, "s": torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.1)}

    old, new = made(0.5), made(0.25)
    for _ in range(3):
        old["o"].step()
        old["s"].step()
    fresh = rates_of(new)
    for name, value in new.items():
        value.load_state_dict(old[name].state_dict())
    put_rates(new, fresh)
    group = new["o"].param_groups[0]
    assert group["lr"] == pytest.approx(0.025)
    assert group["betas"] == (0.25, 0.9)
    new["o"].step()
    new["s"].step()
    assert group["lr"] == pytest.approx(0.0025)


def test_processes_change_by_consent(cut):
    config = read_json(cut / CONFIG)
    write_json(cut / CONFIG, {**config, "processes": 2})
    with pytest.raises(ValueError, match=r"processes: 2 before, 1 now\).*consent with --change processes"):
        fit(cut, resume=True)
    fit(cut, resume=True, change=["processes"])


# -- weights to begin from --------------------------------------------------------------------------------------------


def test_a_run_begins_from_anothers_weights(tmp_path, capsys):
    expected = fit(tmp_path / "first")
    begun = fit(tmp_path / "second", Toy(steps=1, learning_rate=1e-12), begin_from=tmp_path / "first", seed=4)
    assert torch.allclose(begun, expected, atol=1e-6)
    assert "1 of 1 tensors of its directions" in capsys.readouterr().err
    assert read_json(tmp_path / "second" / CONFIG)["begun_from"]["name"] == "first"


def test_weights_that_fit_nothing_are_refused_and_nothing_is_left(tmp_path):
    SeFa(num_directions=2).fit(toy_generator(), toy_run(tmp_path / "other"))
    (tmp_path / "other" / "generator.safetensors").unlink()
    with pytest.raises(ValueError, match=r"no weights of .*other fit this method by name and shape"):
        fit(tmp_path / "run", begin_from=tmp_path / "other")
    assert not (tmp_path / "run").exists()


def test_a_method_without_steps_cannot_begin_from_weights(tmp_path):
    fit(tmp_path / "first")
    with pytest.raises(ValueError, match="does not train in steps, so it cannot begin from weights"):
        SeFa(num_directions=2).fit(toy_generator(), toy_run(tmp_path / "run", begin_from=tmp_path / "first"))
    assert not (tmp_path / "run").exists()


def test_beginning_from_what_is_no_finished_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match="nowhere is no finished run with weights to begin from"):
        fit(tmp_path / "run", begin_from=tmp_path / "nowhere")
    assert not (tmp_path / "run").exists()


def test_weights_go_where_most_of_them_fit():
    def network():
        return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))

    trained = network()
    online, average, other = network(), network(), torch.nn.Linear(3, 4)
    both = torch.nn.ModuleDict({"online": online, "average": average, "other": other})
    untouched = other.weight.clone()
    taken = take_weights({"networks": both, "number": 3}, {"encoder": trained.state_dict(), "generator": {}})
    assert taken == {"encoder": (4, 4)}
    assert torch.equal(online[0].weight, trained[0].weight)
    assert torch.equal(average[2].bias, trained[2].bias)
    assert torch.equal(other.weight, untouched)


# -- the same data ----------------------------------------------------------------------------------------------------


def pictures(folder, count=6, size=16):
    from PIL import Image

    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for number in range(count):
        Image.fromarray(rng.integers(0, 255, (size, size, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


def test_a_folders_fingerprint_follows_its_content_not_its_place(tmp_path):
    first = load_dataset(pictures(tmp_path / "a"), size=16)
    before = first.fingerprint()
    shutil.copytree(tmp_path / "a", tmp_path / "elsewhere" / "b")
    moved = load_dataset(tmp_path / "elsewhere" / "b", size=16)
    assert moved.fingerprint() == before
    (tmp_path / "a" / "0.png").rename(tmp_path / "a" / "zz.png")
    assert load_dataset(tmp_path / "a", size=16).fingerprint() != before
    content = bytearray((tmp_path / "elsewhere" / "b" / "3.png").read_bytes())
    content[-20] ^= 1
    (tmp_path / "elsewhere" / "b" / "3.png").write_bytes(content)
    assert load_dataset(tmp_path / "elsewhere" / "b", size=16).fingerprint() != before


def test_other_datasets_have_fingerprints_too():
    from contrafact.core.dataset import ImageDataset

    class Own(ImageDataset):
        name, source, image_shape = "own", "made here", (1, 2, 2)

        def __init__(self, shift=0.0, at_random=False):
            self.shift, self.at_random = shift, at_random

        def __len__(self):
            return 9

        def batch(self, indices):
            noise = torch.rand(1) if self.at_random else 0
            return torch.ones(len(indices), 1, 2, 2) * self.shift + noise

    assert Own().fingerprint() == Own().fingerprint() != Own(0.5).fingerprint()
    assert Own(at_random=True).fingerprint() == Own(at_random=True).fingerprint()
    assert load_dataset("shapes3d", size=16).fingerprint() == load_dataset("shapes3d", size=16).fingerprint()


def train(folder, data, **options):
    method = VAE(latent_dim=2, width=0.1, steps=8, batch_size=4)
    return method.fit(load_dataset(data, size=16), toy_run(folder, log_every=2, **options)).encoder


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """A run on a folder of pictures that ended in step 6 of 8."""
    pictures(tmp_path / "photos")
    log, calls = Run.log, []

    def explode(self, **scalars):
        calls.append(1)
        if len(calls) == 6:
            raise RuntimeError
        log(self, **scalars)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "log", explode)
        with pytest.raises(RuntimeError):
            train(tmp_path / "run", tmp_path / "photos")
    assert (tmp_path / "run" / CHECKPOINT).exists()
    return tmp_path


def test_a_run_whose_data_has_changed_is_not_resumed(stopped):
    (stopped / "photos" / "0.png").rename(stopped / "photos" / "zz.png")
    with pytest.raises(ValueError, match=r"was started with other content: the data has changed since \(fingerprint"):
        train(stopped / "run", stopped / "photos", resume=True)


def test_the_same_data_at_another_place_resumes(stopped):
    whole = train(stopped / "whole", stopped / "photos")
    (stopped / "photos").rename(stopped / "pictures")
    assert fingerprint(train(stopped / "run", stopped / "pictures", resume=True)) == fingerprint(whole)


def test_a_file_of_an_option_may_lie_elsewhere():
    before, now = ({"hyperparameters": {"judge": judge, "n": 1}} for judge in ("net.py:f", "code/net.py:f"))
    assert differences(before, now) == {}
    now["hyperparameters"]["judge"] = "code/other.py:f"
    assert list(differences(before, now)) == ["hyperparameters.judge"]


def test_a_generator_by_another_name_resumes(cut):
    generator = toy_generator()
    generator.name = "elsewhere/tiny.safetensors"
    Toy().fit(generator, toy_run(cut, resume=True))
    assert (cut / RESULT).exists()


def test_labels_at_another_place_are_the_same_and_other_labels_are_not(tmp_path):
    dataset = load_dataset("shapes3d", size=16, labels=400)
    described = dataset.few_labels.describe()
    moved = dataclasses.replace(dataset.few_labels, origin="/home/ann/labels.csv").describe()
    assert moved["chosen"] == "labels.csv"
    before = {"source": {"fingerprint": "a", "labels": described}}
    assert differences(before, {"source": {"fingerprint": "a", "labels": moved}}) == {}
    other = load_dataset("shapes3d", size=16, labels=400, label_seed=1).few_labels.describe()
    assert "source.labels.fingerprint" in differences(before, {"source": {"fingerprint": "a", "labels": other}})


def test_a_configuration_without_fingerprints_compares_names(tmp_path):
    before = {"source": {"kind": "data", "name": "images", "from": "/home/ann/photos"}}
    now = {"source": {"kind": "data", "name": "images", "from": "../photos", "fingerprint": "a"}}
    assert differences(before, now) == {}
    generator = {"kind": "generator", "weights": "b", "name": "x"}
    assert differences({"source": generator}, {"source": {**generator, "arguments": {"clamp": 1}}}) == {}
    now["source"]["from"] = "../pictures"
    assert differences(before, now) == {"source.from": ("photos", "pictures")}


def test_moved_runs_find_their_data(tmp_path, monkeypatch):
    """Together to another place, by the place that is written down; alone, by what this machine has seen."""
    (tmp_path / "a").mkdir()
    pictures(tmp_path / "a" / "photos" / "cats")
    train(tmp_path / "a" / "run", tmp_path / "a" / "photos")
    config = read_json(tmp_path / "a" / "run" / CONFIG)
    assert config["source"]["from"] == "../photos"
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert dataset_of(load_run(tmp_path / "b" / "run")).folder.resolve() == tmp_path / "b" / "photos"
    (tmp_path / "b" / "run").rename(tmp_path / "run")
    found = dataset_of(load_run(tmp_path / "run"))
    assert found.fingerprint() == config["source"]["fingerprint"]
    monkeypatch.chdir(tmp_path / "b")
    assert dataset_of(load_run("../a/run")).folder.resolve() == tmp_path / "a" / "photos"


def test_data_that_is_nowhere_is_asked_for(tmp_path):
    pictures(tmp_path / "photos")
    train(tmp_path / "run", tmp_path / "photos")
    shutil.rmtree(tmp_path / "photos")
    with pytest.raises(
        ValueError, match=r"learned from the folder '../photos', which is not where it was; name it with"
    ):
        dataset_of(load_run(tmp_path / "run"))


def test_scoring_on_data_that_has_changed_is_noted(tmp_path, capsys):
    pictures(tmp_path / "photos")
    train(tmp_path / "run", tmp_path / "photos")
    (tmp_path / "photos" / "0.png").unlink()
    dataset_of(load_run(tmp_path / "run"))
    assert "photos has changed since" in capsys.readouterr().err


# -- what an unfinished run tells to type -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recorded", "hint"),
    [
        (["contrafact", "fit", "toy", "--out", "old place", "--resume"], "contrafact fit toy --out 'RUN' --resume"),
        (["contrafact", "fit", "toy", "--seed", "3"], "contrafact fit toy --seed 3 --out 'RUN' --resume"),
        (["contrafact", "fit", "toy", "--out=x"], "contrafact fit toy --out 'RUN' --resume"),
        (["contrafact", "bench", "disco-table4"], "contrafact bench disco-table4"),
        (["train.py"], "contrafact fit toy ... --out 'RUN' --resume"),
    ],
)
def test_the_way_to_go_on_fits_the_command_and_the_place(tmp_path, cut, recorded, hint):
    folder = cut.rename(tmp_path / "my run")
    write_json(folder / CONFIG, {**read_json(folder / CONFIG), "command": recorded})
    with pytest.raises(ValueError, match="has not finished") as caught:
        load_run(folder)
    assert f"go on with `{hint.replace('RUN', str(folder))}`, then come back" in str(caught.value)


def test_the_way_to_go_on_knows_where_the_data_lies_now(stopped):
    config = read_json(stopped / "run" / CONFIG)
    command = ["contrafact", "fit", "vae", "--data", "photos", "--out", "x"]
    write_json(stopped / "run" / CONFIG, {**config, "command": command})
    (stopped / "home").mkdir()
    (stopped / "run").rename(stopped / "home" / "run")
    (stopped / "photos").rename(stopped / "home" / "photos")
    with pytest.raises(ValueError, match=rf"--data {stopped}/home/photos --out {stopped}/home/run --resume`"):
        load_run(stopped / "home" / "run")


def test_a_folder_of_another_program_is_no_unfinished_run(tmp_path):
    write_json(tmp_path / CONFIG, {"architectures": ["UNet"], "model_type": "x"})
    with pytest.raises(ValueError, match=r"config\.json is another program's, so .* is no run") as caught:
        load_run(tmp_path)
    assert "has not finished" not in str(caught.value)
    with pytest.raises(ValueError, match=r"config\.json is not the configuration of a run but another program's"):
        fit(tmp_path, resume=True)


def test_nan_before_any_checkpoint_promises_none(tmp_path):
    run = toy_run(tmp_path)

    def loop():
        for _ in run.steps(100, {"weights": torch.nn.Linear(1, 1)}):
            run.log(loss=float("nan"))

    with pytest.raises(FloatingPointError, match="nothing was saved yet: start again with a lower --learning-rate"):
        loop()


def test_changes_on_the_command_line_are_options_too():
    given = ["--steps", "3", "--change", "learning_rate=1e-4", "precision=float32", "--resume", "--change=processes"]
    assert _with_changes([*given, "--change", "flag=true"]) == [
        *("--steps", "3", "--resume", "--learning-rate", "1e-4", "--precision", "float32", "--flag"),
        *("--change", "learning_rate", "precision", "processes", "flag"),
    ]


def test_the_command_line_changes_and_begins_from(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    vae = ["fit", "vae", "--data", "shapes3d", "--size", "16", "--latent-dim", "2"]
    command = [*vae, "--width", "0.1", "--batch-size", "4", "--device", "cpu"]
    assert main([*command, "--steps", "2", "--out", "my run"]) == 0
    assert "contrafact report 'my run'" in capsys.readouterr().out
    assert main([*command, "--steps", "2", "--out", "first", "--keep-checkpoint"]) == 0
    more = ["--steps", "3", "--out", "first", "--resume", "--change", "learning_rate=1e-5"]
    assert main([*command, *more]) == 0
    changed = read_json("first/config.json")["changes"]
    assert [entry["step"] for entry in changed] == [2]
    assert set(changed[0]["changed"]) == {"learning_rate", "steps"}
    assert main([*command, "--steps", "2", "--out", "second", "--from", "first"]) == 0
    assert main([*command, "--steps", "2", "--out", "third", "--from", "nowhere"]) == 2
    assert not (tmp_path / "third").exists()


# -- privacy ----------------------------------------------------------------------------------------------------------


def test_runs_by_one_method_are_told_apart_without_their_whole_path(tmp_path):
    for name in ("a/run", "b/run"):
        fit(tmp_path / name)
    labels = [contender.label for contender in contenders_of([load_run(tmp_path / n) for n in ("a/run", "b/run")])]
    assert labels == [str(Path("a/run")), str(Path("b/run"))]


def test_latents_tell_the_generators_name_not_its_place(tmp_path):
    generator = toy_generator()
    generator.name = "/home/ann/ffhq.pkl"
    stored = StoredLatents.of(generator, generator.sample(1, torch.Generator().manual_seed(0)), ["one"])
    assert b"/home" not in stored.save(tmp_path / "latents.safetensors").read_bytes()
    assert stored.generator == "ffhq.pkl"


def test_no_file_of_a_run_tells_of_a_home(tmp_path, monkeypatch):
    home = tmp_path / "home" / "ann"
    pictures(home / "photos" / "cats")
    pictures(home / "photos" / "dogs")
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path / "scratch")
    command = ["fit", "vae", "--size", "16", "--latent-dim", "2", "--width", "0.1", "--batch-size", "4", "--steps", "2"]
    options = ["--data", str(home / "photos"), "--out", str(tmp_path / "scratch" / "run"), "--device", "cpu"]
    assert main([*command, *options]) == 0
    assert main(["evaluate", "run", "--num-train", "8", "--num-test", "4"]) == 0
    assert main(["report", str(tmp_path / "scratch" / "run")]) == 0
    files = [file for file in (tmp_path / "scratch").rglob("*") if file.is_file()]
    assert {"config.json", "generator.safetensors", "report.html", "scores.jsonl"} <= {file.name for file in files}
    told = {file.name: file.read_bytes() for file in files}
    telling = [name for name, content in told.items() if b"home/ann" in content or str(tmp_path).encode() in content]
    assert telling == []
    assert b"photos" in (tmp_path / "scratch" / "run" / "generator.safetensors").read_bytes()
