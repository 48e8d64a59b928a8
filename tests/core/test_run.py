import json
import os
import signal
import threading

import numpy as np
import pytest
import torch

from contrafact.core.files import read_json
from contrafact.core.run import CHECKPOINT, CONFIG, LOG, RESULT, Run, RunInterrupted, find_device, read_log
from tests.core.toy import Toy, toy_generator, toy_run


def fit(folder, method=None, **options):
    return (method or Toy()).fit(toy_generator(), toy_run(folder, **options)).directions.weight


@pytest.fixture
def happen(monkeypatch):
    """Let something happen at the beginning of one step of every Toy."""

    def arrange(step, happening):
        monkeypatch.setattr(Toy, "at_step", staticmethod(lambda now: happening() if now == step else None))

    return arrange


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def explode():
    raise RuntimeError("the machine caught fire")


# -- a whole run ------------------------------------------------------------------------------------------------------


def test_a_finished_folder_holds_what_it_should(tmp_path):
    fit(tmp_path / "run")
    names = sorted(p.name for p in (tmp_path / "run").iterdir())
    assert names == [CONFIG, "directions.safetensors", "generator.safetensors", LOG, RESULT]
    config = read_json(tmp_path / "run" / CONFIG)
    assert config["method"] == "toy"
    assert config["hyperparameters"] == {"steps": 60, "learning_rate": 0.1}
    assert config["seed"] == 0
    assert config["source"]["kind"] == "generator"
    assert config["environment"]["torch"] == torch.__version__


def test_the_log_holds_means_over_its_steps(tmp_path):
    run = toy_run(tmp_path, log_every=4)
    for step in run.steps(10, {}):
        run.log(value=step, **({"even": step} if step % 2 == 0 else {}))
    assert read_log(tmp_path / LOG) == [
        {"step": 4, "value": 1.5, "even": 1.0},
        {"step": 8, "value": 5.5, "even": 5.0},
        {"step": 10, "value": 8.5, "even": 8.0},
    ]


def test_a_finished_runs_log_is_on_the_disk_before_its_result_says_so(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (done.append(os.readlink(f"/proc/self/fd/{fd}")), fsync(fd))[1])
    monkeypatch.setattr(os, "replace", lambda old, new: (done.append(str(new)), replace(old, new))[1])
    fit(tmp_path / "run", save_every=1000.0)
    log, result = str(tmp_path / "run" / LOG), str(tmp_path / "run" / RESULT)
    assert log in done[: done.index(result)]


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path):
    first, again, other = fit(tmp_path / "a"), fit(tmp_path / "b"), fit(tmp_path / "c", seed=1)
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_tensorboard_gets_the_log_too(tmp_path):
    fit(tmp_path / "run", tensorboard=True)
    assert list((tmp_path / "run").glob("events.out.tfevents.*"))


# -- streams ----------------------------------------------------------------------------------------------------------


def test_streams_differ_by_name_seed_and_process(tmp_path):
    def draw(run, name, shared=False):
        return torch.rand(3, generator=run.rng(name, shared)).tolist() + run.numpy_rng(name, shared).random(3).tolist()

    class Second(Run):
        rank = 1

    run, again, seeded = toy_run(tmp_path), toy_run(tmp_path), toy_run(tmp_path, seed=1)
    second = Second(tmp_path, device="cpu")
    assert draw(run, "a") == draw(again, "a")
    draws = [draw(run, "a"), draw(run, "b"), draw(seeded, "a"), draw(second, "a")]
    assert len({tuple(d) for d in draws}) == 4
    assert draw(run, "a", shared=True) == draw(second, "a", shared=True)


def test_seeded_init_leaves_the_global_stream_alone(tmp_path):
    run = toy_run(tmp_path)
    torch.manual_seed(7)
    expected = torch.rand(2)
    torch.manual_seed(7)
    with run.seeded_init("net"):
        first = torch.rand(2)
    with run.seeded_init("net"):
        assert torch.equal(torch.rand(2), first)
    assert torch.equal(torch.rand(2), expected)


# -- stopping and going on --------------------------------------------------------------------------------------------


def test_ctrl_c_saves_and_resuming_is_bit_identical(tmp_path, happen):
    expected, before = fit(tmp_path / "whole"), signal.getsignal(signal.SIGINT)  # ignored, in the background of a shell
    happen(33, interrupt)
    with pytest.raises(RunInterrupted, match="stopped after step 40 of 60; go on with the same command and --resume"):
        fit(tmp_path / "cut")
    assert not (tmp_path / "cut" / RESULT).exists()
    happen(-1, explode)
    assert torch.equal(fit(tmp_path / "cut", resume=True), expected)
    assert read_log(tmp_path / "cut" / LOG) == read_log(tmp_path / "whole" / LOG)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_stops_at_once(tmp_path, happen, capsys):
    def twice():
        interrupt()
        interrupt()

    happen(33, twice)
    with pytest.raises(KeyboardInterrupt) as caught:
        fit(tmp_path / "cut")
    assert not isinstance(caught.value, RunInterrupted)
    assert "stopping: saving the run first (again to stop at once)" in capsys.readouterr().err


def test_a_crash_loses_only_what_came_after_the_last_checkpoint(tmp_path, happen):
    expected = fit(tmp_path / "whole")
    happen(50, explode)
    with pytest.raises(RuntimeError, match="caught fire"):
        fit(tmp_path / "cut")
    # More of the log than of the weights got to the disk: the lines past the checkpoint are written anew.
    with open(tmp_path / "cut" / LOG, "a") as file:
        file.write('{"step": 60, "loss": 123.0}\n{"step": 80, "lo')
    happen(-1, explode)
    assert torch.equal(fit(tmp_path / "cut", resume=True), expected)
    assert read_log(tmp_path / "cut" / LOG) == read_log(tmp_path / "whole" / LOG)


def test_resuming_without_a_checkpoint_starts_again(tmp_path, happen):
    expected = fit(tmp_path / "whole")
    happen(5, explode)
    with pytest.raises(RuntimeError):
        fit(tmp_path / "cut")
    assert not (tmp_path / "cut" / CHECKPOINT).exists()
    happen(-1, explode)
    assert torch.equal(fit(tmp_path / "cut", resume=True), expected)


def test_resuming_a_folder_that_is_not_there_starts(tmp_path):
    assert torch.equal(fit(tmp_path / "new", resume=True), fit(tmp_path / "whole"))


def test_resuming_a_finished_run_does_nothing(tmp_path, happen, capsys):
    expected = fit(tmp_path / "whole")
    happen(0, explode)
    assert torch.equal(fit(tmp_path / "whole", resume=True), expected)
    assert "whole is already finished" in capsys.readouterr().err


def test_it_trains_outside_the_main_thread_too(tmp_path):
    weights = []
    thread = threading.Thread(target=lambda: weights.append(fit(tmp_path / "threaded")))
    thread.start()
    thread.join()
    assert torch.equal(weights[0], fit(tmp_path / "whole"))


# -- bad input --------------------------------------------------------------------------------------------------------


def test_a_folder_that_holds_a_run_is_not_overwritten(tmp_path):
    fit(tmp_path / "run")
    before = (tmp_path / "run" / "directions.safetensors").read_bytes()
    with pytest.raises(ValueError, match="already holds a run; go on with --resume, or choose another --out"):
        fit(tmp_path / "run", seed=1)
    assert (tmp_path / "run" / "directions.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("method", "options", "difference"),
    [
        (Toy(learning_rate=0.2), {}, r"hyperparameters.learning_rate: 0.1 before, 0.2 now\)"),
        (Toy(), {"seed": 3}, r"seed: 0 before, 3 now\)"),
        (Toy(), {"precision": "bfloat16"}, r'precision: "float32" before, "bfloat16" now\)'),
    ],
)
def test_another_configuration_is_refused_and_the_difference_named(tmp_path, happen, method, options, difference):
    happen(50, explode)
    with pytest.raises(RuntimeError):
        fit(tmp_path / "run")
    with pytest.raises(ValueError, match=rf"was started with another configuration \({difference}; resume with the"):
        fit(tmp_path / "run", method, resume=True, **options)


def test_a_folder_of_something_else_is_no_run_to_resume(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds files but no config.json, so it is no run to resume"):
        fit(tmp_path, resume=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_run_killed_while_its_first_file_was_written_can_be_resumed(tmp_path):
    (tmp_path / ".config.json.x1y2z3.json").write_text("{")
    fit(tmp_path, resume=True)


def test_a_damaged_config_is_named(tmp_path):
    (tmp_path / CONFIG).write_text('{"method": "to')
    with pytest.raises(ValueError, match=r"config.json is not valid JSON"):
        fit(tmp_path, resume=True)


def test_nan_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path):
    run = toy_run(tmp_path)

    def loop():
        for step in run.steps(100, {"weights": torch.nn.Linear(1, 1)}):
            run.log(loss=float("nan") if step == 33 else 0.0, other=1.0)

    with pytest.raises(
        FloatingPointError,
        match=r"before step 40; .*is intact: .*--change learning_rate=LOWER",
    ):
        loop()
    assert [line["step"] for line in read_log(tmp_path / LOG)] == [20]
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["step"] == 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"seed": 1.5}, "seed must be a whole number, got 1.5"),
        ({"save_every": -1.0}, "save_every must be at least 0, got -1.0"),
        ({"log_every": 0}, "log_every must be a whole number of at least 1, got 0"),
        ({"device": "gpu"}, "unknown device 'gpu'; .*known: auto, cpu, cuda, mps"),
        ({"precision": "float16"}, "unknown precision 'float16'; did you mean 'bfloat16'"),
    ],
)
def test_what_a_run_refuses(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        toy_run(tmp_path, **options)


def test_folders_that_cannot_be(tmp_path):
    with pytest.raises(ValueError, match="run folder's name is empty; give one, such as --out runs/first"):
        toy_run(" ")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="file is a file; a run needs a folder"):
        toy_run(tmp_path / "file")


@pytest.mark.parametrize("steps", [0, -3])
def test_a_run_of_no_steps_is_refused(tmp_path, steps):
    with pytest.raises(ValueError, match=f"steps must be a whole number of at least 1, got {steps}"):
        fit(tmp_path, Toy(steps=steps))


@pytest.mark.skipif(torch.cuda.is_available(), reason="checks what a machine without a GPU says")
def test_a_device_this_machine_lacks_is_named():
    with pytest.raises(ValueError, match="torch sees no CUDA device here; use --device cpu"):
        find_device("cuda")


def test_a_damaged_line_in_the_middle_of_a_log_is_named(tmp_path):
    (tmp_path / LOG).write_text(json.dumps({"step": 1}) + "\n{\n" + json.dumps({"step": 3}) + "\n")
    with pytest.raises(ValueError, match=r"log.jsonl, line 2, is not valid JSON .*; the log is damaged"):
        read_log(tmp_path / LOG)


def test_average_gradients_alone_leaves_them(tmp_path):
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.tensor([1.0, np.pi])
    toy_run(tmp_path).average_gradients([weight])
    assert weight.grad.tolist() == pytest.approx([1.0, np.pi])
