"""ZeroDIM and OverLORD: github.com/avivga/zerodim and github.com/avivga/overlord, the first stage of their training.

Both import torchvision and rosinality's StyleGAN2 (its folder on PYTHONPATH, as their README asks). Images are noise.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.utils.cpp_extension
import yaml
from torch import Tensor, nn

from authors.beside import Beside, Ours, Stop, checkout_on_cpu, torchvision
from contrafact.core.annotations import FewLabels
from contrafact.core.generator import architecture
from contrafact.core.memory import MemoryImages
from contrafact.core.run import Run
from contrafact.methods.overlord import OverLORD
from contrafact.methods.zerodim import ZeroDIM
from contrafact.nn.factor_codes import AssignedEncoder
from contrafact.training.latent_training import TrainingImages, ValueEmbeddings, descend, few_label_loss, run_table

IMAGES = 1_000


@contextlib.contextmanager
def program(checkout: Path, batches: list[dict[str, Tensor]], noises: list[Tensor]) -> Iterator[Any]:
    """The program's training module, which notes what it draws; the working folder is a temporary one."""
    torchvision()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(contextlib.chdir(folder))
        stack.enter_context(checkout_on_cpu(checkout))
        stack.enter_context(mock.patch.object(torch.utils.cpp_extension, "load"))
        from network import training

        def noting(function: Any) -> Any:
            def iterate(self: Any, batch: dict[str, Tensor]) -> Any:
                batches.append(batch)
                return function(self, batch)

            return iterate

        for name in ("_Model__iterate_latent_model", "_Model__iterate_latent_model_with_labels"):
            if hasattr(training.Model, name):
                stack.enter_context(mock.patch.object(training.Model, name, noting(getattr(training.Model, name))))
        normal = Tensor.normal_

        def drawn(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            noises.append(normal(self, *args, **kwargs).clone())
            return self

        stack.enter_context(mock.patch.object(Tensor, "normal_", drawn))
        yield training


def zerodim(checkout: Path, options: argparse.Namespace) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    config = yaml.safe_load((checkout / "config/shapes3d.yaml").read_text())
    sizes, batches, noises = (10, 10, 10), list[dict[str, Tensor]](), list[Tensor]()
    images = rng.integers(0, 256, (IMAGES, 64, 64, 3), dtype=np.uint8)
    factors = rng.integers(0, 10, (IMAGES, 3))
    masks = np.zeros((IMAGES, 3), dtype=bool)
    annotated = np.sort(rng.choice(IMAGES, IMAGES // 5, replace=False))
    masks[annotated] = True
    config |= {"img_shape": images.shape[1:], "n_imgs": IMAGES, "n_factors": 3, "factor_sizes": sizes, "seed": 0}
    config["train"]["batch_size"] = options.batch
    method = ZeroDIM(batch_size=options.batch)

    with program(checkout, batches, noises) as training:
        adam = torch.optim.Adam

        def prepare(weights: list[Tensor], gradients: list[Tensor | None]) -> Ours:
            run = Run("run", device="cpu", precision=options.precision)
            labels = FewLabels(annotated, factors[annotated], tuple(config["factor_names"]), sizes)
            seen = TrainingImages(MemoryImages(images), labels, IMAGES, run)
            place_of = np.argsort(seen.indices)
            encoder = AssignedEncoder((3, 64, 64), labels.names, sizes, 1, 7, late_kernel=method.late_kernel)
            generator = architecture("lord")(10, (3, 64, 64), "conv", 1.0, {})
            table = run_table(IMAGES, 7, run)
            mine = [encoder.embeddings, *encoder.classifiers.parameters(), *generator.parameters()]
            with torch.no_grad():
                for parameter, weight in zip(mine, as_ours(weights), strict=True):
                    parameter.copy_(weight)
                table.state_dict()["rows"].copy_(weights[3][seen.indices])
            learned = [
                {"params": [encoder.embeddings], "lr": 1e-2},
                {"params": list(encoder.classifiers.parameters()), "lr": 1e-4},
                {"params": list(generator.parameters()), "lr": 1e-3},
            ]
            optimizer = adam(learned, betas=(0.5, 0.999), fused=True)
            noise, made = torch.Generator(), list[Tensor]()

            def step() -> Tensor:
                first, second = (place_of[batch["img_id"].numpy()] for batch in batches[-2:])
                taken = table.take(np.concatenate([first, second]))
                with mock.patch.object(torch, "randn", return_value=torch.cat(noises[-2:])):
                    loss, _ = few_label_loss(
                        encoder, generator, seen, first, second, taken.values_ND, noise, method.weights(0), run
                    )
                descend(optimizer, loss, run)
                if not made:
                    made.extend(p.grad.clone() for p in mine if p.grad is not None)
                    rows = torch.zeros(IMAGES, 7)
                    assert taken.leaf.grad is not None
                    rows[torch.from_numpy(seen.indices)[taken.rows]] = taken.leaf.grad
                    made.append(rows)
                table.update(taken, 1e-2)
                return loss

            first = step()
            theirs = as_ours([torch.zeros(()) if g is None else g for g in gradients])
            assert gradients[3] is not None
            return Ours(first.item(), made, [*theirs, gradients[3]], step)

        beside = Beside(options.steps, prepare)
        with beside.watching("Adam"), contextlib.suppress(Stop):
            model = training.Model(config)
            with mock.patch.object(training, "Adam", torch.optim.Adam):
                model.train_latent_model(images, factors, masks, factors[:, :0], "model", "board")
    return beside.result(f"ZeroDIM, stage 1, Shapes3D's settings, 64 px, {options.batch} and as many annotated images")


def overlord(checkout: Path, options: argparse.Namespace) -> dict[str, Any]:
    """With squared error in the place of VGG's features, whose weights are not at hand, on both sides."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    config = yaml.safe_load((checkout / "config/celebahq.yaml").read_text())
    batches, noises, side = list[dict[str, Tensor]](), list[Tensor](), options.side
    images = rng.integers(0, 256, (IMAGES, side, side, 3), dtype=np.uint8)
    labels = rng.integers(0, 2, IMAGES)
    config |= {"img_shape": images.shape[1:], "n_imgs": IMAGES, "n_labels": 2}
    config["disentanglement"]["batch_size"] = options.batch
    method = OverLORD.preset("celebahq", batch_size=options.batch, reconstruction="squared")

    with program(checkout, batches, noises) as training:
        adam = torch.optim.Adam
        model = mock.Mock()

        def prepare(weights: list[Tensor], gradients: list[Tensor | None]) -> Ours:
            run = Run("run", device="cpu", precision=options.precision)
            known = FewLabels(np.arange(IMAGES), labels[:, None], ("gender",), (2,))
            seen = TrainingImages(MemoryImages(images), known, IMAGES, run)
            embeddings, wide = ValueEmbeddings((2,), method.factor_dim), method.factor_dim + method.residual_dim
            generator: Any = architecture("lord")(wide, (3, side, side), "style", 1.0, {})
            table = run_table(IMAGES, wide, run)
            named = {n: p for n, p in generator.named_parameters() if "noise" not in n}
            names = [name.removeprefix("module.") for name, _ in model.latent_model.generator.named_parameters()]
            mine = [embeddings.weight, *named.values()]

            def ordered(tensors: list[Tensor], double: float) -> list[Tensor]:
                """Our codes come first, theirs last; our images are in [−1, 1] until the end, theirs in [0, 1]."""
                theirs, made = dict(zip(names, tensors[2:], strict=True)), [tensors[0][None]]
                for name, parameter in named.items():
                    tensor = theirs[style_name(name)].reshape(parameter.shape)
                    tensor = tensor.roll(method.factor_dim, 1) if "affine.weight" in name else tensor
                    made.append(tensor * double if "to_images" in name and "affine" not in name else tensor)
                return made

            with torch.no_grad():
                for parameter, weight in zip(mine, ordered(weights, 2.0), strict=True):
                    parameter.copy_(weight)
                generator.synthesis.to_images[-1].bias.sub_(1.0)
                table.state_dict()["rows"][:, method.factor_dim :].copy_(weights[1])
            groups = [{"params": [embeddings.weight], "lr": 1e-2}, {"params": list(named.values()), "lr": 1e-3}]
            optimizer = adam(groups, betas=(0.5, 0.999), fused=True)
            noise, made = torch.Generator(), list[Tensor]()

            def step() -> Tensor:
                places = batches[-1]["img_id"].numpy()
                pictures, taken = seen.batch(places, run), table.take(places)
                own_ND, residual_NR = taken.values_ND.tensor_split([method.factor_dim], dim=1)
                target = torch.cat([seen.codes(embeddings, places, own_ND, run), residual_NR], dim=1)
                with mock.patch.object(torch, "randn", return_value=noises[-1] / method.sigma):
                    loss, _ = method.latent_loss(generator, target, residual_NR, pictures, noise, run)
                descend(optimizer, loss, run)
                if not made:
                    made.extend(p.grad.clone() for p in mine if p.grad is not None)
                table.update(taken, 1e-2)
                return loss

            first = step()
            return Ours(first.item(), made, ordered(gradients, 0.5), step)  # type: ignore[arg-type]

        beside = Beside(options.steps, prepare)
        with beside.watching("Adam"), contextlib.suppress(Stop):
            squared = mock.patch.object(training, "VGGDistance", return_value=nn.MSELoss())
            with squared, mock.patch.object(training, "Adam", torch.optim.Adam):
                model = training.Model(config)
                model.train_latent_model(images, labels, None, "model", "board")
    return beside.result(f"OverLORD, stage 1, CelebA-HQ's settings, squared error, {side} px, {options.batch} images")


def style_name(name: str) -> str:
    """The program's name of a parameter of our StyleGAN2 decoder."""
    part, *rest = name.removeprefix("synthesis.").split(".")
    if part == "const":
        return "input.input"
    number, is_image = int(rest[0]), part == "to_images"
    place = f"to_rgbs.{number - 1}" if is_image else f"convs.{number - 1}"
    first = "to_rgb1" if is_image else "conv1"
    inside = {"weight": "conv.weight", "bias": "bias" if is_image else "activate.bias"}
    named = "conv.modulation." + rest[2] if rest[1] == "affine" else inside[rest[1]]
    return f"{place if number else first}.{named}"


def as_ours(tensors: list[Tensor]) -> list[Tensor]:
    """ZeroDIM's tensors, of three classifiers and the generator, in our order and stacking."""
    embeddings, rest = tensors[:3], tensors[4:]
    classifiers = [rest[12 * f : 12 * f + 12] for f in range(3)]
    convolutions = [torch.cat(parts) for parts in zip(*(c[:8] for c in classifiers), strict=True)]
    weights = [torch.stack([c[i].T for c in classifiers]) for i in (8, 10)]
    biases = [torch.stack([c[i][None] for c in classifiers]) for i in (9, 11)]
    return [torch.stack(embeddings), *convolutions, *weights, *biases, *rest[36:]]
