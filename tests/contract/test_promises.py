"""Each promise can be broken: the sound examples of the docs, with one fault each, and the check that finds it."""

import re

import pytest
import torch

from contrafact.bench.recipe import load_recipe, recipe_names
from contrafact.cli import main
from contrafact.contract import dataset, generator, method, metric, recipe
from contrafact.contract.promise import Broken, expect_refusal, outcomes, promise_of
from contrafact.core.plugins import load_file
from contrafact.generators.checkpoints import load_generator
from contrafact.methods import CATALOG as METHODS
from tests.test_adding import FILES

METHOD = [
    ("is_described", '{"quick": {"num_directions": 8}}', "{}", "give presets\\['quick'\\]"),
    ("has_settings_of_its_own", '{"num_directions": 8}', '{"number": 8}', "names what is no setting: {'number'}"),
    (
        "has_settings_of_its_own",
        '"""Directions D."""',
        '"""D."""\n    seed: int = 0\n    """S."""',
        "options .*{'seed'}",
    ),
    ("documents_every_setting", '    """Directions D."""\n', "", 'write what num_directions is in a """text"""'),
    ("says_where_it_comes_from", "Nearest: directions towards other samples.", "N" * 121 + ".", "at most 120 letters"),
    ("says_where_it_comes_from", "other samples.\n", "other samples\n", "with a full stop"),
    ("shows_every_setting_in_its_help", "", "", "--help does not show num_directions"),
    (
        "refuses_no_steps",
        "num_directions: Count = 64",
        "steps: int = 64\n    num_directions: Count = 64",
        "annotate it steps",
    ),
    (
        "fits_and_its_artefacts_survive",
        "run.rng",
        "torch.Generator().manual_seed(torch.seed() % 2**62) or run.rng",
        "same seed",
    ),
    ("computes_in_bfloat16", "return Art", "directions.double()\n        return Art", "has torch.float64 or no finite"),
    (
        "yields_what_works_together",
        "directions = Glo",
        "directions = Moved(source.latent_dim, 2)\n        Glo",
        "moves the latent",
    ),
    ("another_seed_gives_something_else", 'run.rng("pairs")', "torch.Generator().manual_seed(0)", "or set draws"),
    ("another_seed_gives_something_else", "    yields: ", "    draws: ClassVar[bool] = False\n    yields: ", "to True"),
]
MOVED = """import torch
from contrafact.core.directions import Directions


class Moved(Directions):
    def shift(self, latent, index, magnitude):
        return torch.ones_like(latent)


"""
METRIC = [
    ("says_what_it_is", "    Raises:\n", "    Errors:\n", "write 'Raises:' in the function's docstring"),
    ("says_what_it_is", "low=0.0", "low=1.0", "low must be less than high"),
    ("gives_a_complete_result", "best_K.mean()", "best_K.mean() + 1", "outside of 0.0 to 1.0, the range INFO states"),
    ("gives_a_complete_result", 'f"best_correlation_n', 'f"mine_n', "begin it with the metric's name"),
    ("gives_a_complete_result", "@measured\n", "", "decorate the function with @measured"),
    (
        "repeats",
        "best_K.mean()",
        "best_K.mean() * np.random.default_rng().uniform()",
        "the same seed gives other scores",
    ),
    ("does_not_care_for_order", "best_K.mean()", "squared_JK[0].mean()", "in another order score differently"),
    ("does_not_care_for_sign", "[0, 1] ** 2", "[0, 1].clip(0)", "of another sign score differently"),
    ("names_what_is_not_finite", "check_codes(codes)", "np.nan_to_num(np.asarray(codes))", "call check_codes"),
    (
        "refuses_what_is_no_matrix",
        "check_codes(codes)",
        "np.asarray(codes).reshape(240, -1).astype(float)",
        "call check",
    ),
    (
        "refuses_factors_that_do_not_match",
        "check_factors(f",
        "(lambda f, n: np.resize(f, (n, 3)))(f",
        "call check_factors",
    ),
    (
        "refuses_or_notes_a_constant_factor",
        "check_varying(check_factors(factors, len(codes_NJ)))",
        "np.asarray(factors)",
        "",
    ),
    (
        "scores_one_code_and_one_factor",
        "    alive_J",
        "    assert codes_NJ.shape[1] > 1\n    alive_J",
        "AssertionError|^$",
    ),
    ("gives_dead_codes_nothing", "best_K.mean()", "max(best_K.mean(), 0.9)", "codes that never change score 0.9"),
    (
        "takes_tensors",
        "check_codes(codes)",
        "check_codes(codes) * (1 if isinstance(codes, np.ndarray) else 0)",
        "differently",
    ),
]
DATASET = [
    ("describes_itself", '    name = "bars"', '    name = ""', "give it a name"),
    ("describes_itself", "(1, side, side)", "(1, side, 2 * side)", "expected squares"),
    ("gives_float32_batches", ".float()", ".double()", "gives torch.float64; expected float32"),
    ("gives_float32_batches", ".contiguous()", "", "call .contiguous\\(\\)"),
    ("gives_float32_batches", "+ 1) / 4)", "+ 1) * 60)", "divide bytes by 255"),
    (
        "gives_the_same_image_in_any_batch",
        ".contiguous()",
        ".contiguous() * torch.rand(1)",
        "another alone than|other images",
    ),
    ("gives_the_same_image_in_any_batch", "(brightness_N + 1) / 4", "0.0", "20 images are all the same"),
    ("refuses_wrong_indices", "self.factors_of(indices)", "np.zeros((len(indices), 3))", "call check_indices"),
    (
        "is_built_by_name",
        "size: int = 32)",
        "size: int = 32, **more: object)",
        "give its constructor arguments with names",
    ),
    ("is_built_by_name", 'check_count("size", size)', "int(size)", "call check_count\\('size', size\\)"),
    ("can_be_pickled", "        self.image_shape", "        self.f = lambda: 0\n        self.image_shape", "pickle"),
    (
        "counts_its_factors",
        '    name = "bars"',
        '    def __len__(self):\n        return 5\n\n    name = "bars"',
        "product",
    ),
    ("counts_its_factors", '"place", "width", "bri', '"place", "place", "bri', "each factor a name of its own"),
    (
        "refuses_factors_outside_the_grid",
        '    name = "b',
        "    def index_of(self, f):\n        return f[:, 0]\n\n    name = 'b",
        "",
    ),
    (
        "names_its_classes",
        '    name = "bars"',
        '    class_names = ("a",)\n    name = "bars"',
        "class_names and no labels",
    ),
]
DATASET = [(check, old, new.replace("name = 'b", 'name = "b'), said) for check, old, new, said in DATASET]
GENERATOR = [
    ("makes_images_of_its_shape", "self.image_shape)\n", "self.image_shape)[:, :1]\n", "see image_shape"),
    ("makes_images_of_its_shape", "return torch.sigmoid", "return 255 * torch.sigmoid", "rescale them to black 0"),
    ("makes_each_image_by_itself", "self.image_shape)\n", "self.image_shape) * latent.mean()\n", "alone is another"),
    ("lets_gradients_reach_the_latent", '(latent, "hidden")', '(latent.detach(), "hidden")', "."),
    ("takes_a_latent_per_layer", "self.check_latent(latent)", "latent.flatten(1)", "check_latent"),
    ("refuses_latents_of_another_shape", "self.check_latent(latent)", "latent[..., :8].reshape(-1, 8)", "check_latent"),
    (
        "draws_by_seed",
        "    @classmethod",
        "    def prior(self, n, rng):\n        return torch.randn(n, 8)\n\n    @classmethod",
        "rng",
    ),
    ("makes_the_same_image_again", "self.image_shape)\n", "self.image_shape) * torch.rand(1)\n", "fix its noise"),
    (
        "truncates_or_refuses_to",
        "self.check_latent(latent)",
        "nn.functional.normalize(self.check_latent(latent))",
        "spread",
    ),
    ("stops_at_a_layer", "return super().features(latent, layer)", "pass", "raised nothing"),
    ("is_kept_whole_by_a_file", '"width": self.width', '"width": self', "arguments\\(\\) must return"),
    (
        "is_kept_whole_by_a_file",
        "torch.tanh(",
        'torch.tanh(self.__dict__.setdefault("lost", torch.rand(1)) * ',
        "what is read back makes other images",
    ),
]


def broken(tmp_path, file, old, new, front=""):
    text = FILES[file]
    assert old in text, f"the page no longer says {old!r}"
    path = tmp_path / file
    path.write_text(front + text.replace(old, new, 1) if old else front + text, encoding="utf-8")
    return path


def found(check, subject):
    (outcome,) = outcomes([check], subject)
    assert not outcome.kept, f"{promise_of(check)}: not noticed"
    return outcome.advice


@pytest.mark.parametrize(("check", "old", "new", "said"), METHOD, ids=lambda part: str(part)[:34])
def test_methods(check, old, new, said, tmp_path):
    # The docstring stays first, where the file's line for lists is looked for.
    path = broken(tmp_path, "nearest.py", old, new)
    if "torch" in new or "Moved" in new:
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("\n\n\n@dataclass", f"\n\n{MOVED}@dataclass", 1), encoding="utf-8")
    cls = METHODS.get(METHODS.admit(f"{path}:Nearest"))
    shown = (lambda: "") if check.startswith("shows") else None
    subject = method.Subject(cls, tmp_path, reserved=frozenset({"seed"}), shown=shown)
    with_match(found(getattr(method, check), subject), said)


TWICE = """from dataclasses import dataclass
from typing import ClassVar

import torch

from contrafact.core.budget import Budget
from contrafact.core.directions import GlobalDirections
from contrafact.core.method import Artefacts, Method
from contrafact.nn.encoders import ConvEncoder


@dataclass(frozen=True)
class Twice(Method):
    source: ClassVar[str] = "generator"
    yields: ClassVar[tuple[str, ...]] = ("encoder", "directions", "generator")

    steps: int = 3
    batch_size: int = 4

    def train(self, source, run):
        with run.seeded_init("encoder"):
            encoder = ConvEncoder(source.image_shape, 4, 0.1)
        optimizer, rng = torch.optim.Adam(encoder.parameters()), run.rng("latents")
        for _ in run.steps(self.steps, {"encoder": encoder}):
            first, second = (encoder(source(source.sample(self.batch_size, rng))) for _ in range(2))
            optimizer.zero_grad()
            (first - second).square().mean().backward()
            optimizer.step()
        directions = GlobalDirections.random(source.latent_dim, 4, run.rng("directions"))
        return Artefacts(encoder=encoder, directions=directions, generator=source)
"""


def test_a_budget_is_counted(tmp_path):
    """What a method's encoder sees in training is what its control may cost."""
    (tmp_path / "twice.py").write_text(TWICE)
    advice = found(
        method.has_a_control, method.Subject(METHODS.get(METHODS.admit(f"{tmp_path}/twice.py:Twice")), tmp_path)
    )
    with_match(advice, r"its encoder saw 32 images; its budget\(\) says 4 steps of 4: define budget\(\)")
    said = "\n    def budget(self):\n        return Budget(self.steps, 2 * self.batch_size, 0.1)\n"
    (tmp_path / "two.py").write_text(TWICE + said)
    (outcome,) = outcomes(
        [method.has_a_control], method.Subject(METHODS.get(METHODS.admit(f"{tmp_path}/two.py:Twice")), tmp_path)
    )
    assert outcome.kept, outcome.advice


@pytest.mark.parametrize(("check", "old", "new", "said"), METRIC, ids=lambda part: str(part)[:34])
def test_metrics(check, old, new, said, tmp_path):
    path = broken(tmp_path, "best_correlation.py", old, new)
    with_match(found(getattr(metric, check), metric.subject_of(f"{path}:best_correlation")), said)


@pytest.mark.parametrize(("check", "old", "new", "said"), DATASET, ids=lambda part: str(part)[:34])
def test_datasets(check, old, new, said, tmp_path):
    module = load_file(broken(tmp_path, "bars.py", old, new))
    with_match(found(getattr(dataset, check), dataset.Subject(module.Bars(), tmp_path)), said)


@pytest.mark.parametrize(("check", "old", "new", "said"), GENERATOR, ids=lambda part: str(part)[:34])
def test_generators(check, old, new, said, tmp_path):
    path = broken(tmp_path, "painter.py", old, new)
    with_match(found(getattr(generator, check), load_generator(f"{path}:Painter")), said)


RECIPE = [
    ("describes_itself", 'table="Table 1 of Somebody 2030"', 'table=""', r"say in table whose it is"),
    (
        "describes_itself",
        'Row("random", "random"',
        'Row("Nearest", "random"',
        r"rows of one name, Nearest",
    ),
    (
        "describes_itself",
        'table="Table 1 of Somebody 2030"',
        'table="none", curves={"all": ("random", "nearst")}',
        r"curve 'all': unknown row of this recipe 'nearst'",
    ),
    ("names_methods_that_are_there", '"random", "random"', '"random", "randm"', r"'randm'; did you mean 'random'\?"),
    ("names_methods_that_are_there", '"nearest.py:Nearest", published', '"control", published', r"must follow the row"),
    ("measures_what_is_there", '("mig", "score")', '("migg", "score")', r"column 'MIG': unknown metric 'migg'"),
    ("publishes_numbers_of_its_columns", '{"MIG": (0.31', '{"DCI": (0.31', r"publishes 'DCI', which is no column"),
    (
        "publishes_numbers_of_its_columns",
        "(0.31, 0.02)",
        "('0.31', None)",
        r"expected .mean, standard deviation",
    ),
    (
        "gives_settings_that_methods_take",
        '"random", settings={"num_directions": 10}',
        '"random", settings={"number": 10}',
        r"row 'random': random has no number",
    ),
    (
        "gives_settings_that_methods_take",
        '"random", settings={"num_directions": 10}',
        '"random", settings={"num_directions": 0}',
        r"num_directions must be a whole number of at least 1",
    ),
    ("starts_from_presets_that_exist", '"small": "quick"', '"small": "quik"', r"no method of it has a preset quik"),
    (
        "starts_from_presets_that_exist",
        'sources={"small"',
        'sources={"smal"',
        r"among small, paper, not smal",
    ),
]


@pytest.mark.parametrize(("check", "old", "new", "said"), RECIPE, ids=lambda part: str(part)[:34])
def test_recipes(check, old, new, said, tmp_path, monkeypatch):
    broken(tmp_path, "nearest.py", "Nearest", "Nearest")
    path = broken(tmp_path, "nearest_table1.py", old, new)
    monkeypatch.chdir(tmp_path)
    with_match(found(getattr(recipe, check), recipe.Subject(load_recipe(str(path)))), said)


@pytest.mark.parametrize("name", [*recipe_names(), "nearest_table1.py"])
def test_recipes_keep_their_promises(name, tmp_path, monkeypatch, capsys):
    broken(tmp_path, "nearest.py", "Nearest", "Nearest")
    broken(tmp_path, "nearest_table1.py", "Nearest", "Nearest")
    monkeypatch.chdir(tmp_path)
    assert main(["check", name, "--kind", "recipes"]) == 0
    assert f"{name} (recipes)" in capsys.readouterr().out


def with_match(text, pattern):
    assert re.search(pattern, text), text


def test_errors_say_where_in_somebody_s_file(tmp_path):
    path = broken(tmp_path, "painter.py", "return torch.sigmoid", "1 / 0\n        return torch.sigmoid")
    advice = found(generator.makes_images_of_its_shape, load_generator(f"{path}:Painter"))
    line = path.read_text(encoding="utf-8").splitlines().index("        1 / 0") + 1
    assert advice == f"ZeroDivisionError: division by zero ({path}, line {line})"


def test_a_refusal_is_expected():
    with pytest.raises(Broken, match=r"check it; it raised nothing, expected a ValueError with 'bad' in its message"):
        expect_refusal(lambda: None, "bad", "check it")
    with pytest.raises(Broken, match=r"check it; its message was 'good', expected 'bad' in it"):
        expect_refusal(lambda: (_ for _ in ()).throw(ValueError("good")), "bad", "check it")


def test_the_command_says_what_to_do_and_exits_with_1(tmp_path, capsys):
    path = broken(tmp_path, "bars.py", ".float()", ".double()")
    with pytest.raises(SystemExit) as stopped:
        main(["check", f"{path}:Bars"])
    assert stopped.value.code == 1
    shown = capsys.readouterr().out
    assert "  ✗ A batch is float32 (N, C, H, W) from 0 to 1" in shown
    assert "      batch() gives torch.float64; expected float32\n" in shown
    assert "9 of 10 promises kept" in shown


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("mine.py:NUMBER", "NUMBER = 3\n", "mine.py:NUMBER is nothing that can be checked: expected a Method,"),
        (
            "mine.py:score",
            "def score(codes):\n    return 1\n",
            "mine.py:score says nothing of itself: define INFO = Met",
        ),
        (
            "wrapp",
            "",
            "unknown method, metric, dataset, generator or recipe 'wrapp'; did you mean 'wrap'?",
        ),
        ("wrap", "", "wrap makes a generator of a module of yours: check FILE.py:NAME that calls it"),
    ],
)
def test_what_cannot_be_checked(name, text, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(text)
    assert main(["check", name]) == 2
    assert message in capsys.readouterr().err


def test_what_the_package_has_is_checked_by_name(capsys):
    torch.manual_seed(1)
    assert main(["check", "mig"]) == 0
    assert "mig (metrics)" in capsys.readouterr().out
