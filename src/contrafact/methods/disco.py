"""DisCo: directions of a frozen generator and an encoder, learned together by contrasting image variations.

Learning Disentangled Representation by Exploiting Pretrained Generative Models: A Contrastive Learning View,
Ren, Yang, Wang & Zeng, ICLR 2022, https://arxiv.org/abs/2102.10543.

Paper and released program differ; ``formulation`` names either, and each of its parts is an option of its own. Edits
of a step, contrast and domination stand apart: Eq. 9 is ``DisCo.loss``.
Deviations: magnitudes are in standard deviations of the edit space and the smallest one is symmetric (the release lifts
positive ones only); the release's bias before rescaling a direction is left out; ``batching="all_pairs"`` is ours.

Shape suffixes: B queries, N positives, M negatives, S samples, J code dimensions, D directions, L latent dimensions.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from contrafact.core.budget import Budget
from contrafact.core.directions import Directions
from contrafact.core.encoder import Encoder
from contrafact.core.generator import Generator
from contrafact.core.method import Artefacts, Method
from contrafact.core.ranges import Rate, Share, Size, SizeOrZero, Steps, Weight, Width
from contrafact.core.run import Run
from contrafact.core.settings import Group
from contrafact.core.whitened_directions import WhitenedDirections
from contrafact.losses import contrastive
from contrafact.methods._contrast import Contrast
from contrafact.methods._edits import Edits
from contrafact.methods._joint_frame import Frame, joint_frame
from contrafact.nn.trainable import EncoderChoice, NavigatorKind, trainable_directions, trainable_encoder
from contrafact.training.edit_pool import EditPool, check_pool
from contrafact.training.piecewise import in_pieces, mixes_rows
from contrafact.training.step_memory import graph_bytes, refuse_too_much

JOINT_DIAGONAL = "joint_diagonal"
# Four of 32 codes are few.
_FEW = 7
FORMULATIONS: dict[str, dict[str, Any]] = {
    "released": {
        "code_dim": 64, "steps": 70_000, "learning_rate": 1e-4, "shift": "normal", "reduction": "mean",
        "flipping": "cross_entropy", "detach_negatives": True, "domination": "query",
        "encoder_slope": 0.01,
    },
    "paper": {
        "code_dim": 32, "steps": 100_000, "learning_rate": 1e-5, "shift": "uniform", "reduction": "sum",
        "flipping": "pseudo_label", "detach_negatives": False, "domination": "mean_per_dimension",
        "encoder_slope": 0.0,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Start(Group):
    """What training starts from, and what of it is trained."""

    pretrained_encoder: str | None = None
    """An encoder.safetensors to start from (Appendix E)."""
    train_encoder: bool = True
    """Train the encoder; off keeps a pretrained one as it is and learns directions only."""
    initial_directions: str | None = None
    """A directions.safetensors to start from (Table 12); own, those a generator has (the true ones of an analytic
    scene), or own_mixed, sums of two of them; or joint_diagonal: the frame of that method, found first, which says how
    many directions there are, and of an empty code_dim how many codes."""
    train_directions: bool = True
    """Train the directions; off keeps the initial ones and learns the encoder only."""
    thaw: Share = 0.0
    """Share of the steps for which the initial directions stay as they are, before they are trained too (Table 12)."""


@dataclass(frozen=True)
class DisCo(Method):
    """Disentanglement via Contrast. Options left empty take the value their formulation gives them.

    >>> import contrafact as cf
    >>> scene = cf.load_generator("analytic", {"size": 16})
    >>> run = cf.methods.DisCo.preset("quick", steps=1, encoder_width=0.1).fit(scene, "runs/disco")
    >>> edited = run.directions(scene.sample(4, seed=0), index=3, magnitude=2.0)
    >>> run.encoder(run.generator(edited)).shape  # 4 images to 32 codes
    torch.Size([4, 32])
    """

    source: ClassVar[Literal["generator", "images"]] = "generator"
    yields: ClassVar[tuple[str, ...]] = ("encoder", "directions", "generator")
    older: ClassVar[Mapping[str, Any]] = {
        "encoder_slope": 0.2,
        "images_at_once": 0,
        "usage_weight": 0.0,
        "pool": 0,
        "thaw": 0.0,
    }
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "released": {},
        "paper": {"formulation": "paper"},
        "quick": {
            "batching": "all_pairs", "shared_bases": True, "num_directions": 10, "directions_per_step": 10,
            "samples_per_direction": 12, "code_dim": 32, "encoder_width": 0.5, "steps": 800, "learning_rate": 1e-3,
            "navigator_learning_rate": 3e-3, "shift": "uniform", "max_shift": 2.0, "detach_negatives": False,
            "domination": "mean", "domination_weight": 6.0, "encoder_slope": 0.2,
        },
        "framed": {
            "initial_directions": JOINT_DIAGONAL, "train_directions": False, "pool": 2500, "batching": "all_pairs",
            "shared_bases": True, "num_directions": 16, "directions_per_step": 16, "samples_per_direction": 16,
            "encoder": "locatello", "steps": 900, "learning_rate": 1e-3, "shift": "uniform",
            "max_shift": 2.0, "min_shift": 0.3, "flipping": "none", "detach_negatives": False, "domination": "mean",
            "domination_weight": 6.0, "usage_weight": 0.3,
        },
        "tiny": {"pool": 0},
    }  # fmt: skip

    formulation: Literal["released", "paper"] = "released"
    """Whose settings fill the options left empty: the released program's (it made the numbers) or the paper's."""
    num_directions: Size = 64
    """Candidate directions D."""
    code_dim: Size | None = None
    """Code dimensions J; by default the formulation's, of an encoder of your own as many as it has."""
    navigator: NavigatorKind = "unit"
    """Directions of unit length, an orthonormal frame, or a three-layer network (Table 4)."""
    encoder: EncoderChoice = "conv"
    """The light encoder of Table 7, a ResNet-50, which collapses (Table 11), or one of your own with J outputs."""
    encoder_width: Width = 1.0
    """Multiplies the light encoder's channel counts."""
    encoder_slope: Share | None = None
    """Slope of the light encoder's leaky ReLU: 0.01 as released, 0 for the paper's ReLU; else the formulation's."""
    domination: contrastive.Domination | None = None
    """Entropy per query (released), of a direction's mean variation (Eq. 5), that over J (Eq. 6), or none."""
    domination_weight: Weight = 1.0
    """Weight λ of the domination loss."""
    usage_weight: Weight = 0.0
    """Weight of the entropy of the codes' usage over a step, which is made large (ours): no collapse to a few codes."""
    steps: Steps | None = None
    """Training steps; by default the formulation's."""
    learning_rate: Rate | None = None
    """Adam's learning rate; by default the formulation's."""
    navigator_learning_rate: Rate | None = None
    """Adam's learning rate for the directions; by default the encoder's."""
    images_at_once: SizeOrZero = 0
    """Images of a step that are made and encoded at a time, each of them twice: the same gradients, the memory of so
    many; 0 for all at once and once only."""
    contrast: Contrast = Contrast()  # noqa: RUF009 - frozen
    edits: Edits = Edits()  # noqa: RUF009 - frozen
    start: Start = Start()

    def resolved(self) -> DisCo:
        """The same settings with every empty option filled in from the formulation."""
        given = self.hyperparameters()
        empty = {name: value for name, value in FORMULATIONS[self.formulation].items() if given[name] is None}
        framed = self.start.initial_directions == JOINT_DIAGONAL
        if isinstance(self.encoder, nn.Module) or framed:  # it has as many codes as it has, or as there are directions
            empty.pop("code_dim", None)
        return self.changed(**empty) if empty else self

    def shared_settings(self) -> tuple[str, ...]:
        """The edits of a step; each process contrasts along directions of its own."""
        if self.edits.batching == "all_pairs":
            return ("samples_per_direction",)
        return ("num_queries", "num_positives", "num_negatives")

    def budget(self) -> Budget:
        """As many steps, and images encoded in each; the ten directions that Table 1 reads, however many are sought."""
        cfg = self.resolved()
        return Budget(cfg.steps, self.edits.images_per_step(), self.encoder_width, 10, cfg.encoder_slope)

    def check_options(self) -> None:
        """Refuse settings that do not go together, those of the formulation included."""
        edits, start = self.edits, self.start
        several = edits.directions_per_step if edits.batching == "all_pairs" else self.num_directions
        if min(several, self.num_directions) < 2:
            raise ValueError("a contrast needs at least 2 directions (num_directions, directions_per_step)")
        if several > self.num_directions:
            raise ValueError(f"directions_per_step is {several}, but there are only {self.num_directions} directions")
        if edits.batching == "all_pairs" and edits.samples_per_direction < 2:
            raise ValueError("all_pairs batching needs at least 2 samples_per_direction, or nothing is positive")
        if edits.batching != "all_pairs" and edits.shared_bases:
            raise ValueError("shared_bases needs batching='all_pairs'; paper batching gives every pair its own base")
        if edits.min_shift > edits.max_shift:
            raise ValueError(f"expected min_shift <= max_shift, got {edits.min_shift} and {edits.max_shift}")
        if not start.train_encoder and start.pretrained_encoder is None:
            raise ValueError("train_encoder is off but there is no pretrained_encoder to keep; name one")
        if start.thaw and not (start.train_directions and start.initial_directions):
            raise ValueError(
                "thaw keeps initial directions for a while before they are trained; name some, or leave it 0"
            )
        if edits.pool and (start.train_directions or not edits.shared_bases):
            raise ValueError(
                "a pool of edits needs fixed directions and shared_bases; set train_directions off, or pool 0"
            )
        if not (start.train_encoder or start.train_directions):
            raise ValueError("train_encoder and train_directions are both off: nothing would be learned")

    def check_source(self, source: Generator, run: Run) -> None:
        """Refuse directions and an encoder that do not fit the generator."""
        if self.start.initial_directions != JOINT_DIAGONAL:
            self._directions(source, run)
        if self.edits.pool:  # before directions are looked for, which may take an hour and find fewer than asked for
            framed = self.start.initial_directions == JOINT_DIAGONAL
            check_pool(source, 1 if framed else self.num_directions, self.edits.pool)
        if mixes_rows(self._encoder(source, run)) and self.images_at_once:
            raise ValueError(
                "images_at_once takes a step's images apart, but this encoder normalises over its batch; set it to 0"
            )

    def _check_memory(self, source: Generator, encoder: Encoder, run: Run) -> None:
        """Refuse a step that does not fit, before anything is spent on it (ValueError)."""
        latents = source.sample(2, seed=0).requires_grad_()
        looking = copy.deepcopy(encoder).eval()  # the encoder itself sees what it learns from, and nothing else
        with run.autocast():
            made = graph_bytes(lambda some: looking.encode(source(some)), latents)
            seen = graph_bytes(looking.encode, source(latents).detach())
        learning = self._edits_learned_from(encoder)
        needed = made * learning + seen * min(self.edits.num_bases(), learning)
        if self.images_at_once:
            needed = made * min(self.images_at_once, learning)
        refuse_too_much(needed, run.device, "set images_at_once to 1 or a few: gradients stay the same")

    def _directions(self, source: Generator, run: Run) -> Directions:
        layers = (self.edits.first_layer, self.edits.last_layer)
        initial = self.start.initial_directions
        if initial == JOINT_DIAGONAL:
            frame = Frame(first_layer=layers[0], last_layer=layers[1])
            return joint_frame(source, run, frame, self.num_directions)
        return trainable_directions(run, source, self.num_directions, self.navigator, initial, layers)

    def _encoder(self, source: Generator, run: Run) -> Encoder:
        cfg = self.resolved()
        assert cfg.encoder_slope is not None  # for the type checker
        kind = (cfg.encoder, cfg.encoder_width, cfg.start.pretrained_encoder, cfg.encoder_slope)
        return trainable_encoder(run, source.image_shape, cfg.code_dim, *kind)

    def _sized(self, directions: Directions) -> DisCo:
        """With as many directions as a frame turned out to have, and as many codes where that was left open."""
        if self.start.initial_directions != JOINT_DIAGONAL:
            return self
        found = directions.num_directions
        sizes = {"num_directions": found, "directions_per_step": min(found, self.edits.directions_per_step)}
        return self.changed(**sizes, code_dim=self.code_dim or found)

    def train(self, source: Generator, run: Run) -> Artefacts:
        """Minimise Eq. 9 over encoder and directions."""
        cfg = self.resolved()
        directions = cfg._directions(source, run)
        cfg = cfg._sized(directions)
        assert cfg.steps and cfg.learning_rate  # noqa: PT018 - for the type checker
        encoder = cfg._encoder(source, run).train(cfg.start.train_encoder)
        features = encoder.code_dim * (2 if cfg.contrast.variation == "concatenation" else 1)
        with run.seeded_init("classifier"):
            classifier = nn.Linear(features, cfg.num_directions + 1).to(run.device)
        encoder.requires_grad_(cfg.start.train_encoder)
        directions.requires_grad_(cfg.start.train_directions)
        learned = [p for p in (*encoder.parameters(), *classifier.parameters()) if p.requires_grad]
        navigator = [p for p in directions.parameters() if p.requires_grad]
        navigator_rate = cfg.navigator_learning_rate or cfg.learning_rate
        groups: list[dict[str, Any]] = [{"params": learned}, {"params": navigator, "lr": navigator_rate}]
        optimizer = torch.optim.Adam(groups, lr=cfg.learning_rate, fused=True)
        rng, pool = run.rng("pairs"), None
        if cfg.edits.pool:
            pool = EditPool.of(source, directions, cfg.edits.pool, cfg.edits.magnitudes, run.rng("pool"))
        else:
            cfg._check_memory(source, encoder, run)
        state: dict[str, Any] = {"encoder": encoder, "directions": directions, "classifier": classifier}
        state |= {"optimizer": optimizer, "rng": rng}

        for step in run.steps(cfg.steps, state):
            loss, scalars = cfg.step_loss(source, encoder, directions, classifier, rng, run, pool)
            optimizer.zero_grad(set_to_none=True)
            run.backward(loss, [*learned, *navigator])
            if step < cfg.start.thaw * cfg.steps:
                for vectors in navigator:
                    vectors.grad = None
            optimizer.step()
            run.log(loss=loss, **scalars)
        _warn_of_collapse(run, encoder.code_dim)
        if isinstance(directions, WhitenedDirections):
            directions.read_anew()
        return Artefacts(encoder=encoder, directions=directions, generator=source)

    def step_loss(
        self,
        source: Generator,
        encoder: Encoder,
        directions: Directions,
        classifier: nn.Module,
        rng: torch.Generator,
        run: Run,
        pool: EditPool | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of one step on fresh edits, or some of the pool, and the scalars to log (settings ``resolved``)."""
        index_S, magnitude_S = (t.to(run.device) for t in self.edits.draw(self.num_directions, rng))
        if pool is None:
            variation_SJ = self._variations(source, encoder, directions, (index_S, magnitude_S), rng, run)
        else:
            before, after, magnitude_S = pool.take(self.edits.num_bases(), index_S, rng)
            with run.autocast():
                codes = encoder.encode(torch.cat([before, after])).float()
            variation_SJ = self.contrast.variations(codes[: len(before)], codes[len(before) :])
        if self.contrast.objective == "classification":
            loss = guess_loss(classifier(variation_SJ), index_S, magnitude_S)
            scalars = {"contrast": loss}
        else:
            loss, scalars = self.loss(variation_SJ, index_S)
        if self.usage_weight:
            loss = loss - self.usage_weight * contrastive.usage_entropy(variation_SJ)
        return loss, {**scalars, "dimensions": contrastive.effective_dimensions(variation_SJ)}

    def _variations(
        self,
        source: Generator,
        encoder: Encoder,
        directions: Directions,
        edits: tuple[Tensor, Tensor],
        rng: torch.Generator,
        run: Run,
    ) -> Tensor:
        """Variations ``(S, J)`` of fresh edits of these directions and magnitudes."""
        index_S, magnitude_S = edits
        base = source.sample(self.edits.num_bases(), rng)

        def some(first: int, last: int) -> Tensor:
            begin = base[first:last]
            # Shared bases repeat in the order of the edits: all samples of one direction, then all of the next.
            repeated = begin.repeat((last - first) // len(begin), *[1] * (base.ndim - 1))
            with run.autocast():
                with torch.no_grad():
                    before = in_pieces(source, begin, self.images_at_once)
                moved = directions(repeated, index_S[first:last], magnitude_S[first:last])
                if self.images_at_once:
                    seen = in_pieces(encoder.encode, before, self.images_at_once)
                    made = in_pieces(lambda latents: encoder.encode(source(latents)), moved, self.images_at_once)
                    codes = torch.cat([seen, made]).float()
                else:
                    codes = encoder.encode(torch.cat([before, source(moved)])).float()
            return self.contrast.variations(codes[: len(begin)], codes[len(begin) :])

        learning = self._edits_learned_from(encoder)
        variation_SJ = some(0, learning)
        if learning == len(index_S):
            return variation_SJ
        with torch.no_grad():
            others_MJ = some(learning, len(index_S))
        return torch.cat([variation_SJ, others_MJ])

    def _edits_learned_from(self, encoder: Encoder) -> int:
        """How many edits, the first of a step, gradients go back through: negatives without any are worth no graph."""
        every = self.edits.num_edits()
        is_contrast = self.edits.batching == "paper" and self.contrast.objective != "classification"
        stops = is_contrast and self.contrast.detach_negatives and not self.usage_weight
        return every - self.edits.num_negatives if stops and not mixes_rows(encoder) else every

    def loss(self, variation_SJ: Tensor, index_S: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. 9, contrast + λ · domination, on one step's variations and the directions they are of; what to log."""
        pairs = self.edits.pairs(variation_SJ, index_S)
        logits_QK = self.contrast.logits(pairs)
        contrast = self.contrast.loss(logits_QK, pairs)
        dominated_PSJ = pairs.asking_PSJ if self.domination == "query" else pairs.groups_PSJ
        domination = contrastive.domination_loss(dominated_PSJ, self.domination or "none")
        within, across = logits_QK[pairs.positive_QK], logits_QK[pairs.negative_QK]
        scalars = {"contrast": contrast, "domination": domination, "within": within.mean(), "across": across.mean()}
        scalars["flipped"] = (across >= self.contrast.threshold).float().mean()
        return contrast + self.domination_weight * domination, scalars


def guess_loss(guess_SD: Tensor, index_S: Tensor, magnitude_S: Tensor) -> Tensor:
    """Table 2's classification: which of D directions an edit followed, and in the last column how far."""
    shift_error = (guess_SD[:, -1] - magnitude_S).abs().mean()
    return F.cross_entropy(guess_SD[:, :-1], index_S) + 0.25 * shift_error


def _warn_of_collapse(run: Run, code_dim: int) -> None:
    """Say so when most negatives were flipped, or when few of the codes are used at all."""
    last = run.last_line
    used = last.get("dimensions", math.inf)
    if last.get("flipped", 0.0) > 0.5 or used < 1.5:
        warnings.warn(
            f"DisCo has collapsed: {last.get('flipped', 0.0):.0%} of the negatives were flipped and the variations use "
            f"{used:.1f} code dimensions. Try more code dimensions, a smaller domination_weight, flipping='none', or a "
            "higher threshold.",
            stacklevel=2,
        )
    elif used < code_dim / _FEW:
        warnings.warn(
            f"the variations of all directions use {used:.1f} of {code_dim} codes, so several directions share one. "
            "Try usage_weight=0.3, a smaller domination_weight, or initial_directions='joint_diagonal'.",
            stacklevel=2,
        )
