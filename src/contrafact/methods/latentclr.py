"""LatentCLR: directions whose edits change a generator's features alike wherever they start (Yüksel et al. 2021).

LatentCLR: A Contrastive Learning Approach for Unsupervised Discovery of Interpretable Directions, Yüksel, Simsar, Er &
Yanardag, ICCV 2021, https://arxiv.org/abs/2104.00820.

Paper and released program differ; ``formulation`` names either, and each of its parts is an option of its own. The
class's defaults are the paper's for BigGAN, ``presets["stylegan2"]`` its other setting. Deviations: magnitudes are in
standard deviations of the edit space and are applied after truncation (the release truncates StyleGAN2's edits too, so
its steps are ψ times as long); every direction draws its own magnitude (the release: one for all global directions);
``layer="image"`` contrasts the images themselves. The paper leaves τ and α open.

Shape suffixes: N latents, K or D directions, L latent dimensions, F features, E edits; of a stack of networks G groups,
P places in a group, I inputs, O outputs.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.dataset import check_count
from contrafact.core.directions import Directions, GlobalDirections
from contrafact.core.generator import IMAGE, Generator
from contrafact.core.method import Artefacts, Method
from contrafact.core.ranges import Depth, Layer, Positive, Rate, Share, Size, Steps, Weight
from contrafact.core.run import Run
from contrafact.losses.contrastive import gram
from contrafact.training.step_memory import graph_bytes, refuse_too_much

FORMULATIONS: dict[str, dict[str, Any]] = {
    "released": {
        "normalize_features": True, "absolute": True, "temperature": 2.0, "reduction": "mean", "batch_norm": True,
        "rate_drops": (1000, 5000),
    },
    "paper": {
        "normalize_features": False, "absolute": False, "temperature": 0.5, "reduction": "sum", "batch_norm": False,
        "rate_drops": (),
    },
}  # fmt: skip
RATE_FACTOR = 0.2
"""What a drop multiplies the learning rate by."""


@dataclass(frozen=True)
class LatentCLR(Method):
    """Contrastive directions. Options left empty take the value their formulation gives them.

    >>> import contrafact as cf
    >>> scene = cf.load_generator("analytic", {"size": 16})
    >>> run = cf.methods.LatentCLR.preset("quick", num_directions=5, steps=1).fit(scene, "runs/latentclr")
    >>> run.directions(scene.sample(4, seed=0), index=2, magnitude=-1.5).shape
    torch.Size([4, 8])
    """

    source: ClassVar[Literal["generator", "images"]] = "generator"
    yields: ClassVar[tuple[str, ...]] = ("directions", "generator")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "biggan": {},
        "stylegan2": {
            "num_directions": 100, "batch_size": 8, "truncation": 0.7, "lowest": 1.0, "highest": 1.0, "steps": 50_000,
        },
        "paper": {"formulation": "paper"},
        "quick": {
            "model": "global", "num_directions": 10, "batch_size": 8, "truncation": 1.0, "steps": 600,
            "learning_rate": 3e-2, "rate_drops": (400,),
        },
    }  # fmt: skip

    formulation: Literal["released", "paper"] = "released"
    """Whose settings fill the options left empty: the released program's or the paper's."""
    model: Literal["global", "linear", "nonlinear"] = "nonlinear"
    """Directions that are the same everywhere (θ), linear in the latent (M z), or a network of it."""
    num_directions: Size = 32
    """Directions K."""
    depth: Depth = 3
    """Linear layers of a nonlinear direction's network."""
    batch_norm: bool | None = None
    """Batch normalisation in those networks (released)."""
    first_layer: Layer | None = None
    """First layer of a style-based generator the directions act on; empty for all."""
    last_layer: Layer | None = None
    """One past the last such layer."""
    lowest: float = -3.0
    """Smallest magnitude α, in standard deviations of the edit space; each direction draws one per step."""
    highest: float = 3.0
    """Largest magnitude α; equal to the smallest for a constant one."""

    layer: str | None = None
    """Layer whose features are contrasted (contrafact show generator lists them), or image; empty: a style-based
    generator's first, in another the one a third of the way."""
    truncation: Share = 0.4
    """Truncation of the latents that are edited, in [0, 1]; 1 for none."""
    normalize_features: bool | None = None
    """Rescale features to unit length before taking differences (released)."""
    absolute: bool | None = None
    """Contrast the absolute cosine, so that opposite changes count as the same (released)."""
    temperature: Positive | None = None
    """Temperature τ."""
    reduction: Literal["mean", "sum"] | None = None
    """Mean (released) or sum (paper) over positives and over negatives: the loss differs by a constant."""

    steps: Steps = 300_000
    """Training steps."""
    batch_size: Size = 16
    """Latents N of a step; each is edited along every direction."""
    learning_rate: Rate = 1e-3
    """Adam's learning rate."""
    rate_drops: tuple[Steps, ...] | None = None
    """Steps after which the learning rate falls to a fifth (released: 1000 and 5000)."""
    weight_decay: Weight = 1e-3
    """Adam's weight decay."""

    def resolved(self) -> LatentCLR:
        """The same settings with every empty option filled in from the formulation."""
        filled = {k: v for k, v in FORMULATIONS[self.formulation].items() if getattr(self, k) is None}
        return dataclasses.replace(self, **filled) if filled else self

    def check_options(self) -> None:
        """Refuse settings that leave nothing to contrast."""
        full = self.resolved()
        if full.num_directions < 2 or full.batch_size < 2:
            raise ValueError(
                "a contrast needs at least 2 directions and 2 latents, or nothing is negative or positive; got "
                f"num_directions {full.num_directions} and batch_size {full.batch_size}"
            )
        if full.lowest > full.highest or full.lowest == full.highest == 0:
            raise ValueError(f"expected lowest <= highest, not both zero, got {full.lowest} and {full.highest}")

    def check_source(self, source: Generator, run: Run) -> None:
        """Refuse directions and a truncation that do not fit the generator, and a layer that does not show them."""
        cfg = self.resolved()
        source.truncated(cfg.truncation)
        source.check_layer(layer := cfg.layer or default_layer(source))
        check_effect(source, cfg.build_directions(source, run), layer)

    def train(self, source: Generator, run: Run) -> Artefacts:
        """Minimise the contrastive loss over the directions."""
        cfg = self.resolved()
        assert cfg.rate_drops is not None
        layer = cfg.layer or default_layer(source)
        directions = cfg.build_directions(source, run)
        fused = run.device.type in ("cpu", "cuda")  # networks of many directions are most of a step otherwise
        weights = directions.parameters()
        optimizer = torch.optim.Adam(weights, cfg.learning_rate, weight_decay=cfg.weight_decay, fused=fused)
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, list(cfg.rate_drops), RATE_FACTOR)
        probe = source.sample(2, seed=0).requires_grad_()
        held = cfg.batch_size * cfg.num_directions * graph_bytes(lambda some: features_of(source, some, layer), probe)
        refuse_too_much(held, run.device, "set a smaller batch_size or num_directions")
        rng = run.rng("edits")
        state = {"directions": directions, "optimizer": optimizer, "schedule": schedule, "rng": rng}

        for _ in run.steps(cfg.steps, state):
            loss, scalars = cfg.step_loss(source, directions, layer, rng)
            optimizer.zero_grad(set_to_none=True)
            run.backward(loss, directions.parameters())
            optimizer.step()
            schedule.step()
            run.log(loss=loss, **scalars)
        return Artefacts(directions=directions, generator=source)

    def build_directions(self, source: Generator, run: Run) -> Directions:
        """Fresh directions of the chosen model on the run's device (settings must be ``resolved``)."""
        common: dict[str, Any] = {"latent_dim": source.edit_dim, "num_directions": self.num_directions}
        common |= {"scale": source.latent_scale(), "layers": source.layer_range(self.first_layer, self.last_layer)}
        common |= {"num_layers": source.num_layers, "columns": source.edit_columns}
        with run.seeded_init("directions"):
            if self.model == "global":
                vectors = GlobalDirections(**common)
                nn.init.normal_(vectors.weight)
                return vectors.to(run.device)
            depth = self.depth if self.model == "nonlinear" else 1
            return LatentDirections(**common, depth=depth, batch_norm=bool(self.batch_norm)).to(run.device)

    def step_loss(
        self, source: Generator, directions: Directions, layer: str, rng: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of one step on freshly drawn latents, and the scalars to log (settings must be ``resolved``)."""
        assert self.temperature is not None and self.reduction is not None  # noqa: PT018 - for the type checker
        source = source.truncated(self.truncation)
        latent = source.sample(self.batch_size, rng)
        span = self.highest - self.lowest
        magnitude_K = self.lowest + span * torch.rand(self.num_directions, generator=rng).to(latent.device)
        edited = directions.every(latent, magnitude_K)
        # In float32: an edit's features differ from the original's by little, of which bfloat16 leaves two digits.
        with torch.no_grad():
            before_NF = features_of(source, latent, layer).flatten(1).float()
        after_KNF = features_of(source, edited, layer).flatten(1).float().unflatten(0, (-1, self.batch_size))
        if self.normalize_features:
            # Only the difference's direction counts: after/|after| − before/|before| is taken |after| times as long.
            before_NF = after_KNF.norm(dim=-1, keepdim=True) * F.normalize(before_NF, dim=-1)
        return contrast_edits(
            after_KNF - before_NF, self.temperature, absolute=bool(self.absolute), reduction=self.reduction
        )


class LatentDirections(Directions):
    """Directions with a network each: ``z + ε·f_d(z) / ‖f_d(z)‖`` ("LatentCLR", Section 3.2).

    ``depth=1`` is the paper's linear model, ``f_d(z) = M_d z``; deeper ones are its nonlinear model, with ReLU between
    layers, biases in all but the last, and inputs in standard deviations. The networks' weights are stacked: moving
    every latent along every direction is one batched product per layer, whatever D is.

    Args:
        latent_dim: L.
        num_directions: D.
        depth: linear layers of each network.
        hidden_dim: width between them; L by default.
        batch_norm: batch normalisation before each ReLU, over the latents of a batch, one set per direction. Only
            :meth:`every` in training mode uses (and learns) the batch's statistics.
        scale: length of a unit step in the edit space.
        names: D names.
        layers: layer range the shift acts on.
        num_layers: layers of the generator.
        last_bias: give the last layer a bias too, as some of the release's models have.
        columns: columns of the latent it acts on, L of them.

    >>> directions = LatentDirections(latent_dim=4, num_directions=2, depth=1)
    >>> moved = directions(torch.ones(3, 4), index=1, magnitude=2.0)
    >>> torch.allclose((moved - 1).norm(dim=1), torch.tensor(2.0))
    True
    """

    def __init__(
        self,
        latent_dim: int,
        num_directions: int,
        depth: int = 3,
        hidden_dim: int | None = None,
        batch_norm: bool = False,
        scale: float = 1.0,
        names: Sequence[str] | None = None,
        layers: tuple[int, int] | None = None,
        num_layers: int = 1,
        last_bias: bool = False,
        columns: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(latent_dim, num_directions, scale, names, layers, num_layers, columns)
        self.last_bias = last_bias
        self.depth = check_count("depth", depth)
        self.hidden_dim = check_count("hidden_dim", latent_dim if hidden_dim is None else hidden_dim)
        self.batch_norm = batch_norm
        sizes = [latent_dim, *[self.hidden_dim] * (depth - 1), latent_dim]
        self.weights_DIO = nn.ParameterList(
            _uniform((num_directions, inputs, outputs), inputs) for inputs, outputs in itertools.pairwise(sizes)
        )
        self.biases_D1O = nn.ParameterList(
            _uniform((num_directions, 1, outputs), inputs)
            for inputs, outputs in itertools.pairwise(sizes if last_bias else sizes[:-1])
        )
        self.norms = nn.ModuleList(
            nn.BatchNorm1d(num_directions * self.hidden_dim) for _ in range(depth - 1 if batch_norm else 0)
        )

    def shift(self, latent: Tensor, index: Tensor, magnitude: Tensor) -> Tensor:
        # Rows of one direction form a group of one batched product; gathering weights for each row would copy far more.
        order = torch.argsort(index, stable=True)
        used_G, group_N, count_G = torch.unique_consecutive(index[order], return_inverse=True, return_counts=True)
        place_N = torch.arange(len(index), device=index.device) - (count_G.cumsum(0) - count_G)[group_N]
        grid_GPL = latent.new_zeros(len(used_G), int(count_G.max()) if len(index) else 0, self.latent_dim)
        grid_GPL[group_N, place_N] = latent[order]
        unit_GPL = self._unit(grid_GPL, None if len(used_G) == self.num_directions else used_G, learning=False)
        unit_NL = torch.empty_like(latent).index_copy(0, order, unit_GPL[group_N, place_N].to(latent.dtype))
        return magnitude[:, None] * unit_NL

    def shift_every(self, latent: Tensor, magnitude: Tensor) -> Tensor:
        copies_DNL = latent.expand(self.num_directions, -1, -1)
        return magnitude[:, None, None] * self._unit(copies_DNL, None, learning=self.training)

    def _unit(self, latent_GPL: Tensor, used_G: Tensor | None, learning: bool) -> Tensor:
        """Each group's latents through its own network, at unit length; ``used_G`` None means all, in order."""

        def of_used(stacked: Tensor) -> Tensor:
            return stacked if used_G is None else stacked[used_G]

        hidden = latent_GPL / self.scale
        for layer, weight_DIO in enumerate(self.weights_DIO):
            if layer:
                hidden = F.relu(hidden)
            if layer == self.depth - 1:
                hidden = torch.bmm(hidden, of_used(weight_DIO))
                hidden = hidden + of_used(self.biases_D1O[layer]) if self.last_bias else hidden
                break
            hidden = torch.baddbmm(of_used(self.biases_D1O[layer]), hidden, of_used(weight_DIO))
            if self.batch_norm:
                hidden = self._normalised(hidden, layer, used_G, learning)
        unit: Tensor = hidden / hidden.norm(dim=2, keepdim=True).clamp_min(1e-8)
        return unit

    def _normalised(self, hidden_GPO: Tensor, layer: int, used_G: Tensor | None, learning: bool) -> Tensor:
        norm = self.norms[layer]
        assert isinstance(norm, nn.BatchNorm1d)
        if learning:
            flat_NF: Tensor = norm(hidden_GPO.transpose(0, 1).flatten(1))
            normalised: Tensor = flat_NF.unflatten(1, (self.num_directions, -1)).transpose(0, 1)
            return normalised
        mean, variance, gain, offset = (
            t.view(self.num_directions, 1, -1)[slice(None) if used_G is None else used_G]
            for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
            if t is not None
        )
        scaled: Tensor = (hidden_GPO - mean) * torch.rsqrt(variance + norm.eps) * gain + offset
        return scaled

    def arguments(self) -> dict[str, Any]:
        own = {"depth": self.depth, "hidden_dim": self.hidden_dim, "batch_norm": self.batch_norm}
        return {**self.common_arguments(), **own, **({"last_bias": True} if self.last_bias else {})}


def _uniform(shape: tuple[int, ...], inputs: int) -> nn.Parameter:
    """Uniform in ±1/√inputs, as torch initialises linear layers."""
    return nn.Parameter(torch.empty(shape).uniform_(-(inputs**-0.5), inputs**-0.5))


def features_of(generator: Generator, latent: Tensor, layer: str) -> Tensor:
    """Activations of ``layer``, computed no further than that layer; or the images."""
    return generator(latent) if layer == IMAGE else generator.features(latent, layer)


def default_layer(generator: Generator) -> str:
    """A style-based generator's first layer; another's a third of the way, as the paper's is in BigGAN-512."""
    names = generator.layer_names or (IMAGE,)
    return names[0 if generator.num_layers > 1 else len(names) // 3]


@torch.no_grad()
def check_effect(generator: Generator, directions: Directions, layer: str) -> None:
    """Refuse directions none of which changes anything at ``layer``: every difference would be zero, and teach nothing.

    A direction alone may: a network of few units can be dead at one latent and not at others.

    Raises:
        ValueError: unknown layer, or one that the latent, or the part of it that is moved, does not reach.
    """
    latent = generator.sample(1, torch.Generator().manual_seed(0))
    before = features_of(generator, latent, layer)
    for direction in range(directions.num_directions):
        if not torch.equal(before, features_of(generator, directions(latent, direction, 1.0), layer)):
            return
    if directions.layers is None:
        known = ", ".join((*generator.layer_names, IMAGE))
        raise ValueError(
            f"moving the latent changes nothing at layer {layer!r}, so there is nothing to contrast; name one that "
            f"depends on it, of {known}"
        )
    first, last = directions.layers
    raise ValueError(
        f"moving style layers {first} to {last - 1} changes nothing at layer {layer!r}, which comes before them; "
        "contrast a later layer, or move earlier ones (first_layer, last_layer)"
    )


def contrast_edits(
    difference_KNF: Tensor, temperature: float, absolute: bool = False, reduction: Literal["mean", "sum"] = "sum"
) -> tuple[Tensor, dict[str, Tensor]]:
    """LatentCLR's loss (Section 3.2): edits of one direction are alike, those of other directions are not.

    With s the similarity of two differences over τ, the mean over all edits of
    ``−log Σ_{same direction, other latent} exp s + log Σ_{other directions} exp s``: no positive is in the second sum.

    Args:
        difference_KNF: features after an edit minus before, of K directions at N latents.
        temperature: τ.
        absolute: take the absolute cosine (released).
        reduction: sums as printed, or means (released), which differ by a constant.

    Returns:
        the loss, and what to log: it, the mean similarities ``within`` and ``across`` directions, and ``accuracy``, the
        share of edits whose positives count for more than their negatives, on average.
    """
    k, n = difference_KNF.shape[:2]
    products_EE = gram(difference_KNF.flatten(0, 1))
    length_E = products_EE.diagonal()
    # An edit without any effect is like nothing, not even itself, and has no gradient.
    inverse_E = torch.where(length_E > 0, length_E.clamp_min(torch.finfo(length_E.dtype).tiny).rsqrt(), 0.0)
    similarity_EE = products_EE * inverse_E[:, None] * inverse_E
    if absolute:
        similarity_EE = similarity_EE.abs()
    direction_E = torch.arange(k, device=similarity_EE.device).repeat_interleave(n)
    same_EE = direction_E[:, None] == direction_E[None]
    positive_EE = same_EE & ~torch.eye(k * n, dtype=torch.bool, device=similarity_EE.device)
    logits_EE = similarity_EE / temperature
    attraction_E = logits_EE.masked_fill(~positive_EE, -torch.inf).logsumexp(dim=1)
    repulsion_E = logits_EE.masked_fill(same_EE, -torch.inf).logsumexp(dim=1)
    mean_attraction_E, mean_repulsion_E = attraction_E - math.log(n - 1), repulsion_E - math.log(n * (k - 1))
    if reduction == "mean":
        attraction_E, repulsion_E = mean_attraction_E, mean_repulsion_E
    with torch.no_grad():
        within = (similarity_EE * positive_EE).sum() / (k * n * (n - 1))
        across = (similarity_EE * ~same_EE).sum() / (k * n * n * (k - 1))
        accuracy = (mean_attraction_E > mean_repulsion_E).float().mean()
    return (repulsion_E - attraction_E).mean(), {"within": within, "across": across, "accuracy": accuracy}
