"""The table of other programs' scores: what it says of equal, different and absent ones."""

import subprocess
import sys

import pytest

from tests.metrics import peers
from tests.metrics.peers import HEADER, PAGE, PEERS, Peer, Row, StandIns, table, write


def test_the_table_shows_what_lies_furthest_apart_and_says_why():
    rows = [
        Row("mig", 0.25, 0.25, 1e-6, ""),
        Row("mig", 0.5, 0.5 + 1e-9, 1e-6, ""),
        Row("sap", 0.25, 0.25, 1e-6, "theirs: trees"),
        Row("sap", 0.5, 0.75, 1e-6, "theirs: trees"),
        Row("irs", 0.1, 0.2, 1e-6, ""),
        Row("dci", None, 0.2, 1e-6, "", "KeyError: 'd'"),
    ]
    found = {"icebeem": ("0077f01", rows), "tdrl": (None, []), "zerodim": ("5c46436", "ImportError: no tqdm")}
    assert table(found) == HEADER + (
        "| mig | ilkhem/icebeem 0077f01 | 0.2500 | 0.2500 | 1e-09 | equal |\n"
        "| sap | ilkhem/icebeem 0077f01 | 0.5000 | 0.7500 | 2e-01 | theirs: trees |\n"
        "| irs | ilkhem/icebeem 0077f01 | 0.1000 | 0.2000 | 1e-01 | differs, not explained |\n"
        "| dci | ilkhem/icebeem 0077f01 | | 0.2000 | | theirs gives no number: KeyError: 'd' |\n"
        "| | weirayao/tdrl | | | | not at hand |\n"
        "| | avivga/zerodim 5c46436 | | | | does not run: ImportError: no tqdm |\n"
    )


def test_the_table_replaces_the_old_one_and_nothing_else(tmp_path):
    page = tmp_path / "peers.md"
    page.write_text(f"# Peers\n\n{HEADER}| old |\n| old |\n\nLast words.\n", encoding="utf-8")
    write(HEADER + "| new |\n", page)
    assert page.read_text(encoding="utf-8") == f"# Peers\n\n{HEADER}| new |\n\nLast words.\n"


def test_every_program_is_on_the_page():
    text = PAGE.read_text(encoding="utf-8")
    assert [peer.name for peer in PEERS.values() if f"| {peer.name} " not in text] == []
    assert "not explained" not in text
    assert "does not run" not in text


def test_a_program_runs_on_the_recorded_cases(tmp_path, monkeypatch):
    source = tmp_path / "icebeem" / "metrics" / "mcc.py"
    source.parent.mkdir(parents=True)
    # A made one, right for Pearson's correlations alone.
    source.write_text(
        "import numpy as np\nfrom scipy.optimize import linear_sum_assignment\n"
        "def mean_corr_coef_np(x, y, method):\n"
        "    found = abs(np.corrcoef(x, y, rowvar=False)[:x.shape[1], x.shape[1]:])\n"
        "    return found[linear_sum_assignment(-found)].mean()\n"
    )
    monkeypatch.setattr(sys, "meta_path", sys.meta_path.copy())
    rows = list(peers.checked(PEERS["icebeem"], tmp_path))
    assert [(row.metric, row.equal) for row in rows[:4]] == [
        *[("mcc, pearson", True), ("mcc, pearson, held out", False)],
        *[("mcc, spearman", False), ("mcc, spearman, held out", False)],
    ]
    assert rows[0].ours != rows[4].ours, "one case after the other"
    assert rows[1].error.startswith("AttributeError")


def test_packages_nobody_has_are_stood_in_for():
    script = (
        "import sys; from tests.metrics.peers import StandIns; sys.meta_path.append(StandIns())\n"
        "import gin.tf, tensorflow.compat.v1 as tf\n"
        "@gin.configurable('name', blacklist=['x'])\ndef double(x, y=gin.REQUIRED): return 2 * x\n"
        "@gin.configurable\ndef triple(x): return 3 * x\n"
        "print(double(2), triple(2), tf.anything.at.all(1) is not None)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=peers.ROOT, env=None
    )
    assert done.stdout == "4 6 True\n"
    assert StandIns().find_spec("numpy.nothing") is None


def test_versions_are_those_at_hand(tmp_path):
    assert PEERS["icebeem"].version(tmp_path) is None
    assert Peer(peers.icebeem, package="no-such-package-anywhere").version(tmp_path) is None
    assert Peer(peers.icebeem, package="numpy").version(tmp_path)


def test_a_name_that_is_no_program_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        peers.main([str(tmp_path), "--only", "nobody"])
    assert "invalid choice: 'nobody'" in capsys.readouterr().err
