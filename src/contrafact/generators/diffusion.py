"""Diffusion: denoisers of the diffusers library, as a path of few deterministic steps.

DDPM and DDIM (Ho, Jain & Abbeel 2020; Song, Meng & Ermon 2021, https://arxiv.org/abs/2010.02502), latent diffusion and
Stable Diffusion (Rombach et al. 2022, https://arxiv.org/abs/2112.10752), XL and Turbo; transformers: DiT (Peebles & Xie
2023, https://arxiv.org/abs/2212.09748), Stable Diffusion 3 (Esser et al. 2024, https://arxiv.org/abs/2403.03206), Flux.
Networks and solvers are those of diffusers, so that a step here is a step there. Edits shift the bottleneck h at all
steps (Kwon, Jeong & Uh, https://arxiv.org/abs/2210.10960; Haas et al., https://arxiv.org/abs/2303.11073), of a
transformer what its middle block gives for each patch; the noise; or the prompt: there the difference that a shift of
the empty prompt makes is added to what the network says, as NoiseCLR does (https://arxiv.org/abs/2312.05390).

Deviations: images are not clamped; h is shifted for the whole prediction, not for its clean-image part alone (Asyrp).

Shape suffixes: N samples, T tokens, D numbers of a token, E numbers of an edit, C, H, W sides.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from contrafact.core.catalog import unknown_name_message
from contrafact.core.dataset import check_count
from contrafact.core.generator import sample_latents
from contrafact.core.progress import Progress
from contrafact.generators._denoisers import Told, denoiser_of, noise_shape
from contrafact.generators._networks import vae_of
from contrafact.generators._sampled import Sampled, unit_of
from contrafact.generators._solvers import first_sigma, follows_flow, retreat, scaled, solver_of

Space = Literal["h", "noise", "prompt"]
_MEASURED, _MEASURED_STEPS = 8, 3


class Diffusion(Sampled):
    """A pipeline of diffusers: a denoiser, its solver, perhaps a VAE and the embedding of a text.

    Pipelines are read from their folders by :func:`contrafact.load_generator`; this is what they become.

    Args:
        denoiser: ``{"class": "UNet2DModel", "config": {…}}``.
        solver: ``{"class": "DDIMScheduler", "config": {…}}``, diffusers' scheduler; a deterministic one.
        vae: the same for ``AutoencoderKL`` or ``VQModel``; None where the denoiser works on pixels.
        text: ``(T, D)`` of a prompt's embedding; None for a denoiser without text.
        pooled: numbers of the prompt's pooled embedding (Stable Diffusion XL and 3, Flux); None without.
        steps: from noise to image; solvers of higher order take more passes than that.
        guidance: classifier-free guidance, by the text or a DiT's class: 1 is none, and each step then costs one pass,
            not two. Flux dev is told the number instead.
        scheduler: another solver than the pipeline's: ddim, euler, heun, dpm, pndm, unipc, deis, lms; of a flow
            flow_euler alone.
        space: ``h``, ``noise`` or ``prompt``.
        module: the module whose output is h, by its dotted name in the denoiser; None for ``mid_block``, or the middle
            one of ``transformer_blocks``.
        edit_guidance: what the effect of a shifted prompt is multiplied by; None for ``guidance``, or 1 of Flux.
        size: ``(H, W)`` of the images; None for what the denoiser was trained on.
        prompt: the text whose embedding it holds, to be recorded.
        checkpointed: for gradients, keep only the images between steps, and compute each step again.
        gradient_steps: how many of the last steps gradients go through; None for all.
        label: the class that all images are of, for a denoiser that is told one; None leaves it open, and in the latent
            the class then stands after the noise.

    Raises:
        ValueError: diffusers is not installed, networks or solvers that are not supported, a solver that is not
            deterministic or not of the network's kind, guidance or the prompt space without a text, no such module or
            class, a VAE of other channels than the denoiser's, or a size that does not fit.

    >>> generator = Diffusion.tiny()
    >>> latent = generator.sample(2, seed=0)
    >>> generator(latent).shape, generator.space, generator.num_layers
    (torch.Size([2, 3, 16, 16]), 'h', 3)
    """

    unit: Tensor
    empty_TD: Tensor
    denoiser: Any
    vae: Any

    def __init__(
        self,
        denoiser: Mapping[str, Any],
        solver: Mapping[str, Any],
        vae: Mapping[str, Any] | None = None,
        text: tuple[int, int] | None = None,
        pooled: int | None = None,
        steps: int = 20,
        guidance: float = 1.0,
        scheduler: str | None = None,
        space: Space = "h",
        module: str | None = None,
        edit_guidance: float | None = None,
        size: tuple[int, int] | None = None,
        prompt: str | None = None,
        checkpointed: bool = True,
        gradient_steps: int | None = None,
        label: int | None = None,
    ) -> None:
        super().__init__()
        if space not in ("h", "noise", "prompt"):
            raise ValueError(unknown_name_message("space", space, ["h", "noise", "prompt"]))
        if not guidance >= 1 or not math.isfinite(guidance):
            raise ValueError(f"guidance must be at least 1, which is none, got {guidance}")
        parts = {"denoiser": denoiser, "solver": solver, "vae": vae}
        self._parts = {name: None if part is None else dict(part) for name, part in parts.items()}
        self.denoiser, self._kind = denoiser_of(denoiser)
        self._check_told(text, pooled, guidance, space, prompt)
        self.text = None if text is None else (text[0], text[1])
        self.pooled, self.guidance, self.scheduler = pooled, float(guidance), scheduler
        self.inference_steps, self.module, self.prompt = steps, module or self._kind.module, prompt
        self.space, self.edit_guidance = space, edit_guidance
        self.spaces = ("h", "noise") if text is None else ("h", "noise", "prompt")
        self.num_classes = self._kind.classes
        self.vae = None if vae is None else vae_of(vae)
        if text is not None:
            for name in ("told", "empty"):
                self.register_buffer(f"{name}_TD", torch.zeros(*text))
                if pooled is not None:
                    self.register_buffer(f"{name}_P", torch.zeros(pooled))
        noise = noise_shape(self._kind, self.vae, size)
        factor = 1 if self.vae is None else 2 ** (len(self.vae.config.block_out_channels) - 1)
        colours = self._kind.said if self.vae is None else self.vae.config.out_channels
        self.image_shape = (colours, noise[1] * factor, noise[2] * factor)
        self._solver = self._solver_of(steps, noise)
        self._h_shape = self._shape_of_h(noise) if space == "h" else None
        edits = {"h": self._h_shape or (), "noise": None, "prompt": (text or (0, 0))[1:]}[space]
        self.register_buffer("unit", torch.ones((edits[0], *[1] * (len(edits) - 1)) if space == "h" and edits else ()))
        count = len(self._solver.timesteps)
        self.settle(noise, count, math.prod(edits) if edits else 0, checkpointed, gradient_steps)
        if label is not None:
            self.fix_label(label)
        self.edit_layer = "h" if space == "h" else None
        has_h = self.module in dict(self.denoiser.named_modules())
        self.layer_names = (*(["h"] if has_h else []), *self._kind.layers)

    def _check_told(self, text: Any, pooled: int | None, guidance: float, space: str, prompt: str | None) -> None:
        """Refuse what does not go with what the denoiser is told (ValueError)."""
        name, kind = type(self.denoiser).__name__, self._kind
        if kind.has_text != (text is not None):
            needed = "needs the size of a text's embedding" if kind.has_text else "takes no text"
            raise ValueError(f"the denoiser {name} {needed}, got text {text}")
        if kind.has_pooled and pooled is None:
            raise ValueError(f"the denoiser {name} needs the size of a text's pooled embedding, got none")
        guided = guidance != 1 and kind.guided == "no"
        if guided and text is not None:
            raise ValueError(
                f"this denoiser ({name}) was made to do without guidance (as Flux schnell), so there is none for it; "
                "leave it out"
            )
        if text is None and (guided or space == "prompt" or prompt is not None):
            what = "prompt" if prompt is not None else "guidance" if guided else "prompt space"
            raise ValueError(f"this denoiser ({name}) takes no text, so there is no {what} for it; leave it out")

    def _solver_of(self, steps: int, noise: tuple[int, int, int]) -> Any:
        part, kind = self._parts["solver"] or {}, self._kind
        solver = solver_of(part, self.scheduler, steps, lambda solver, count: kind.schedule(solver, count, noise))
        if kind.flow and not follows_flow(solver):
            raise ValueError(
                f"the {type(self.denoiser).__name__} says flows, and the pipeline's {type(solver).__name__} follows "
                "noise; they belong to different pipelines"
            )
        return solver

    @classmethod
    def tiny(cls) -> Diffusion:
        """A small one with random weights, for the tests."""
        config = {
            "sample_size": 16, "in_channels": 3, "out_channels": 3, "layers_per_block": 1, "norm_num_groups": 4,
            "block_out_channels": [8, 8], "down_block_types": ["DownBlock2D", "DownBlock2D"],
            "up_block_types": ["UpBlock2D", "UpBlock2D"], "attention_head_dim": 4,
        }  # fmt: skip
        denoiser = {"class": "UNet2DModel", "config": config}
        solver = {"class": "DDIMScheduler", "config": {"clip_sample": False}}
        generator = cls(denoiser, solver, steps=3, checkpointed=False)
        generator.measure(torch.Generator().manual_seed(0), 256)
        return generator

    def ask(self, x: Tensor, step: int, edit: Tensor | None) -> Tensor:
        classes, edit = self._class_and_edit(edit, x)
        shift = edit.unflatten(1, self._h_shape) * self.unit if self.space == "h" and edit is not None else None
        told = self._told(len(x), "told", classes)
        if self.space != "prompt" or edit is None:
            if self._weight == 1:
                return self._predict(x, step, [told], shift)[0]
            without, with_it = self._predict(x, step, [self._told(len(x), "empty", classes), told], shift)
            return without + self._weight * (with_it - without)
        empty = self._told(len(x), "empty", classes)
        without, edited, with_it = self._predict(x, step, [empty, self._shifted(empty, edit), told], None)
        guided = with_it if self._weight == 1 else without + self._weight * (with_it - without)
        return guided + self._edit_guidance() * (edited - without)

    def effect(self, x: Tensor, step: int, edit: Tensor) -> Tensor:
        if self.space != "prompt":
            return super().effect(x, step, edit)
        empty = self._told(len(x), "empty")
        without, edited = self._predict(x, step, [empty, self._shifted(empty, edit)])
        return edited - without

    def go(self, said: Tensor, x: Tensor, step: int, solver: Any) -> Tensor:
        moved: Tensor = solver.step(said, solver.timesteps[step], x, return_dict=False)[0]
        return moved

    def split(self, latent: Tensor) -> tuple[Tensor, list[Tensor | None]]:
        noise, edits = super().split(latent)
        return noise * first_sigma(self._solver), edits

    def solver(self) -> Any:
        solver = copy.deepcopy(self._solver)  # it counts, and those of several steps remember
        if hasattr(solver, "is_scale_input_called"):
            solver.is_scale_input_called = True  # `scaled` does it, without what the solver notes of it
        return solver

    @torch.no_grad()
    def noise_of(self, x: Tensor, rounds: int = 4) -> Tensor:
        """The noise ``(N, C, H, W)`` whose path ends at ``x``: each step is gone back in rounds to a fixed point."""
        for step in reversed(range(self.steps)):
            guess = x
            for _ in range(check_count("rounds", rounds)):  # one is the inversion of "DDIM"
                guess = retreat(self._solver, self.ask(guess, step, None), x, guess, step)
            x = guess
        return x

    def forward(self, latent: Tensor) -> Tensor:
        """Images ``(N, C, H, W)``."""
        return self.in_parts(self._images, latent)

    def _images(self, latent: Tensor) -> Tensor:
        noise, edits = self.split(latent)
        x = self.walk(noise, edits)
        if self.vae is None:
            return x / 2 + 0.5
        if self.checkpointed and torch.is_grad_enabled():
            return checkpoint(self._decoded, x, use_reentrant=False)  # type: ignore[no-any-return]
        return self._decoded(x)

    def _decoded(self, x: Tensor) -> Tensor:
        scaled = x / self.vae.config.scaling_factor + (self.vae.config.get("shift_factor") or 0.0)
        images: Tensor = self.vae.decode(scaled, return_dict=False)[0]
        return images / 2 + 0.5

    def image_latents(self, images: Tensor, rounds: int = 4) -> Tensor:
        """Latents ``(N, L)`` whose paths end at images ``(N, C, H, W)``, as nearly as the steps can be gone back."""
        x = 2 * images - 1
        if self.vae is not None:
            said = self.vae.encode(x, return_dict=False)[0]
            mean = said if isinstance(said, Tensor) else said.mean
            x = (mean - (self.vae.config.get("shift_factor") or 0.0)) * self.vae.config.scaling_factor
        noise = self.noise_of(x, rounds) / first_sigma(self._solver)
        return self.map(noise.flatten(1))

    def features(self, latent: Tensor, layer: str) -> Tensor:
        """``h``: the mean over all steps, in units; ``up0`` … or ``block0`` …: what that block gives in the last step.

        Under guidance, of the pass with the text.
        """
        if layer not in self.layer_names:
            return super().features(latent, layer)
        return self.in_parts(lambda part: self._activations(part, layer), latent)

    def _activations(self, latent: Tensor, layer: str, bar: Progress | None = None) -> Tensor:
        x, edits = self.split(latent)
        if layer != "h":
            x = self.walk(x, edits[:-1])
            with self._kind.watched(self.denoiser, self._kind.layers[layer]) as seen:
                self.ask(x, self.steps - 1, edits[-1])
            return seen[0][-len(x) :]
        solver, total = self.solver(), torch.zeros((), device=x.device)
        for step, edit in enumerate(edits):
            with self._watched() as seen:
                said = self.ask(x, step, edit)
            total = total + seen[0][-len(x) :].float()
            x = self.go(said, x, step, solver)
            if bar is not None:
                bar.advance(len(x))
        return total / (self.steps * (self.unit if self.space == "h" else 1.0))

    @torch.no_grad()
    def measure(
        self, rng: torch.Generator, samples: int = _MEASURED, steps: int = _MEASURED_STEPS, progress: bool = False
    ) -> None:
        """Find the unit of edits: of h its spread over a few short paths, of a prompt that of the empty one's tokens.

        Args:
            rng: draws the noise.
            samples: how many paths, of classes at random where they are open.
            steps: of each.
            progress: show a progress bar on stderr.
        """
        self.unit.fill_(1.0)
        if self.space == "prompt":
            self.unit.copy_((self.empty_TD - self.empty_TD.mean(dim=0)).norm(dim=1).square().mean().sqrt())
        elif self.space == "h":
            few = copy.copy(self)
            few._solver = self._solver_of(steps, self.noise_shape)
            few.steps = few.num_layers = len(few._solver.timesteps)
            latents = sample_latents(few, samples, rng)
            with Progress("measuring h", samples * few.steps, enabled=progress) as bar:
                h = few.in_parts(lambda part: few._activations(part, "h", bar), latents)
            self.unit.copy_(unit_of(h))

    def arguments(self) -> dict[str, Any]:
        """What the constructor takes, for files."""
        return {
            **self._parts,
            "text": self.text,
            "pooled": self.pooled,
            "steps": self.inference_steps,
            "guidance": self.guidance,
            "scheduler": self.scheduler,
            "space": self.space,
            "module": self.module,
            "edit_guidance": self.edit_guidance,
            "size": self.image_shape[1:],
            "prompt": self.prompt,
            "checkpointed": self.checkpointed,
            "gradient_steps": self.gradient_steps,
            "label": self.label,
        }

    @property
    def _weight(self) -> float:
        """Of the pass that is told something against the one that is told nothing."""
        return self.guidance if self._kind.guided == "passes" else 1.0

    def _edit_guidance(self) -> float:
        return max(1.0, self._weight) if self.edit_guidance is None else self.edit_guidance

    def _class_and_edit(self, edit: Tensor | None, x: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Classes ``(N,)`` and the edit ``(N, E)`` among what a step takes."""
        if self.label is not None:
            return torch.full((len(x),), self.label, device=x.device), edit
        if self.num_classes == 0:
            return None, edit
        if edit is None or edit.shape[1] != self.latent_dim - self.prior_dim:
            raise ValueError(
                f"this {type(self.denoiser).__name__} is told one of {self.num_classes} classes, and here none is "
                'given; fix one when loading it, {"label": 0} (--of-class 0, or --set label=0)'
            )
        classes = edit[:, : self.num_classes].argmax(dim=1)
        return classes, edit[:, self.num_classes :] if self.edit_range[0] else None

    def _told(self, n: int, name: str, classes: Tensor | None = None) -> Told:
        """What the network is told of ``n`` images: the prompt (``told``), or in place of it nothing (``empty``)."""
        size = (self.image_shape[1], self.image_shape[2])
        if self.text is not None:
            tokens = getattr(self, f"{name}_TD").expand(n, -1, -1)
            pooled = None if self.pooled is None else getattr(self, f"{name}_P").expand(n, -1)
            return Told(tokens, pooled, size=size, guidance=self.guidance)
        if classes is not None and name == "empty":
            classes = torch.full_like(classes, self._kind.no_class or 0)
        return Told(classes=classes, size=size)

    def _shifted(self, told: Told, edit: Tensor) -> Told:
        """All tokens but the first, which begins every text, moved alike."""
        tokens: Any = told.tokens
        moves = torch.ones(tokens.shape[1], 1, device=edit.device)
        moves[0] = float(len(moves) == 1)
        return replace(told, tokens=tokens + moves * (self.unit * edit)[:, None])

    def _predict(self, x: Tensor, step: int, told: Sequence[Told], shift: Tensor | None = None) -> tuple[Tensor, ...]:
        """What the network says at ``x`` being told each of these, in one pass."""
        count, time = len(told), self._solver.timesteps[step].to(x.device)
        shown = scaled(self._solver, x, step).repeat(count, 1, 1, 1)
        moved = None if shift is None else shift.repeat(count, *[1] * (shift.ndim - 1))
        with nullcontext() if moved is None else self._watched(moved):
            said = self._kind.say(self.denoiser, shown, time, Told.joined(told))
        parts: tuple[Tensor, ...] = said.chunk(count)
        return parts

    def _watched(self, shift: Tensor | None = None) -> AbstractContextManager[list[Tensor]]:
        """What the module of h gives while this lasts."""
        return self._kind.watched(self.denoiser, self.module, shift)

    @torch.no_grad()
    def _shape_of_h(self, noise: tuple[int, int, int]) -> tuple[int, ...]:
        """What the module gives for one image, found without memory or time."""
        if self.module not in dict(self.denoiser.named_modules()):
            known = [name for name, _ in self.denoiser.named_children()]
            raise ValueError(
                f"this {type(self.denoiser).__name__} has no module {self.module!r} whose output could be h; name one "
                f'yourself, {{"module": …}} (--set module=…): one of {", ".join(known)}, or of their parts'
            )
        with torch.device("meta"):
            shadow, kind = denoiser_of(self._parts["denoiser"] or {})
            classes = torch.zeros(1, dtype=torch.long) if kind.classes else None
            with kind.watched(shadow, self.module) as seen:
                kind.say(shadow, torch.zeros(1, *noise), torch.zeros(()), self._told(1, "told", classes).hollow())
        if not seen:
            raise ValueError(f"the module {self.module!r} takes no part in denoising; name another")
        return tuple(seen[0].shape[1:])
