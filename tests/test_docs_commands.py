"""Every console block of the docs is run as printed, in an empty folder, and what it shows is what it prints.

Commands of a page run one after the other, as for a reader who follows it. A block that cannot be run here says so in
the line before it, ``<!-- not run: why -->``; its commands are parsed all the same (test_readme.py). What a page takes
from its reader a prelude makes; long work is cut by options that follow the printed ones, and by texts that are
replaced. Of shown output, each line must be printed; numbers may differ, and … stands for anything.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from contrafact.cli import main

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"(?:<!-- not run: ([^\n]+) -->\n)?```console\n(.*?)```", re.DOTALL)
WRITTEN = {
    page.relative_to(DOCS).as_posix(): BLOCK.findall(page.read_text(encoding="utf-8"))
    for page in sorted(DOCS.rglob("*.md"))
    if page.relative_to(DOCS).parts[0] not in ("_build", "reference")
}
ELSEWHERE = {
    "adding.md": "test_adding.py runs it on each of the page's files",
    "editing.md": "test_readme.py runs it from top to bottom, both languages together; it is slow",
}
PAGES = [page for page, blocks in WRITTEN.items() if page not in ELSEWHERE and any(not reason for reason, _ in blocks)]

SHORTER = {
    "fit disco": ["--steps", "2"],
    "fit vae": ["--steps", "2", "--flow-steps", "2", "--width", "0.1"],
    "fit beta_vae": ["--steps", "2", "--batch-size", "4"],
    "fit attribute_predictor": ["--steps", "2", "--batch-size", "8"],
    "fit interfacegan": ["--num-latents", "200", "--chosen", "0.2"],
    "fit disdiff": ["--steps", "2", "--denoiser-steps", "2", "--decode-steps", "2"],
    "fit ganspace --generator fashion-mnist-diffusion": ["--num-samples", "40"],
    "traverse runs/h": ["--frames", "3", "--samples", "1"],
    "fit latentclr": ["--steps", "1", "--batch-size", "2"],
    "evaluate runs/disdiff": ["--num-train", "200", "--num-test", "100", "--metrics", "mig"],
    "evaluate runs/first": ["--num-train", "200", "--num-test", "100", "--metrics", "mig"],
    "encode": ["--num-images", "10"],
}
FEWER = {"scoring.md": {"--metrics all --resamples 200": "--metrics mig modularity --resamples 5"}}


def pictures():
    """A folder of the reader's own."""
    Path("path/to/pictures").mkdir(parents=True)
    for number, pixels in enumerate(np.random.default_rng(0).integers(256, size=(12, 64, 80, 3), dtype=np.uint8)):
        Image.fromarray(pixels).save(f"path/to/pictures/{number}.png")


def matrices():
    """Codes and factors in files."""
    factors = np.random.default_rng(0).integers(3, size=(120, 2))
    np.save("c.npy", factors * [1.0, -2.0])
    np.savetxt("f.csv", factors, fmt="%d", delimiter=",", header="hue,size", comments="")


def network():
    """A file with a network."""
    Path("mine.py").write_text(
        "from torch import nn\n\n\nclass Net(nn.Sequential):\n    def __init__(self):\n"
        "        super().__init__(nn.Conv2d(3, 4, 4, stride=4), nn.Flatten())\n"
    )


def generator():
    """A file with a function that makes a generator, the same one each time."""
    Path("mine.py").write_text(
        "import torch\nfrom torch import nn\n\nfrom contrafact import wrap\n\n\ndef gan():\n    torch.manual_seed(0)\n"
        "    module = nn.Sequential(nn.Linear(4, 3072), nn.Tanh(), nn.Unflatten(1, (3, 32, 32)))\n"
        "    return wrap(module, latent_dim=4)\n"
    )


def other_tools():
    """What other programs leave, for a generator of 64 dimensions and 8 style layers."""
    rng = np.random.default_rng(0)
    rows = np.linalg.qr(rng.normal(size=(64, 64)))[0].astype(np.float32)
    few, tensor = rows[:3], torch.from_numpy(rows)
    np.savez("components.npz", lat_comp=few[:, None], lat_stdev=np.float32([2, 1.5, 1]), lat_mean=rows[None, :1])
    np.save("boundaries.npy", few)
    np.save("sleeve_boundary.npy", few[:1])
    torch.save({"ckpt": "model.pt", "eigvec": tensor}, "factor.pt")
    Path("models").mkdir()
    Path("args.json").write_text('{"deformator": "proj"}')
    torch.save({"linear.weight": tensor, "linear.bias": 0.1 * tensor[0]}, "models/deformator_0.pt")
    torch.save({"model": {"params": tensor[:3]}, "iteration": 1}, "final_model.pt")
    named = zip(("wide", "long"), rows[:2], strict=True)
    Path("vectors.csv").write_text("".join(f"{name},{','.join(map(str, row))}\n" for name, row in named))
    np.save("collar.npy", rows[:8])
    np.savez("projected_w.npz", w=rows[None, 8:16])
    torch.save(tensor[:16].view(2, 8, 64), "latents.pt")
    torch.save({"photo.png": {"img": torch.zeros(1, 32, 32), "latent": tensor[0], "noise": []}}, "photo.pt")


PRELUDES = {
    "other_tools.md": other_tools,
    "generators.md": generator,
    "quickstart.md": pictures,
    "scoring.md": matrices,
    "own_network.md": network,
}


def steps(block):
    """Commands of a block, each with the output shown below it."""
    found = []
    for line in block.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line:
            found[-1][1].append(line)
    return found


def pattern(shown):
    """A line of shown output as a pattern: any number for a number, anything for …, any space for a space."""
    loose = {"…": ".*", " ": r"\s+", "0": r"\d+(?:\.\d+)?"}
    parts = re.split(r"(…|\d+(?:\.\d+)?|\s+)", shown.strip())
    kinds = [re.sub(r"^\d.*", "0", re.sub(r"^\s+$", " ", part)) for part in parts]
    return "".join(loose.get(kind, re.escape(part)) for kind, part in zip(kinds, parts, strict=True))


def run(command, capsys):
    """What a command prints, on both streams."""
    words = shlex.split(command)
    if words[0] == "torchrun":
        called = [sys.executable, "-m", "torch.distributed.run", *words[1:]]
        done = subprocess.run(called, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr
    assert words[0] == "contrafact", f"only contrafact is run here; say why not, or how to run: {command}"
    assert main(words[1:]) in (0, None), capsys.readouterr().err
    said = capsys.readouterr()
    return said.out + said.err


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.filterwarnings("ignore")
def test_console_blocks_run_in_the_order_of_the_page(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    PRELUDES.get(page, lambda: None)()
    for reason, block in WRITTEN[page]:
        for command, shown in [] if reason else steps(block):
            for long, short in FEWER.get(page, {}).items():
                command = command.replace(long, short)
            cut = [part for start, options in SHORTER.items() if f"contrafact {start}" in command for part in options]
            printed = run(shlex.join([*shlex.split(command), *cut]), capsys)
            for line in shown:
                assert re.search(pattern(line), printed), f"{command}\nprinted\n{printed}\nwhich does not hold\n{line}"


def test_preludes_and_cuts_belong_to_what_the_pages_show():
    shown = {page: "".join(block for reason, block in blocks if not reason) for page, blocks in WRITTEN.items()}
    assert set(PRELUDES) | set(FEWER) <= set(PAGES)
    assert [long for page, cuts in FEWER.items() for long in cuts if long not in shown[page]] == []
    everything = "".join(shown[page] for page in PAGES)
    assert [start for start in SHORTER if f"contrafact {start}" not in everything] == []


def test_a_mark_gives_its_reason_and_stands_before_a_block():
    for page, blocks in WRITTEN.items():
        text = (DOCS / page).read_text(encoding="utf-8")
        assert text.count("<!-- not run:") == sum(bool(reason.strip()) for reason, _ in blocks), page


def test_every_block_of_commands_is_a_console_block():
    for page in WRITTEN:
        found = re.findall(
            r"^```(bash|sh|shell|shell-session|zsh)$", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE
        )
        assert found == [], page


def test_shown_output_is_compared():
    assert re.search(pattern("runs/first: 3 files in … s"), "x\nruns/first:  41 files in 9.5 s")
    assert not re.search(pattern("runs/first: 3 files"), "runs/second: 3 files")
