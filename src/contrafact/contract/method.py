"""What every method promises.

A method is made tiny by the names of its settings (steps, batch_size, width, num_...); ``presets["tiny"]`` wins.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import math
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from contrafact.contract.promise import expect, expect_refusal
from contrafact.core.artefact import fingerprint
from contrafact.core.method import FinishedRun, Method, load_run
from contrafact.core.run import Run
from contrafact.core.settings import Group, flat_fields
from contrafact.core.tiny import tiny
from contrafact.data.load import load_dataset
from contrafact.evaluation.control import control_kind, fit_control, fit_regression
from contrafact.evaluation.regression import RegressionSettings
from contrafact.evaluation.run import REGRESSION, default_metrics, evaluate_run
from contrafact.evaluation.untrained import WITHOUT_STEPS
from contrafact.generators.analytic import Analytic
from contrafact.generators.token_diffusion import TokenDiffusion

SEED = 3
_LONGEST_SUMMARY = 120


@dataclass(frozen=True)
class Subject:
    """A method to check.

    Attributes:
        cls: its class.
        folder: where its runs may go.
        preset: the settings to check; None for the defaults.
        reserved: options that ``contrafact fit`` has for every method, whose names a method's settings cannot take.
        shown: gives the text of its ``--help``; None where there is none to look at.
    """

    cls: type[Method]
    folder: Path
    preset: str | None = None
    reserved: frozenset[str] = frozenset()
    shown: Callable[[], str] | None = None

    def tiny(self) -> Method:
        """The method with everything that costs time small."""
        method = self.cls() if self.preset is None else self.cls.preset(self.preset)
        return method.changed(**tiny(method))

    def source(self) -> Any:
        """What it learns from here."""
        return _sources()["denoiser" if self.cls.asks == "denoiser" else self.cls.source]

    def fit(self, seed: int = SEED, precision: Any = "float32") -> tuple[FinishedRun, Path]:
        """What the tiny method learns, and its run's folder."""
        folder = Path(tempfile.mkdtemp(dir=self.folder)) / "run"
        run = Run(folder, seed=seed, device="cpu", precision=precision, progress=False, log_every=2)
        return self.tiny().fit(self.source(), run), folder


@cache
def _sources() -> dict[str, Any]:
    images = load_dataset("shapes3d", size=16, labels=40, factors=["shape"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        denoiser = TokenDiffusion.tiny()
    return {"generator": Analytic.tiny(), "denoiser": denoiser, "images": images}


def _floating(module: nn.Module) -> list[Tensor]:
    return [t for t in module.state_dict().values() if isinstance(t, Tensor) and t.is_floating_point()]


def is_described(subject: Subject) -> None:
    """It is a frozen dataclass that says what it learns from, what it yields, and what a laptop can do."""
    cls = subject.cls
    expect(issubclass(cls, Method), "derive it from contrafact.core.method.Method")
    expect(
        dataclasses.is_dataclass(cls) and cls.__dataclass_params__.frozen,  # type: ignore[attr-defined]
        "decorate the class with @dataclass(frozen=True)",
    )
    expect(getattr(cls, "source", None) in ("generator", "images"), "set source: ClassVar = 'generator', or 'images'")
    expect(getattr(cls, "yields", ()), "name what it makes: yields: ClassVar = ('encoder', 'directions', 'generator')")
    expect("quick" in cls.presets, "give presets['quick'], the settings a laptop can do")


def has_settings_of_its_own(subject: Subject) -> None:
    """Its settings have names of their own, and its presets name settings."""
    cls = subject.cls
    settings = set(flat_fields(cls))  # it refuses a name that stands in two groups
    groups = {field.name for field in dataclasses.fields(cls) if isinstance(field.default, Group)}
    expect(not settings & groups, f"a group and a setting have one name: {settings & groups}")
    taken = settings & subject.reserved
    expect(not taken, f"call these settings something else, `contrafact fit` has options of these names: {taken}")
    for name, preset in cls.presets.items():
        unknown = set(preset) - settings
        expect(not unknown, f"presets[{name!r}] names what is no setting: {unknown}")


def documents_every_setting(subject: Subject) -> None:
    """Every setting has a text below it, which is its ``--help``."""
    cls = subject.cls
    tree = ast.parse(Path(inspect.getfile(cls)).read_text(encoding="utf-8"))
    groups = {type(field.default).__name__ for field in dataclasses.fields(cls) if isinstance(field.default, Group)}
    for node in tree.body:
        if not (isinstance(node, ast.ClassDef) and node.name in {cls.__name__, *groups}):
            continue
        expect(ast.get_docstring(node), f"say in a docstring what {node.name} is")
        for setting, following in itertools.pairwise([*node.body, ast.Pass()]):
            if not (isinstance(setting, ast.AnnAssign) and isinstance(setting.target, ast.Name) and setting.value):
                continue
            said = ast.unparse(setting.annotation)
            if "ClassVar" in said or said in groups:  # a group's docstring is its class's
                continue
            is_text = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            expect(
                is_text and isinstance(following.value.value, str),  # type: ignore[attr-defined]
                f'write what {setting.target.id} is in a """text""" on the line below it',
            )


def says_where_it_comes_from(subject: Subject) -> None:
    """Its file's docstring begins with a line for lists and goes on with where the method comes from."""
    text = inspect.getdoc(inspect.getmodule(subject.cls)) or ""
    expect(text, "begin the file with a docstring: a line on what the method is, then paper, authors, venue, link")
    line = text.partition("\n")[0]
    expect(
        len(line) <= _LONGEST_SUMMARY, f"the docstring's first line is for lists: at most {_LONGEST_SUMMARY} letters"
    )
    expect(line.endswith((".", "?")), "end the docstring's first line with a full stop")
    expect(len(text.splitlines()) > 2, "say below the docstring's first line where the method comes from")


def shows_every_setting_in_its_help(subject: Subject) -> None:
    """Its ``--help`` shows every setting."""
    if subject.shown is None:
        return
    shown = subject.shown()
    for setting in flat_fields(subject.cls):
        expect(f"--{setting.replace('_', '-')} " in shown.replace(",", " "), f"--help does not show {setting}")
    expect("None" not in shown, "--help shows Python's None; give the setting a type of contrafact.core.ranges")


def refuses_no_steps(subject: Subject) -> None:
    """It refuses to train no steps."""
    if "steps" in flat_fields(subject.cls):
        expect_refusal(
            lambda: subject.tiny().changed(steps=0),
            "steps must be a whole number of at least 1, got 0; give another --steps",
            "annotate it steps: Steps, with Steps of contrafact.core.ranges",
        )


def fits_and_its_artefacts_survive(subject: Subject) -> None:
    """It fits tiny input, its artefacts are read back as they were, and the same seed gives the same."""
    learned, folder = subject.fit()
    run = load_run(folder)
    finite = all(math.isfinite(value) for line in run.log for value in line.values())
    expect(finite, "its log has a value that is not finite")
    for artefact in subject.cls.yields:
        module = getattr(learned, artefact)
        same = fingerprint(getattr(run, artefact)) == fingerprint(module)
        expect(same, f"its {artefact} that is read back has other weights: register all it learns as parameters")
        expect(all(torch.isfinite(t).all() for t in _floating(module)), f"its {artefact} has weights not finite")
    again, _ = subject.fit()
    for artefact in subject.cls.yields:
        same = fingerprint(getattr(again, artefact)) == fingerprint(getattr(learned, artefact))
        expect(
            same,
            f"the same seed gives another {artefact}: draw with run.rng(name), make modules in run.seeded_init(name)",
        )


def computes_in_bfloat16(subject: Subject) -> None:
    """It fits in bfloat16, which any processor can compute in, and its artefacts are float32."""
    learned, _ = subject.fit(precision="bfloat16")
    for artefact in subject.cls.yields:
        for tensor in _floating(getattr(learned, artefact)):
            fits = tensor.dtype == torch.float32 and torch.isfinite(tensor).all()
            expect(
                fits, f"its {artefact} has {tensor.dtype} or no finite weights: keep weights float32, run.autocast()"
            )


def yields_what_works_together(subject: Subject) -> None:
    """What it yields works together: images to codes, latents to images, edits that keep a zero step where it is."""
    yields, shape = subject.cls.yields, subject.source().image_shape
    learned, _ = subject.fit()
    if "encoder" in yields:
        images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
        codes = learned.encoder(images)
        expect(codes.shape == (2, learned.encoder.code_dim), f"its encoder's codes have shape {tuple(codes.shape)}")
    if "generator" in yields:
        latent = learned.generator.sample(2, torch.Generator().manual_seed(0))
        made = learned.generator(latent)
        expect(made.shape == (2, *shape), f"its generator's images have shape {tuple(made.shape)}")
        if "directions" in yields:
            moved = learned.generator(learned.directions(latent, 0, 1.0))
            expect(moved.shape == (2, *shape), f"edited images have shape {tuple(moved.shape)}")
            still = learned.directions(latent, 0, 0.0)
            expect(torch.allclose(still, latent, rtol=1.3e-6, atol=1e-5), "a direction's step of 0 moves the latent")


def has_a_control(subject: Subject) -> None:
    """What it yields has a control that is scored as it is, and whose budget is its own."""
    calls: Counter[nn.Module] = Counter()

    def count(module: nn.Module, args: tuple[Any, ...], _: Any) -> None:
        calls[module] += len(args[0]) if args and isinstance(args[0], Tensor) and args[0].ndim else 0

    hook = nn.modules.module.register_module_forward_hook(count)
    try:
        learned, _ = subject.fit()
    finally:
        hook.remove()
    if control_kind(learned) is None:
        expect_refusal(lambda: fit_control(learned), "has no control", "let it yield what it says it yields")
        return
    if control_kind(learned) == "regression":
        _costs_what_it_says(subject, calls, learned.encoder)
    images, settings = _sources()["images"], RegressionSettings(steps=2, batch_size=4, width=0.1)
    try:
        control = fit_control(learned, device="cpu", source=images)
    except ValueError as error:
        if WITHOUT_STEPS in str(error):  # such as a closed form: nothing of it is untrained
            return
        raise
    for kind in ("encoder", "directions"):
        if control.has(kind) and learned.has(kind):
            same = fingerprint(getattr(control, kind)) == fingerprint(getattr(learned, kind))
            expect(not same, f"its control's {kind} is its own: it learned nothing")
    if control_kind(learned) != "regression":  # whose encoder is of another kind
        usual, its = default_metrics(learned, images), default_metrics(control, images)
        expect(usual == its, f"it is scored by {', '.join(usual)}, its control by {', '.join(its)}")
    if control_kind(learned) == "directions":  # then the run's and the control's are read alike
        fit_regression(learned, learned.directions, REGRESSION, settings, device="cpu")
        fit_control(learned, device="cpu")
    knows_truth = learned.has("directions") and subject.cls.asks == "any"  # of which the scene's are known
    metrics = ["mig", *(["recovery"] if knows_truth else [])]
    for who in ("run", "control"):
        scores = evaluate_run(learned, images, metrics, 80, 40, who=who)
        expect([name for name, _ in scores] == metrics, f"its {who} is scored by {scores}")


def _costs_what_it_says(subject: Subject, calls: Mapping[nn.Module, int], encoder: nn.Module) -> None:
    """Images that the encoder's first network to be called has seen, counted, against the method's budget."""
    counted = next((calls[module] for module in encoder.modules() if calls[module]), 0)
    budget = subject.tiny().budget()
    said = (budget.steps or 0) * (budget.images_per_step or 0)
    expect(
        counted in (0, said),  # none where what is trained is copied in the end
        f"its encoder saw {counted} images; its budget() says {budget.steps} steps of {budget.images_per_step}: "
        "define budget(), which its control is made by",
    )


def another_seed_gives_something_else(subject: Subject) -> None:
    """Another seed gives something else, unless the method says ``draws = False``."""
    (first, _), (other, _) = subject.fit(), subject.fit(SEED + 1)
    for artefact in subject.cls.yields:
        module = getattr(first, artefact)
        if module is subject.source():
            continue
        same = fingerprint(module) == fingerprint(getattr(other, artefact))
        advice = "draw from run.rng(name), or set draws: ClassVar[bool] = False" if same else "set draws to True"
        expect(
            same != subject.cls.draws, f"another seed gives {'the same' if same else 'another'} {artefact}: {advice}"
        )


CHECKS = (
    is_described,
    has_settings_of_its_own,
    documents_every_setting,
    says_where_it_comes_from,
    shows_every_setting_in_its_help,
    refuses_no_steps,
    fits_and_its_artefacts_survive,
    computes_in_bfloat16,
    yields_what_works_together,
    has_a_control,
    another_seed_gives_something_else,
)
"""What is checked, cheap things first."""
