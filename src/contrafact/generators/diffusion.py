"""Diffusion: denoisers of the diffusers library, as a path of few deterministic steps.

DDPM and DDIM (Ho, Jain & Abbeel 2020; Song, Meng & Ermon 2021, https://arxiv.org/abs/2010.02502), latent diffusion and
Stable Diffusion (Rombach et al. 2022, https://arxiv.org/abs/2112.10752), XL and Turbo. Networks and solvers are those
of diffusers, so that a step here is a step there. Edits shift the bottleneck h at all steps (Kwon, Jeong & Uh,
https://arxiv.org/abs/2210.10960; Haas et al., https://arxiv.org/abs/2303.11073), the noise, or the prompt: there the
difference that a shift of the empty prompt makes is added to what the network says, as NoiseCLR does
(https://arxiv.org/abs/2312.05390).

Deviations: images are not clamped; h is shifted for the whole prediction, not for its clean-image part alone (Asyrp).

Shape suffixes: N samples, T tokens, D numbers of a token, E numbers of an edit, C, H, W sides.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from contrafact.core.catalog import unknown_name_message
from contrafact.core.generator import sample_latents
from contrafact.core.progress import Progress
from contrafact.generators._denoisers import TEXT_DENOISERS, class_count, denoiser_of, solver_of, vae_of, watched
from contrafact.generators._sampled import Sampled, unit_of

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
        pooled: numbers of the prompt's pooled embedding (Stable Diffusion XL); None without.
        steps: from noise to image; solvers of higher order take more passes than that.
        guidance: classifier-free guidance: 1 is none, and each step then costs one pass, not two.
        scheduler: another solver than the pipeline's: ddim, euler, heun, dpm, pndm, unipc, deis, lms.
        space: ``h``, ``noise`` or ``prompt``.
        module: the module whose output is h, by its dotted name in the denoiser.
        edit_guidance: what the effect of a shifted prompt is multiplied by; None for ``guidance``, at least 1.
        size: ``(H, W)`` of the images; None for what the denoiser was trained on.
        prompt: the text whose embedding it holds, to be recorded.
        checkpointed: for gradients, keep only the images between steps, and compute each step again.
        gradient_steps: how many of the last steps gradients go through; None for all.
        label: the class that all images are of, for a denoiser that is told one; None leaves it open, and in the latent
            the class then stands after the noise.

    Raises:
        ValueError: diffusers is not installed, networks or solvers that are not supported, a solver that is not
            deterministic, guidance or the prompt space without a text, no such module or class, a VAE of other
            channels than the denoiser's, or a size that does not divide.

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
        module: str = "mid_block",
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
        if (text is None) == (denoiser.get("class") in TEXT_DENOISERS):
            needed = "needs the size of a text's embedding" if text is None else "takes no text"
            raise ValueError(f"the denoiser {denoiser.get('class')} {needed}, got text {text}")
        if text is None and (guidance != 1 or space == "prompt" or prompt is not None):
            what = "prompt" if prompt is not None else "guidance" if guidance != 1 else "prompt space"
            raise ValueError(
                f"this denoiser ({denoiser.get('class')}) takes no text, so there is no {what} for it; leave it out"
            )
        parts = {"denoiser": denoiser, "solver": solver, "vae": vae}
        self._parts = {name: None if part is None else dict(part) for name, part in parts.items()}
        self.text = None if text is None else (text[0], text[1])
        self.pooled, self.guidance, self.scheduler = pooled, float(guidance), scheduler
        self.inference_steps, self.module, self.prompt = steps, module, prompt
        self.space, self.edit_guidance = space, edit_guidance
        self.spaces = ("h", "noise") if text is None else ("h", "noise", "prompt")
        self.denoiser = denoiser_of(denoiser)
        self.num_classes = class_count(self.denoiser)
        self.vae = None if vae is None else vae_of(vae)
        self._solver = solver_of(solver, scheduler, steps)
        if text is not None:
            for name in ("told", "empty"):
                self.register_buffer(f"{name}_TD", torch.zeros(*text))
                if pooled is not None:
                    self.register_buffer(f"{name}_P", torch.zeros(pooled))
        self.image_shape, noise_shape = self._shapes(size)
        self._h_shape = self._shape_of_h(noise_shape) if space == "h" else None
        edits = {"h": self._h_shape or (), "noise": None, "prompt": (text or (0, 0))[1:]}[space]
        self.register_buffer("unit", torch.ones((edits[0], *[1] * (len(edits) - 1)) if space == "h" and edits else ()))
        count = len(self._solver.timesteps)
        self.settle(noise_shape, count, math.prod(edits) if edits else 0, checkpointed, gradient_steps)
        if label is not None:
            self.fix_label(label)
        self.edit_layer = "h" if space == "h" else None
        levels = len(getattr(self.denoiser, "up_blocks", ()))
        has_h = module in dict(self.denoiser.named_modules())
        self.layer_names = (*(["h"] if has_h else []), *(f"up{i}" for i in range(levels)))

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
        if self.text is None:
            return self._predict(x, step, [None], shift, classes)[0]
        told, empty = self._text(len(x), "told"), self._text(len(x), "empty")
        if self.space != "prompt" or edit is None:
            if self.guidance == 1:
                return self._predict(x, step, [told], shift)[0]
            without, with_text = self._predict(x, step, [empty, told], shift)
            return without + self.guidance * (with_text - without)
        texts = [empty, self._shifted(empty, edit), told]
        without, edited, with_text = self._predict(x, step, texts, None)
        guided = with_text if self.guidance == 1 else without + self.guidance * (with_text - without)
        return guided + self._edit_guidance() * (edited - without)

    def effect(self, x: Tensor, step: int, edit: Tensor) -> Tensor:
        if self.space != "prompt":
            return super().effect(x, step, edit)
        empty = self._text(len(x), "empty")
        without, edited = self._predict(x, step, [empty, self._shifted(empty, edit)], None)
        return edited - without

    def go(self, said: Tensor, x: Tensor, step: int, solver: Any) -> Tensor:
        moved: Tensor = solver.step(said, solver.timesteps[step], x, return_dict=False)[0]
        return moved

    def split(self, latent: Tensor) -> tuple[Tensor, list[Tensor | None]]:
        noise, edits = super().split(latent)
        return noise * self._first_sigma(), edits

    def solver(self) -> Any:
        solver = copy.deepcopy(self._solver)  # it counts, and those of several steps remember
        if hasattr(solver, "is_scale_input_called"):
            solver.is_scale_input_called = True  # _scaled does it, without what the solver notes of it
        return solver

    def retreat(self, after: Tensor, guess: Tensor, step: int) -> Tensor:
        """As "DDIM" is gone back: the step's equation solved for its start, with what the network says at the guess."""
        said, kind = self.ask(guess, step, None), self._solver.config.get("prediction_type", "epsilon")
        if _counts_in_sigmas(self._solver):
            here, there = (float(self._solver.sigmas[number]) for number in (step, step + 1))
            shown, change = 1 / (here**2 + 1), there - here
            if "FlowMatch" in type(self._solver).__name__ or kind == "epsilon":
                return after - change * said
            if kind == "v_prediction":
                return (after - change * math.sqrt(shown) * said) / (1 + change * (1 - shown) / here)
            return after - change * (guess - said) / here
        (a, s), (a2, s2) = self._level(step), self._level(step + 1)
        if kind == "v_prediction":
            return (after - (s2 * a - a2 * s) * said) / (a2 * a + s2 * s)
        noise = said if kind == "epsilon" else (guess - a * said) / s
        return (after - s2 * noise) * (a / a2) + s * noise

    def _level(self, step: int) -> tuple[float, float]:
        """Shares of image and noise at the place before a step."""
        times = self._solver.timesteps
        if step < len(times):
            kept = float(self._solver.alphas_cumprod[int(times[step])])
        else:
            first = self._solver.config.get("set_alpha_to_one", True)
            kept = 1.0 if first else float(self._solver.alphas_cumprod[0])
        return kept**0.5, (1 - kept) ** 0.5

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
        noise = self.noise_of(x, rounds) / self._first_sigma()
        return self.map(noise.flatten(1))

    def features(self, latent: Tensor, layer: str) -> Tensor:
        """``h``: the mean over all steps, in units; ``up0`` …: what a block of the upward half gives in the last step.

        Under guidance, of the pass with the text.
        """
        if layer not in self.layer_names:
            return super().features(latent, layer)
        return self.in_parts(lambda part: self._activations(part, layer), latent)

    def _activations(self, latent: Tensor, layer: str, bar: Progress | None = None) -> Tensor:
        x, edits = self.split(latent)
        if layer != "h":
            x = self.walk(x, edits[:-1])
            with watched(self.denoiser.up_blocks[int(layer[2:])]) as seen:
                self.ask(x, self.steps - 1, edits[-1])
            return seen[0][-len(x) :]
        solver, total = self.solver(), torch.zeros((), device=x.device)
        for step, edit in enumerate(edits):
            with watched(self._module()) as seen:
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
            few._solver = solver_of(self._parts["solver"] or {}, self.scheduler, steps)
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

    def _first_sigma(self) -> float:
        """How large noise is where a path begins."""
        return float(getattr(self._solver, "init_noise_sigma", 1.0))

    def _edit_guidance(self) -> float:
        return max(1.0, self.guidance) if self.edit_guidance is None else self.edit_guidance

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

    def _text(self, n: int, name: str) -> tuple[Tensor, Tensor | None]:
        tokens = getattr(self, f"{name}_TD").expand(n, -1, -1)
        return tokens, None if self.pooled is None else getattr(self, f"{name}_P").expand(n, -1)

    def _shifted(self, text: tuple[Tensor, Tensor | None], edit: Tensor) -> tuple[Tensor, Tensor | None]:
        """All tokens but the first, which begins every text, moved alike."""
        moves = torch.ones(text[0].shape[1], 1, device=edit.device)
        moves[0] = float(len(moves) == 1)
        return text[0] + moves * (self.unit * edit)[:, None], text[1]

    def _predict(
        self,
        x: Tensor,
        step: int,
        texts: Sequence[tuple[Tensor, Tensor | None] | None],
        shift: Tensor | None,
        classes: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """What the network says at ``x`` with each of the texts, in one pass."""
        count, time = len(texts), self._solver.timesteps[step].to(x.device)
        scaled = _scaled(self._solver, x, step)
        more: dict[str, Any] = {} if classes is None else {"class_labels": classes.repeat(count)}
        if texts[0] is not None:
            said = [text for text in texts if text is not None]
            more["encoder_hidden_states"] = torch.cat([tokens for tokens, _ in said])
            if said[0][1] is not None:
                _, height, width = self.image_shape
                times = torch.tensor([height, width, 0, 0, height, width], device=x.device, dtype=x.dtype)
                pooled = torch.cat([p for _, p in said if p is not None])
                more["added_cond_kwargs"] = {"text_embeds": pooled, "time_ids": times.expand(count * len(x), -1)}
        module = None if shift is None else self._module()
        repeated = scaled.repeat(count, 1, 1, 1)
        if module is None or shift is None:
            said_NCHW = self.denoiser(repeated, time, return_dict=False, **more)[0]
        else:
            with watched(module, shift.repeat(count, *[1] * (shift.ndim - 1))):
                said_NCHW = self.denoiser(repeated, time, return_dict=False, **more)[0]
        parts: tuple[Tensor, ...] = said_NCHW.chunk(count)
        return parts

    def _module(self) -> nn.Module:
        try:
            module: nn.Module = self.denoiser.get_submodule(self.module)
        except AttributeError as error:
            known = [name for name, _ in self.denoiser.named_children()]
            raise ValueError(
                f"this {type(self.denoiser).__name__} has no module {self.module!r} whose output could be h; name one "
                f'yourself, {{"module": …}} (--set module=…): one of {", ".join(known)}, or of their parts'
            ) from error
        return module

    def _shapes(self, size: tuple[int, int] | None) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """Shapes of images and of noise."""
        config, factor = self.denoiser.config, 1
        if self.vae is not None:
            factor = 2 ** (len(self.vae.config.block_out_channels) - 1)
            taken = self.vae.config.get("vq_embed_dim") or self.vae.config.latent_channels
            if config.out_channels != taken:
                raise ValueError(
                    f"the denoiser gives {config.out_channels} channels, and the {type(self.vae).__name__} beside it "
                    f"decodes {taken}; they belong to different pipelines"
                )
        sample = config.sample_size
        if size is None and sample is None:
            raise ValueError('the pipeline does not say how large its images are; give {"size": [512, 512]}')
        sides = [sample, sample] if isinstance(sample, int) else list(sample or ())
        height, width = (factor * side for side in sides) if size is None else size
        deepest = factor * 2 ** (len(config.block_out_channels) - 1)
        if height % deepest or width % deepest or min(height, width) < deepest:
            raise ValueError(
                f"images of {height}×{width} pixels cannot be halved as often as these networks do; give sides that "
                f"{deepest} divides"
            )
        colours = 3 if self.vae is None else self.vae.config.out_channels
        colours = config.out_channels if self.vae is None else colours
        return (colours, height, width), (config.in_channels, height // factor, width // factor)

    @torch.no_grad()
    def _shape_of_h(self, noise_shape: tuple[int, int, int]) -> tuple[int, ...]:
        """What the module gives for one image, found without memory or time."""
        module = self._module()
        with torch.device("meta"):
            shadow = denoiser_of(self._parts["denoiser"] or {})
            more: dict[str, Any] = {}
            if class_count(shadow):
                more["class_labels"] = torch.zeros(1, dtype=torch.long)
            if self.text is not None:
                more["encoder_hidden_states"] = torch.zeros(1, *self.text)
                if self.pooled is not None:
                    more["added_cond_kwargs"] = {
                        "text_embeds": torch.zeros(1, self.pooled),
                        "time_ids": torch.zeros(1, 6),
                    }
            with watched(shadow.get_submodule(self.module)) as seen:
                shadow(torch.zeros(1, *noise_shape), torch.zeros(()), **more)
        del module
        if not seen:
            raise ValueError(f"the module {self.module!r} takes no part in denoising; name another")
        return tuple(seen[0].shape[1:])


def _scaled(solver: Any, x: Tensor, step: int) -> Tensor:
    """What the network is shown of ``x``: some solvers count in other units of noise."""
    if not hasattr(solver, "scale_model_input"):
        return x
    here = copy.copy(solver)
    if hasattr(here, "_step_index"):
        here._step_index = step  # where it would be, had it walked so far
    scaled: Tensor = here.scale_model_input(x, solver.timesteps[step])
    return scaled


def _counts_in_sigmas(solver: Any) -> bool:
    """Whether a solver's images grow with their noise, which is then as much as ``sigmas`` say."""
    grows = "FlowMatch" in type(solver).__name__ or float(getattr(solver, "init_noise_sigma", 1.0)) != 1.0
    return hasattr(solver, "sigmas") and grows
