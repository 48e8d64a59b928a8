"""Solvers of the diffusers library: which are taken for which networks, set to their steps, and gone back.

A network says either the noise in an image (or what comes to the same: the image, or v) or the flow from noise to image
(Esser et al. 2024, https://arxiv.org/abs/2403.03206); each kind has solvers of its own.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from contrafact.core.catalog import unknown_name_message
from contrafact.core.foreign import first_line
from contrafact.generators._networks import Part, built

SOLVERS = {
    "ddim": "DDIMScheduler",
    "euler": "EulerDiscreteScheduler",
    "heun": "HeunDiscreteScheduler",
    "dpm": "DPMSolverMultistepScheduler",
    "pndm": "PNDMScheduler",
    "unipc": "UniPCMultistepScheduler",
    "deis": "DEISMultistepScheduler",
    "lms": "LMSDiscreteScheduler",
    "flow_euler": "FlowMatchEulerDiscreteScheduler",
}
"""Schedulers that draw no noise on the way, and what to call them by."""
_FLOWS = ("flow_euler",)
"""Those that follow a flow."""
_STOCHASTIC = {"algorithm_type": ("sde-dpmsolver", "sde-dpmsolver++"), "stochastic_sampling": (True,)}
"""Settings by which such a scheduler draws noise after all."""

Schedule = Callable[[Any, int], Mapping[str, Any]]
"""What a pipeline asks of a solver for so many steps: the arguments of its ``set_timesteps``."""


def solver_of(part: Part, scheduler: str | None, steps: int, schedule: Schedule) -> Any:
    """A scheduler, set to so many steps.

    Args:
        part: the pipeline's own.
        scheduler: another one by its short name, which takes over the settings that both know.
        steps: of inference.
        schedule: how the pipeline sets it.

    Raises:
        ValueError: an unknown name, one that draws noise on the way, or one of flows for a pipeline of noise or the
            other way round.
    """
    if scheduler is not None and scheduler not in SOLVERS:
        raise ValueError(unknown_name_message("scheduler", scheduler, SOLVERS))
    own, config = str(part.get("class")), part.get("config")
    flow = own.startswith("FlowMatch")
    fit = [name for name in SOLVERS if (name in _FLOWS) == flow]
    if scheduler is not None and scheduler not in fit:
        said = ("a flow", "noise") if flow else ("noise", "a flow")
        raise ValueError(
            f"the scheduler {scheduler} follows {said[1]}, and this pipeline's network says {said[0]}, as its own "
            f"{own} shows: images would be noise; take one of {', '.join(fit)}, or leave it out"
        )
    name = own if scheduler is None else SOLVERS[scheduler]
    noisy = [k for k, values in _STOCHASTIC.items() if isinstance(config, Mapping) and config.get(k) in values]
    if name not in SOLVERS.values() or noisy:
        why = f" with {noisy[0]}={config[noisy[0]]!r}" if noisy and isinstance(config, Mapping) else ""
        raise ValueError(
            f"the scheduler {name}{why} is not deterministic here: the same latent would give another image each time; "
            f'take one that is, such as {{"scheduler": "{fit[0]}"}} (--set scheduler={fit[0]}), of '
            f"{', '.join(fit)}"
        )
    with torch.device("cpu"):  # also where the networks around it have no memory
        solver = built({"class": name, "config": config}, tuple(SOLVERS.values()), "scheduler")
        if not flow and solver.config.get("prediction_type") == "flow_prediction":
            raise ValueError(
                f"the scheduler {name} is set to follow a flow (prediction_type flow_prediction), which is not "
                f"supported; save the pipeline with a {SOLVERS[_FLOWS[0]]}"
            )
        try:
            solver.set_timesteps(**schedule(solver, steps))
        except Exception as error:  # the documented border: a stranger's configuration fails in any way
            raise ValueError(f"{name} cannot take {steps} steps: {first_line(error)}") from error
    return solver


def follows_flow(solver: Any) -> bool:
    """Whether what a network says is taken for a flow, not for noise."""
    return type(solver).__name__.startswith("FlowMatch")


def first_sigma(solver: Any) -> float:
    """How large noise is where a path begins."""
    return float(getattr(solver, "init_noise_sigma", 1.0))


def scaled(solver: Any, x: Tensor, step: int) -> Tensor:
    """What the network is shown of ``x``: some solvers count in other units of noise."""
    if not hasattr(solver, "scale_model_input"):
        return x
    here = copy.copy(solver)
    if hasattr(here, "_step_index"):
        here._step_index = step  # where it would be, had it walked so far
    shown: Tensor = here.scale_model_input(x, solver.timesteps[step])
    return shown


def retreat(solver: Any, said: Tensor, after: Tensor, guess: Tensor, step: int) -> Tensor:
    """As "DDIM" is gone back: the step's equation solved for its start, with what the network says at the guess.

    Args:
        solver: set to its steps.
        said: by the network at ``guess``.
        after: where the step ended.
        guess: of where it began.
        step: its number.
    """
    kind = solver.config.get("prediction_type", "epsilon")
    if follows_flow(solver) or first_sigma(solver) != 1.0:  # images grow with their noise, as much as sigmas say
        here, there = (float(solver.sigmas[number]) for number in (step, step + 1))
        shown, change = 1 / (here**2 + 1), there - here
        if follows_flow(solver) or kind == "epsilon":
            return after - change * said
        if kind == "v_prediction":
            return (after - change * math.sqrt(shown) * said) / (1 + change * (1 - shown) / here)
        return after - change * (guess - said) / here
    (a, s), (a2, s2) = _level(solver, step), _level(solver, step + 1)
    if kind == "v_prediction":
        return (after - (s2 * a - a2 * s) * said) / (a2 * a + s2 * s)
    noise = said if kind == "epsilon" else (guess - a * said) / s
    return (after - s2 * noise) * (a / a2) + s * noise


def _level(solver: Any, step: int) -> tuple[float, float]:
    """Shares of image and noise at the place before a step."""
    times = solver.timesteps
    if step < len(times):
        kept = float(solver.alphas_cumprod[int(times[step])])
    else:
        kept = 1.0 if solver.config.get("set_alpha_to_one", True) else float(solver.alphas_cumprod[0])
    return kept**0.5, (1 - kept) ** 0.5
