"""Small good files of everything that is read, written by the library itself or as other programs write them."""

from __future__ import annotations

import collections
import csv
import gzip
import importlib
import json
import pickle
import re
import shutil
import socket
import sys
import types
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open

from contrafact.core.artefact import Artefact, find_class
from contrafact.core.claim import CLAIM
from contrafact.core.files import write_json
from contrafact.editing.latents import StoredLatents
from contrafact.generators.analytic import Analytic
from tests.core.toy import Toy, toy_run
from tests.editing import foreign_files
from tests.generators.kinds import dcgan
from tests.generators.kinds.tensorflow import write as write_tensorflow
from tests.generators.recorded import Recorded

Write = Callable[[Path], object]


STORED = [Path(__file__).parents[1] / "golden" / version for version in ("format_0", "format_1")]


def artefact_files(kind: type[Artefact]) -> dict[str, Write]:
    """One small file of every class of a kind, by class: those that each format version is held to."""
    found: dict[str, Write] = {}
    for file in (file for folder in STORED for file in sorted(folder.glob("*.safetensors"))):
        if file.stem in found:
            continue
        with safe_open(file, framework="pt") as opened:
            dotted = (opened.metadata() or {}).get("class")
        if dotted is not None and issubclass(find_class(dotted, file), kind):
            found[file.stem] = partial(_copy, file, f"{kind.__name__.lower()}.safetensors")
    return found


def dinov2_files() -> dict[str, Write]:
    """A small DINOv2 as the authors keep it, and as transformers does."""
    from safetensors.torch import save_file

    from tests.nn.test_dinov2 import draw, renamed

    return {
        "authors": _torch("dinov2.pth", draw("gated")),
        "transformers": lambda folder: save_file(renamed(draw("registers")), folder / "model.safetensors"),
    }


def vgg_files() -> dict[str, Write]:
    """A narrow VGG-16 as torchvision keeps it, and as safetensors."""
    from safetensors.torch import save_file

    from tests.nn.test_vgg import draw

    return {
        "torchvision": _torch("vgg16.pth", draw()),
        "safetensors": lambda folder: save_file(draw(), folder / "vgg16.safetensors"),
    }


def pipeline_files() -> dict[str, Write]:
    """A pipeline of the diffusers library, and a VAE alone, as it saves them."""

    from contrafact.generators import AutoencoderKL, Diffusion

    def vae(folder: Path) -> None:
        AutoencoderKL.tiny().vae.save_pretrained(folder)

    def ddim(folder: Path) -> None:
        import diffusers

        diffusers.DDIMPipeline(Diffusion.tiny().denoiser, diffusers.DDIMScheduler()).save_pretrained(folder)

    def dit(folder: Path) -> None:
        import diffusers

        transformer = diffusers.DiTTransformer2DModel(2, 4, 4, 8, 1, sample_size=4, num_embeds_ada_norm=2)
        small = AutoencoderKL.tiny().vae
        diffusers.DiTPipeline(transformer, small, diffusers.DDIMScheduler()).save_pretrained(folder)

    return {"ddim": ddim, "dit": dit, "vae": vae}


def _copy(file: Path, name: str, folder: Path) -> None:
    shutil.copyfile(file, folder / name)


def write_latents(folder: Path) -> None:
    scene = Analytic.tiny()
    latents = torch.randn(3, scene.latent_dim, generator=torch.Generator().manual_seed(0))
    stored = StoredLatents.of(
        scene, latents, ["a.png", "b.png", "c.png"], scene(latents).detach(), {"psnr": [1.0, 2.0, 3.0]}
    )
    stored.save(folder / "latents.safetensors")


def foreign_directions() -> dict[str, Write]:
    """Other programs' directions, by program."""
    array = foreign_files.rows(2)

    def of(name: str, write: Callable[[Path], object]) -> Write:
        return lambda folder: write(folder / name)

    return {
        "ganspace": of("d.npz", foreign_files.ganspace),
        "rosinality": of("d.pt", foreign_files.factor),
        "linear": of("models/deformator_0.pt", partial(foreign_files.deformator, kind="linear")),
        "proj": of("models/deformator_0.pt", partial(foreign_files.deformator, kind="proj")),
        "ortho": of("models/deformator_0.pt", partial(foreign_files.deformator, kind="ortho")),
        "fc": of("models/deformator_0.pt", partial(foreign_files.deformator, kind="fc")),
        "latentclr": of("d.pt", partial(foreign_files.latentclr, depth=3)),
        "global": of("d.pt", partial(foreign_files.latentclr, depth=0)),
        "rows": of("d.npy", lambda path: np.save(path, array)),
        "layers": of("d.npz", lambda path: np.savez(path, boundaries=array, values=array[:, 0])),
        "objects": of("d.npy", lambda path: np.save(path, {"boundary": array}, allow_pickle=True)),
        "text": of("d.csv", lambda path: np.savetxt(path, array, delimiter=",")),
        "list": of("d.pt", lambda path: torch.save([torch.from_numpy(row) for row in array], path)),
    }


def foreign_latents() -> dict[str, Write]:
    """Other programs' latents, by the form they are in."""
    array = foreign_files.rows(2)
    one = {"img": torch.zeros(1, 2, 2), "latent": torch.from_numpy(array[0]), "noise": [torch.zeros(1, 1, 2, 2)]}
    return {
        "projected": lambda folder: np.savez(folder / "d.npz", w=array[None]),
        "encoded": lambda folder: torch.save(torch.from_numpy(array), folder / "d.pt"),
        "by picture": lambda folder: torch.save({"a.png": one, "b.png": one}, folder / "d.pt"),
        "list": lambda folder: torch.save(list(torch.from_numpy(array)), folder / "d.pt"),
        "steps": lambda folder: np.save(folder / "d.npy", {"a.png": [array, array]}, allow_pickle=True),
    }


# -- other programs' checkpoints --------------------------------------------------------------------------------------


def _torch(name: str, content: Any, legacy: bool = False) -> Write:
    def write(folder: Path) -> None:
        written = _in_one_storage(content) if legacy else content  # several are stored in the order of their addresses
        torch.save(written, folder / name, _use_new_zipfile_serialization=not legacy)
        (folder / name).write_bytes(_without_addresses((folder / name).read_bytes()))

    return write


def _in_one_storage(content: dict[str, Any]) -> dict[str, Any]:
    """The tensors of a nested dict as views of one."""
    flat: list[torch.Tensor] = []

    def gather(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: gather(value) for key, value in part.items()}
        flat.append(part)
        return part.shape

    def view(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: view(value) for key, value in part.items()}
        return next(pieces).view(part)

    shapes = gather(content)
    pieces = iter(torch.cat([part.flatten().float() for part in flat]).split([part.numel() for part in flat]))
    return dict(view(shapes))


def _without_addresses(data: bytes) -> bytes:
    """Torch's old format calls storages by their addresses: other numbers each time, here of their order."""
    found = dict.fromkeys(re.findall(rb"X[\x0a-\x14]\0\0\0(\d{10,20})", data))
    for number, address in enumerate(found):
        data = data.replace(address, b"%0*d" % (len(address), number))
    return data


def _folder(settings: str, content: dict[str, Any], weights: Write) -> Write:
    def write(folder: Path) -> None:
        (folder / settings).write_text(json.dumps(content))
        weights(folder)

    return write


def _beside(weights: Write, texts: Mapping[str, str]) -> Write:
    """Weights, and files of the program's settings beside them."""

    def write(folder: Path) -> None:
        weights(folder)
        for name, text in texts.items():
            (folder / name).write_text(text)

    return write


def _nvidia(recorded: Recorded) -> Write:
    """A network pickle as NVIDIA's persistence writes it; its program text would leave a mark."""
    module = types.ModuleType("torch_utils.persistence")

    def _reconstruct_persistent_obj(meta: Any) -> None:
        raise AssertionError("only its name is used")

    _reconstruct_persistent_obj.__module__ = module.__name__
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    module._reconstruct_persistent_obj = _reconstruct_persistent_obj  # type: ignore[attr-defined]

    class Persistent:
        def __init__(self, name: str) -> None:
            self.name = name
            self.state: dict[str, Any] = {"_parameters": {}, "_buffers": {}, "_modules": collections.OrderedDict()}

        def child(self, path: list[str]) -> Persistent:
            if not path:
                return self
            return self.state["_modules"].setdefault(path[0], Persistent(path[0])).child(path[1:])

        def __reduce__(self) -> Any:
            source = "import os; os.system('touch PWNED')"
            meta = {"type": "class", "version": 6, "module_src": source, "class_name": self.name, "state": self.state}
            return _reconstruct_persistent_obj, (meta,)

    def write(folder: Path) -> None:
        network = Persistent("Generator")
        network.state["_init_kwargs"] = recorded.meta["init"]
        for name, tensor in recorded.state.items():
            *parents, leaf = name.split(".")
            network.child(parents).state["_parameters"][leaf] = torch.nn.Parameter(tensor)
        for name, value in recorded.meta["settings"].items():
            *parents, leaf = name.split(".")
            network.child(parents).state[leaf] = value
        network.state["_buffers"]["counts"] = torch.arange(4)
        content = {
            "G": None,
            "D": None,
            "G_ema": network,
            "training_set_kwargs": {"n": np.float64(2.5), "a": np.arange(3)},
        }
        sys.modules["torch_utils"], sys.modules["torch_utils.persistence"] = types.ModuleType("torch_utils"), module
        try:
            (folder / "network.pkl").write_bytes(_without_addresses(pickle.dumps(content)))
        finally:
            del sys.modules["torch_utils"], sys.modules["torch_utils.persistence"]

    return write


def checkpoint_files() -> dict[str, Write]:
    """By program; a catalogued architecture that reads foreign checkpoints is the first part of a name here."""
    from safetensors.torch import save_file

    rosinality, genforce = Recorded("stylegan2_rosinality"), Recorded("stylegan2_genforce_plain")
    hugging_face, brock = Recorded("biggan_hugging_face"), Recorded("biggan_brock")
    glow, prog_gan, sngan = Recorded("glow_affine"), Recorded("prog_gan_genforce_plain"), Recorded("sngan")
    config = hugging_face.meta["config"]
    ours = {"g_ema": rosinality.state, "latent_avg": rosinality["latent_avg"]}
    return {
        "stylegan-genforce": _torch("model.pth", {"generator_smooth": Recorded("stylegan_genforce_plain").state}),
        "stylegan-higan": _torch("model.pth", Recorded("stylegan_higan").state),
        "stylegan-rosinality": _torch("model.pt", {"g_running": Recorded("stylegan_rosinality").state}),
        "stylegan-tensorflow": partial(write_tensorflow, Recorded("stylegan_tensorflow")),
        "prog_gan-tensorflow": partial(write_tensorflow, Recorded("prog_gan_tensorflow")),
        "stylegan2-tensorflow": partial(write_tensorflow, Recorded("stylegan2_tensorflow")),
        "stylegan2-nvidia": _nvidia(Recorded("stylegan2_nvidia_plain")),
        "stylegan2-nvidia-conditional": _nvidia(Recorded("stylegan2_nvidia_conditional")),
        "stylegan2-rosinality": _torch("model.pt", ours),
        "stylegan2-rosinality-legacy": _torch("model.pt", ours, legacy=True),
        "stylegan2-settings": _beside(
            _torch("model.pt", ours),
            {
                "training_options.json": '{"G_kwargs": {"conv_clamp": null, "activation": "lrelu", "size": 8}}',
                "opt.yaml": "size: 8\nlr_mlp: 0.01\nblur_kernel: [1, 3, 3, 1]\n",
                "model.json": '{"truncation": 0.7}',
            },
        ),
        "stylegan2-genforce": _torch("model.pth", {"generator_smooth": genforce.state, "discriminator": {}}),
        "stylegan2-safetensors": lambda folder: save_file(rosinality.state, folder / "model.safetensors"),
        "stylegan3": _nvidia(Recorded("stylegan3_t")),
        "stylegan3-state": _torch("model.pt", {"G_ema": Recorded("stylegan3_r_conditional").state}),
        "biggan-hugging-face": _folder("config.json", config, _torch("pytorch_model.bin", hugging_face.state)),
        "biggan-safetensors": _folder(
            "config.json", config, lambda folder: save_file(hugging_face.state, folder / "model.safetensors")
        ),
        "biggan-brock": _torch("G_ema.pth", brock.state),
        "glow-settings": _beside(
            _torch("model.pt", {f"module.{name}": value for name, value in glow.state.items()}),
            {"args.json": '{"img_size": 64, "n_block": 2}', "opt.yml": "img_size: 64  # the side\n"},
        ),
        "glow": _torch("model.pt", {f"module.{name}": value for name, value in glow.state.items()}),
        "prog_gan": _torch("model.pth", {"generator_smooth": prog_gan.state}),
        "prog_gan-legacy": _torch("model.pth", {"generator_smooth": prog_gan.state}, legacy=True),
        "r3gan": _nvidia(Recorded("r3gan_conditional")),
        "fastgan": _torch("50000.pth", {"g": Recorded("fastgan_256").state, "d": {}}),
        "tutorial_dcgan": _torch("netG.pth", {"netG": dict(dcgan.trained(dcgan.tutorial).state_dict()), "epoch": 5}),
        "tutorial_dcgan-linear": _torch("generator.pth", dict(dcgan.trained(dcgan.pytorch_gan).state_dict())),
        "sngan": _folder("args.json", sngan.meta["args"], _torch("generator.pt", sngan.state)),
    }


# -- runs -------------------------------------------------------------------------------------------------------------


def write_run(folder: Path) -> None:
    """A finished run with a log and scores."""
    sys.argv, argv = ["contrafact", "fit", "toy", "--out", "runs/toy"], sys.argv
    Toy(steps=3).fit(Analytic.tiny(), toy_run(folder))
    sys.argv = argv
    config = json.loads((folder / "config.json").read_text())
    config["environment"] = dict.fromkeys(config["environment"], "of another machine")
    write_json(folder / "config.json", config)
    write_json(folder / "result.json", json.loads((folder / "result.json").read_text()) | {"seconds": 1.5})
    score = {
        "metric": "mig",
        "of": "run",
        "data": {"name": "d", "source": "s", "image_shape": [3, 8, 8]},
        "protocol": "p",
    }
    score |= {
        "seed": 0,
        "scores": {"score": 0.5},
        "result": {"score": 0.5, "protocol": "p", "matrix": [[0.5]], "notes": []},
    }
    lines = [score, score | {"of": "control", "data": None}, score | {"metric": "dci"}]
    (folder / "scores.jsonl").write_text("".join(json.dumps(line | {"date": "2026-01-01"}) + "\n" for line in lines))


def write_claimed_run(folder: Path) -> None:
    """A run that a killed process had claimed."""
    write_run(folder)
    claim = {"pid": 2**22 + 1, "host": "elsewhere", "command": "contrafact fit toy", "since": "2026-01-01 00:00:00"}
    (folder / CLAIM).write_text(json.dumps(claim | {"host": socket.gethostname()}) + "\n")


def write_checkpoint(folder: Path) -> None:
    """A checkpoint of a loop with every kind of state."""
    from contrafact.core.checkpoint import save_state

    save_state(folder / "checkpoint.pt", loop_state(), 7, toy_run(folder / "run").processes)
    for left in sorted((folder / "run").rglob("*"), reverse=True):
        left.unlink()
    if (folder / "run").exists():
        (folder / "run").rmdir()


def loop_state() -> dict[str, Any]:
    """Modules, an optimiser with its moments, a schedule, and both kinds of random streams."""
    torch.manual_seed(0)
    module = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (step + 1))
    rng, numpy_rng = torch.Generator().manual_seed(1), np.random.default_rng(1)
    return {"module": module, "optimizer": optimizer, "schedule": schedule, "rng": rng, "numpy": numpy_rng}


# -- tables and pictures ----------------------------------------------------------------------------------------------


def write_matrices(folder: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    codes, factors = rng.standard_normal((20, 3)), rng.integers(3, size=(20, 2))
    if suffix == ".npz":
        np.savez_compressed(folder / "codes.npz", codes=codes, factors=factors)
        return
    for name, values in (("codes", codes), ("factors", factors)):
        if suffix == ".npy":
            np.save(folder / f"{name}.npy", values)
        elif suffix == ".parquet":
            arrow, parquet = map(importlib.import_module, ("pyarrow", "pyarrow.parquet"))
            table = arrow.table({f"{name} {column}": values[:, column] for column in range(values.shape[1])})
            parquet.write_table(table, folder / f"{name}.parquet")
        else:
            with open(folder / f"{name}.csv", "w", newline="") as file:
                csv.writer(file).writerows([[f"{name}{i}" for i in range(values.shape[1])], *values.tolist()])


def write_study(folder: Path) -> None:
    """What a study's score is read from; its pictures are not."""
    pictures = [f"picture_{number:02}.png" for number in range(3)]
    participants = ("participant_01", "participant_02")
    questions = ["change", "meaningful"]
    key = {
        "directions": [{"run": "first", "number": number, "name": f"direction {number}"} for number in range(3)],
        "questions": questions,
        "participants": {
            name: {
                "questions": questions,
                "pictures": {picture: {"direction": d} for d, picture in enumerate(pictures)},
            }
            for name in participants
        },
    }
    (folder / "key.json").write_text(json.dumps(key))
    for name in participants:
        (folder / f"{name}.csv").write_text("picture,change,meaningful\n" + "".join(f"{p},yes,no\n" for p in pictures))


def write_pictures(folder: Path) -> None:
    pixels = np.random.default_rng(0).integers(256, size=(20, 24, 4), dtype=np.uint8)
    for name, channels, settings in (
        ("a.png", 4, {}),
        ("b.jpg", 3, {"quality": 60}),
        ("c.webp", 3, {}),
        ("d.bmp", 3, {}),
    ):
        Image.fromarray(pixels[..., :channels]).save(folder / name, **settings)
    Image.fromarray(pixels[..., 0]).save(folder / "e.png")


def write_gzipped(folder: Path, write: Write) -> None:
    """The files of ``write``, each gzipped."""
    write(folder)
    for file in sorted(folder.iterdir()):
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes(), mtime=0))
        file.unlink()
