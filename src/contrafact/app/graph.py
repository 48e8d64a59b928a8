"""A generator and its directions as one ONNX graph that makes one picture: what runs inside an exported page.

Shape suffixes: L latent dimensions, K layers, D directions, C channels, H, W sides.
"""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from contrafact.core.directions import Directions, GlobalDirections, LayeredDirections
from contrafact.core.encoder import Encoder
from contrafact.core.generator import Generator

UNROLLED = 64
"""Directions that are not plain vectors and fit into a graph: each has a copy of its network there."""
_SMALLEST_HALVED = 256
_RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}


class EditedPicture(nn.Module):
    """Latent ``(1, L)``, or ``(1, K, L)`` where the layers take one each, moved along all directions, as a picture."""

    def __init__(self, generator: Generator, directions: Directions) -> None:
        super().__init__()
        self.generator, self.directions = generator, directions

    def forward(self, latent: Tensor, magnitudes: Tensor, layers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pixels ``(H, W, 4)``, bytes, opaque; the moved latent; and a number that is finite if every pixel is.

        Args:
            latent: where to start.
            magnitudes: ``(D,)`` in standard deviations, taken one after the other as they are numbered.
            layers: ``(K,)``, 1 where a step acts and 0 where it does not.
        """
        moved = latent
        if _is_of_vectors(self.directions):
            vectors = self.directions.vectors()
            step = (magnitudes @ vectors.flatten(1)).unflatten(0, vectors.shape[1:])
            moved = self._moved(moved, step[None], layers)
        else:
            for number in range(self.directions.num_directions):
                # As the directions do it outside: one latent per sample, the mean of the layers that are acted on.
                place = moved if moved.ndim == 2 else (layers[:, None] * moved).sum(dim=1) / layers.sum()
                place = place[:, slice(*(self.directions.columns or (None, None)))]
                step = self.directions.shift(place, torch.tensor([number]), magnitudes[number : number + 1])
                moved = self._moved(moved, step, layers)
        image = self.generator(moved)[0]
        return _picture(image), moved, image.abs().mean()

    def _moved(self, latent: Tensor, shift: Tensor, layers: Tensor) -> Tensor:
        step = self.directions.placed(self.directions.scale * shift, latent.shape[-1])
        if latent.ndim == 2:
            return latent + step
        return latent + layers[:, None] * (step if step.ndim == 3 else step[:, None])


def _is_of_vectors(directions: Directions) -> TypeGuard[GlobalDirections | LayeredDirections]:
    """Whether edits along these directions add up, whatever the latent: one product does them all."""
    return type(directions) in (GlobalDirections, LayeredDirections)


class Reading(nn.Module):
    """An encoder that reads a picture ``(H, W, 4)`` as :class:`EditedPicture` makes it: codes ``(J,)``."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, picture: Tensor) -> Tensor:
        """Codes ``(J,)``."""
        channels = self.encoder.image_shape[0]
        codes: Tensor = self.encoder.encode(picture[None, :, :, :channels].permute(0, 3, 1, 2).float() / 255)[0]
        return codes


def _picture(image: Tensor) -> Tensor:
    """Bytes ``(H, W, 4)`` of an image ``(C, H, W)``: clamped, what is not opaque laid on white."""
    values = image.clamp(0, 1)
    if len(values) == 4:
        values = 1 - values[3:] * (1 - values[:3])
    colours = (values.expand(3, -1, -1) * 255).round()
    opaque = torch.full_like(colours[:1], 255.0)
    return torch.cat((colours, opaque)).permute(1, 2, 0).to(torch.uint8)


def picture_graph(generator: Generator, directions: Directions, half: bool = False) -> bytes:
    """The graph of :class:`EditedPicture`: ``latent``, ``magnitudes``, ``layers`` to ``picture``, ``moved``, ``mean``.

    Args:
        generator: on any device; not changed.
        directions: that fit it.
        half: store weights in 16 bits; they are widened where the graph is loaded.

    Raises:
        ValueError: the extra ``onnx`` is missing, or torch cannot turn this generator or these directions into a graph;
            the message says which and what else to use.
    """
    many = not _is_of_vectors(directions) and directions.num_directions > UNROLLED
    if many:
        raise ValueError(
            f"{directions.num_directions} directions of the kind {type(directions).__name__} do not fit into a page, "
            f"at most {UNROLLED} do; choose some (contrafact export RUN --directions … --out few.safetensors) and "
            "take --use few.safetensors, or serve the page: contrafact explore without --export"
        )
    layers = generator.num_layers
    shape = (1, layers, generator.latent_dim) if layers > 1 else (1, generator.latent_dim)
    start = torch.zeros(shape, device=generator.device)
    inputs = (start, start.new_zeros(directions.num_directions), start.new_ones(layers))
    what = f"the generator {generator.name} ({type(generator).__name__}) with {type(directions).__name__}"
    return _graph(EditedPicture(generator, directions), inputs, ["picture", "moved", "mean"], what, half)


def reading_graph(encoder: Encoder, half: bool = False) -> bytes:
    """The graph of :class:`Reading`: input ``picture``, output ``codes``; errors as for :func:`picture_graph`."""
    _, height, width = encoder.image_shape
    picture = torch.zeros(height, width, 4, dtype=torch.uint8)
    return _graph(Reading(encoder), (picture,), ["codes"], f"the encoder ({type(encoder).__name__})", half)


def _graph(module: nn.Module, inputs: tuple[Tensor, ...], outputs: list[str], what: str, half: bool) -> bytes:
    onnx = _onnx()
    try:
        with _quiet(), torch.no_grad():
            program: Any = torch.onnx.export(
                module.eval(), inputs, dynamo=True, verbose=False, output_names=outputs, optimize=True
            )
    except (torch.onnx.OnnxExporterError, RuntimeError, TypeError) as error:
        reason = next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), "no reason given")
        raise ValueError(
            f"{what} cannot be turned into an ONNX graph ({reason[:200]}); serve the page instead: contrafact explore "
            "without --export"
        ) from error
    model = program.model_proto
    found = sorted({node.op_type for node in model.graph.node} & _RANDOM)
    if found:
        raise ValueError(
            f"{what} draws noise of its own for every picture ({', '.join(found)}), which a graph cannot repeat; serve "
            "the page instead: contrafact explore without --export"
        )
    _strip(model)
    if half:
        _store_halved(onnx, model)
    content: bytes = model.SerializeToString()
    return content


def _strip(model: Any) -> None:
    """Without torch's notes on where each node comes from: half of a small graph, and paths of this machine."""
    for part in (
        model,
        model.graph,
        *model.graph.node,
        *model.graph.initializer,
        *model.graph.input,
        *model.graph.output,
    ):
        del part.metadata_props[:]
        part.doc_string = ""
    del model.graph.value_info[:]


def _store_halved(onnx: Any, model: Any) -> None:
    """Weights in 16 bits, and a node for each that widens it: half the bytes, and the same graph behind."""
    widening = []
    for weight in model.graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype != "float32" or values.size < _SMALLEST_HALVED:
            continue
        name = weight.name
        weight.CopyFrom(onnx.numpy_helper.from_array(values.clip(-65504, 65504).astype("float16"), f"{name}.half"))
        widening.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*widening, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _onnx() -> Any:
    try:
        importlib.import_module("onnxscript")
        return importlib.import_module("onnx")
    except ImportError as error:
        raise ValueError(
            "a page with the generator inside needs the packages onnx and onnxscript: pip install 'contrafact[onnx]'"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's remarks on packages that no graph of ours needs, and on its own coming changes."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
