"""Settings in groups: nested to read, flat wherever they are data."""

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from contrafact.cli import main
from contrafact.cli.fit import _parse
from contrafact.core.ranges import Positive, Size
from contrafact.core.run import Run
from contrafact.core.settings import Configured, Group, flat_fields
from contrafact.generators.analytic import Analytic
from contrafact.methods import CATALOG
from contrafact.methods.disco import Contrast, DisCo, Edits

TINY = {"num_directions": 4, "code_dim": 3, "encoder_width": 0.1, "num_queries": 2, "num_positives": 2}
TINY |= {"num_negatives": 2, "max_shift": 3.0}


@dataclasses.dataclass(frozen=True)
class Noise(Group):
    """How much noise."""

    sigma: Positive = 1.0
    count: Size = 3


@dataclasses.dataclass(frozen=True)
class Own(Configured):
    """Two groups' worth of settings."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"loud": {"sigma": 5.0, "steps": 7}}
    noise: Noise = Noise()
    steps: Size = 10


def test_flat_names_reach_their_group_and_come_back():
    own = Own.preset("loud", count=4)
    assert own == Own(Noise(5.0, 4), 7)
    assert own.hyperparameters() == {"sigma": 5.0, "count": 4, "steps": 7}
    assert Own.of(**own.hyperparameters()) == own
    assert own.changed(sigma=2.0) == Own(Noise(2.0, 4), 7)


@pytest.mark.parametrize("name", list(CATALOG))
def test_every_method_is_what_its_flat_settings_say(name):
    method = CATALOG.get(name).preset("quick")
    assert CATALOG.get(name).of(**method.hyperparameters()) == method
    assert json.dumps(list(method.hyperparameters()))


@pytest.mark.parametrize("make", [Own.of, lambda **s: Own.preset("loud", **s), Own().changed], ids=["of", "p", "c"])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sigme": 1.0}, "unknown setting of own 'sigme'; did you mean 'sigma'. known: count, sigma, steps"),
        ({"noise": Noise()}, "unknown setting of own 'noise'"),
        ({"sigma": 0.0}, "sigma must be above 0, got 0.0; give another --sigma$"),
        ({"count": "x"}, "count must be a whole number, got 'x'; give another --count$"),
    ],
)
def test_unknown_names_and_values_out_of_range_are_refused(make, settings, message):
    with pytest.raises(ValueError, match=message):
        make(**settings)


def test_a_preset_takes_other_settings_for_every_method():
    assert DisCo.preset("quick", steps=400).steps == 400
    for name in CATALOG:
        with pytest.raises(ValueError, match=f"unknown setting of {name} 'num_stepz'"):
            CATALOG.get(name).preset("quick", num_stepz=400)
    with pytest.raises(ValueError, match="unknown preset of disco 'quik'; did you mean 'quick'"):
        DisCo.preset("quik", steps=400)


def test_a_group_of_another_kind_is_refused():
    with pytest.raises(ValueError, match=r"edits must be Edits\(\.\.\.\), got Contrast"):
        DisCo(edits=Contrast())  # type: ignore[arg-type]


def test_a_name_in_two_groups_is_refused():
    @dataclasses.dataclass(frozen=True)
    class Twice(Configured):
        noise: Noise = Noise()
        sigma: float = 2.0

    with pytest.raises(ValueError, match="two settings called sigma"):
        flat_fields(Twice)


def test_the_command_line_is_flat_and_checked():
    _, method = _parse("disco", ["--preset", "quick", "--max-shift", "3", "--no-shared-bases", "--code-dim", "None"])
    assert method.edits == dataclasses.replace(DisCo.preset("quick").edits, max_shift=3.0, shared_bases=False)
    assert method.code_dim is None
    assert method.contrast == DisCo.preset("quick").contrast
    with pytest.raises(ValueError, match=r"max_shift must be above 0, got -1\.0; give another --max-shift$"):
        _parse("disco", ["--max-shift=-1"])
    with pytest.raises(ValueError, match="shared_bases needs batching='all_pairs'"):
        _parse("disco", ["--shared-bases"])


def test_help_shows_groups_and_no_none(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "disco", "--help"])
    shown = capsys.readouterr().out
    titles = [line.strip("╭─╮ ") for line in shown.splitlines()]  # frames are drawn where a terminal takes them
    assert [t for t in titles if re.fullmatch(r"\w+ options", t)] == [
        f"{group} options" for group in ("contrast", "edits", "start", "run")
    ]
    assert "--code-dim NUMBER" in shown
    assert "None" not in shown


def test_a_run_records_flat_settings_and_goes_on_with_a_change_by_its_flat_name(tmp_path, capsys):
    source = Analytic.tiny()

    def run(**options):
        return Run(
            tmp_path / "run", device="cpu", precision="float32", progress=False, save_every=0, log_every=1, **options
        )

    DisCo.of(**TINY, steps=2).fit(source, run(keep_checkpoint=True))
    config = json.loads(Path(tmp_path / "run" / "config.json").read_text())
    assert config["hyperparameters"]["max_shift"] == 3.0
    assert set(config["hyperparameters"]) == set(flat_fields(DisCo))
    longer = DisCo.of(**{**TINY, "steps": 4, "max_shift": 2.0})
    with pytest.raises(ValueError, match=r"hyperparameters.max_shift: 3.0 before, 2.0 now.*--change max_shift"):
        longer.fit(source, run(resume=True))
    with pytest.raises(ValueError, match="unknown setting to --change 'maxshift'; did you mean 'max_shift'"):
        longer.fit(source, run(resume=True, change=["maxshift"]))
    longer.fit(source, run(resume=True, change=["max_shift"]))
    assert "from step 2 on: max_shift 2.0, was 3.0" in capsys.readouterr().err
    assert Edits().max_shift == 6.0
