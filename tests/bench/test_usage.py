"""What a record says of the processor."""

import json
import platform

import pytest

from contrafact.bench import usage
from contrafact.bench.plan import plan
from contrafact.bench.results import collect
from contrafact.bench.runner import run_bench
from tests.bench.test_cells import a_bench, random

X86 = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel\t\t: 1\nmodel name\t: AMD EPYC 9654: 96 cores\nflags\t\t: fpu\n"
ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nCPU part\t: 0xd0c\n"


@pytest.mark.parametrize(("said", "model"), [(X86 * 2, "AMD EPYC 9654: 96 cores"), (ARM, "aarch64"), (None, "aarch64")])
def test_a_processor_is_known_by_its_model_or_else_by_its_kind(said, model, tmp_path, monkeypatch):
    if said is not None:
        (tmp_path / "cpuinfo").write_text(said)
    monkeypatch.setattr(usage, "_PROCESSORS", tmp_path / "cpuinfo")
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert usage.processor.__wrapped__() == model


def test_records_of_before_processors_were_named_are_still_collected(tmp_path):
    bench = a_bench(tmp_path, random())
    table = run_bench(bench)
    path = bench.cells / plan(bench, {"random"})[-1].key / "cell.json"
    record = json.loads(path.read_text())
    del record["processor"]
    path.write_text(json.dumps(record))
    assert collect(bench) == table
    (cell,) = json.loads((tmp_path / "results.json").read_text())["rows"]["random"]["cells"]
    assert "processor" not in cell["cost"]
