"""The command: files spread over the readers, how each read ended, and what was bad kept to be looked at."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from tests.fuzz.files import lay_out, write_corpus
from tests.fuzz.pool import BAD, GOOD, Limits, Pool, Result, summary
from tests.fuzz.targets import Target


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 when every read was good."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description="Read hostile and damaged files with every reader."
    )
    parser.add_argument("--files", type=int, default=2000, help="how many files, over all readers")
    parser.add_argument("--seed", type=int, default=0, help="which ones: seeds N million and on")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes")
    parser.add_argument("--only", action="append", help="READER, or READER:SEED to read one file again and keep it")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"), help="folder for bad files")
    parser.add_argument("--json", type=Path, help="write every result, a line each")
    parser.add_argument("--seconds", type=float, default=Limits.seconds, help="processor time of one read")
    parser.add_argument("--memory", type=int, default=Limits.memory, help="MiB of one read")
    parser.add_argument("--targets", default="tests.fuzz.targets", help="module with all_targets()")
    options = parser.parse_args(argv)
    warnings.simplefilter("ignore")  # good files have their oddities too
    targets: dict[str, Target] = importlib.import_module(options.targets).all_targets()
    chosen, single = _choose(targets, options.only)
    if not chosen:
        print(f"no such reader; there are: {', '.join(sorted(targets))}", file=sys.stderr)
        return 2
    # Beside the good files nothing is found by chance on this machine.
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    os.environ["CONTRAFACT_CACHE"], os.environ["CONTRAFACT_DATA"] = str(folder / "cache"), str(folder)
    try:
        begin = time.monotonic()
        corpus = write_corpus(chosen.values(), folder / "corpus")
        print(f"{len(chosen)} readers, good files written in {time.monotonic() - begin:.1f} s", file=sys.stderr)
        begin = time.monotonic()
        cases = [single] if single else list(spread(chosen, options.files, options.seed * 1_000_000))
        pool = Pool(chosen, corpus, options.jobs, Limits(options.seconds, options.memory))
        results = list(_watched(pool.read(cases), len(cases)))
        results.sort(key=lambda result: (result.reader, result.seed))
        if options.json:
            options.json.write_text("".join(json.dumps(asdict(result)) + "\n" for result in results))
        _keep([result for result in results if result.outcome in BAD or single], chosen, corpus, options.keep)
        _print(results, time.monotonic() - begin)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return int(any(result.outcome in BAD for result in results))


def _choose(
    targets: Mapping[str, Target], only: Sequence[str] | None
) -> tuple[dict[str, Target], tuple[str, int] | None]:
    if only is None:
        return dict(targets), None
    chosen, single = {}, None
    for name in only:
        reader, _, seed = name.rpartition(":")
        if name not in targets and reader in targets and seed.isdigit():
            name, single = reader, (reader, int(seed))
        chosen |= {known: target for known, target in targets.items() if known == name}
    return chosen, single


def spread(targets: Mapping[str, Target], files: int, first: int) -> Iterator[tuple[str, int]]:
    """``files`` cases over the readers by their weights, each reader's seeds from ``first`` on."""
    total = sum(target.weight for target in targets.values())
    given, due = dict.fromkeys(targets, 0), dict.fromkeys(targets, 0.0)
    for _ in range(files):
        for name, target in targets.items():
            due[name] += target.weight / total
        name = max(due, key=lambda known: due[known])
        due[name] -= 1
        yield name, first + given[name]
        given[name] += 1


def _watched(results: Iterator[Result], total: int) -> Iterator[Result]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task, bad = progress.add_task("0 bad", total=total), 0
        for result in results:
            bad += result.outcome in BAD
            progress.update(task, advance=1, description=f"{bad} bad")
            yield result


def _keep(
    bad: Sequence[Result], targets: Mapping[str, Target], corpus: Mapping[str, Sequence[Path]], keep: Path
) -> None:
    for result in bad:
        place = keep / f"{result.reader.replace(':', '-')}-{result.seed}"
        shutil.rmtree(place, ignore_errors=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        lay_out(targets[result.reader], result.seed, corpus, place)
        print(f"{result.outcome:9} {result.reader}:{result.seed}  [{result.recipe}]\n          {result.detail}")
    if bad:
        again = f"python -m tests.fuzz --only {bad[0].reader}:{bad[0].seed}"
        print(f"\nthe files are in {keep}; read one again with: {again}\n")


def _print(results: Sequence[Result], seconds: float) -> None:
    table = summary(results)
    width = max(map(len, [*table, "all"]))
    shown = (*GOOD, *BAD)
    print(f"{'reader':<{width}}  {'files':>6}" + "".join(f"{name:>10}" for name in shown))
    for name, row in table.items():
        print(f"{name:<{width}}  {sum(row.values()):>6}" + "".join(f"{row[outcome] or '.':>10}" for outcome in shown))
    totals = {outcome: sum(row[outcome] for row in table.values()) for outcome in shown}
    print(f"{'all':<{width}}  {len(results):>6}" + "".join(f"{totals[outcome] or '.':>10}" for outcome in shown))
    slowest = max(results, key=lambda result: result.seconds)
    print(f"{seconds:.0f} s; slowest {slowest.seconds:.1f} s ({slowest.reader}:{slowest.seed})")
