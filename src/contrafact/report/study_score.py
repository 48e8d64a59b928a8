"""Scoring a user study: what participants said about each direction, and whether they agree.

Shape suffixes: D directions of all runs together, P participants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from contrafact.core.files import read_json
from contrafact.core.foreign import Kind, check_fields
from contrafact.core.rows import read_rows
from contrafact.report.study import ANSWERS, KEY, QUESTIONS


@dataclass(frozen=True)
class StudyScore:
    """What participants said.

    Attributes:
        directions: D entries of the key: run, number, name.
        runs: labels of the runs, in the key's order.
        participants: names of those who answered anything.
        answers: for each question ``(P, D)``: 0 yes, 1 maybe, 2 no, −1 not answered.
    """

    directions: tuple[Mapping[str, Any], ...]
    runs: tuple[str, ...]
    participants: tuple[str, ...]
    answers: Mapping[str, npt.NDArray[np.int64]]

    def counts(self, question: str, run: str) -> npt.NDArray[np.float64]:
        """How many of a run's directions each participant answered with yes, maybe, no: ``(P, 3)``.

        Participants who answered nothing about the run are left out.
        """
        mine = np.array([d["run"] == run for d in self.directions])
        answers = self.answers[question][:, mine]
        counted = np.stack([(answers == a).sum(axis=1) for a in range(3)], axis=1).astype(np.float64)
        return np.asarray(counted[counted.sum(axis=1) > 0])

    def shares(self, question: str) -> npt.NDArray[np.float64]:
        """Share of yes, maybe, no among the answers to each direction ``(D, 3)``; NaN where nobody answered."""
        votes = self._votes(question)
        with np.errstate(invalid="ignore"):
            return np.asarray(votes / votes.sum(axis=1, keepdims=True))

    def agreement(self, question: str) -> npt.NDArray[np.float64]:
        """Chance that two participants answered the same about a direction ``(D,)``; NaN with fewer than two."""
        votes = self._votes(question)
        n = votes.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(n > 1, (votes * (votes - 1)).sum(axis=1) / (n * (n - 1)), np.nan)

    def kappa(self, question: str) -> float:
        """Fleiss' kappa: agreement beyond chance, 1 for perfect, 0 for chance; NaN if all answers are the same.

        Directions with fewer than two answers are left out; where participants skipped some, each direction's
        agreement is over those who answered.
        """
        votes, agreed = self._votes(question), self.agreement(question)
        counted = ~np.isnan(agreed)
        if not counted.any():
            return float("nan")
        share = votes[counted].sum(axis=0) / votes[counted].sum()
        chance = float((share**2).sum())
        return float("nan") if chance == 1 else (float(agreed[counted].mean()) - chance) / (1 - chance)

    def _votes(self, question: str) -> npt.NDArray[np.int64]:
        return np.stack([(self.answers[question] == a).sum(axis=0) for a in range(3)], axis=1)


def score_study(folder: str | Path, key: str | Path | None = None) -> StudyScore:
    """Read the filled CSV files of a study.

    Args:
        folder: holds ``participant_01.csv`` …, in subfolders or not; those without any answer are left out.
        key: the study's key; ``key.json`` in the folder by default.

    Raises:
        ValueError: no key, a file of no participant of the study or two of one, other columns or pictures than were
            sent out, an answer that is none of yes, maybe and no (the file and line are named), or no answers at all.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; expected one that holds filled participant_01.csv …")
    described = _read_key(folder / KEY if key is None else Path(key))
    directions, participants = described["directions"], described["participants"]
    tables: dict[str, dict[str, npt.NDArray[np.int64]]] = {}
    for path in sorted(folder.rglob("*.csv")):
        if path.stem not in participants:
            raise ValueError(
                f"{path} belongs to no participant of this study (there are {len(participants)}); keep the files' "
                "names, and other files out of the folder"
            )
        answers = _read_answers(path, participants[path.stem], len(directions))
        if not any((column >= 0).any() for column in answers.values()):
            continue
        if path.stem in tables:
            raise ValueError(f"{path.stem} answered in two files, {path} is the second; keep one of them")
        tables[path.stem] = answers
    if not tables:
        raise ValueError(f"{folder} holds no answers yet: no participant_01.csv with yes, maybe or no in it")
    stacked = {question: np.stack([t[question] for t in tables.values()]) for question in described["questions"]}
    runs = tuple(dict.fromkeys(d["run"] for d in directions))
    return StudyScore(tuple(directions), runs, tuple(tables), stacked)


def _read_key(path: Path) -> dict[str, Any]:
    """The key of a study, its shape checked as far as it is used."""
    no_key, remedy = f"{path} is not the key of a study", "take the key.json that was written with the study"
    fields: dict[str, Kind] = {"directions": list, "questions": dict | list, "participants": dict}
    key = check_fields(read_json(path), fields, no_key, remedy)
    for number, direction in enumerate(key["directions"]):
        check_fields(direction, {"run": str, "name": str}, f"{no_key}: direction {number}", remedy)
    for name, sent in key["participants"].items():
        where = f"{no_key}: {name}"
        check_fields(sent, {"questions": list, "pictures": dict}, where, remedy)
        for picture, about in sent["pictures"].items():
            direction = check_fields(about, {"direction": int}, f"{where}, {picture}", remedy)["direction"]
            if not 0 <= direction < len(key["directions"]):
                raise ValueError(f"{where}, {picture}: there is no direction {direction}; {remedy}")
        if not set(map(str, sent["questions"])) >= set(map(str, key["questions"])):
            raise ValueError(f"{where} was not asked {', '.join(map(str, key['questions']))}; {remedy}")
    asked = set(map(str, key["questions"]))
    if not asked or not asked <= set(QUESTIONS):
        raise ValueError(f"{no_key}: its questions must be among {', '.join(QUESTIONS)}; {remedy}")
    return key


def _read_answers(path: Path, sent: Mapping[str, Any], count: int) -> dict[str, npt.NDArray[np.int64]]:
    # Spreadsheets of some countries write semicolons.
    table = [cells for _, cells in read_rows(path) if cells]
    head = table[0] if table else []
    rows = [dict(zip_longest(head, cells[: len(head)])) for cells in table[1:]]
    pictures = [row.get("picture") for row in rows]
    missing = [q for q in sent["questions"] if rows and q not in rows[0]]
    if missing or sorted(map(str, pictures)) != sorted(sent["pictures"]):
        raise ValueError(
            f"{path} does not hold the columns picture, {', '.join(sent['questions'])} and the "
            f"{len(sent['pictures'])} pictures that were sent out; fill in the file itself, changing only the answers"
        )
    answers = {question: np.full(count, -1, dtype=np.int64) for question in sent["questions"]}
    for line, row in enumerate(rows, 2):
        for question in sent["questions"]:
            said = (row[question] or "").strip().lower()
            if said and said not in ANSWERS:
                raise ValueError(f"{path}, line {line}, column {question}: expected yes, maybe or no, got {said!r}")
            if said:
                answers[question][sent["pictures"][row["picture"]]["direction"]] = ANSWERS.index(said)
    return answers


def study_text(score: StudyScore) -> str:
    """The score as a page of text: each run's counts, then each direction's answers and agreement."""
    lines = [f"{len(score.participants)} participants, {len(score.directions)} directions"]
    for question in score.answers:
        lines += ["", QUESTIONS[question]]
        width = max(map(len, score.runs))
        for run in score.runs:
            counts = score.counts(question, run)
            if not len(counts):
                lines.append(f"  {run:<{width}}  no answers")
                continue
            means = [f"{a} {_mean_std(counts[:, i])}" for i, a in enumerate(ANSWERS)]
            found = 100 * (1 - counts[:, 2] / counts.sum(axis=1))
            lines.append(f"  {run:<{width}}  {', '.join(means)} directions; not no: {_mean_std(found, 1)} %")
        lines.append(f"  agreement beyond chance (Fleiss' kappa) {score.kappa(question):.2f}")
    labels = [f"{d['run']} {d['name']}" for d in score.directions]
    width = max(map(len, labels))
    lines += ["", f"{'direction':<{width}}" + "".join(f"  {q:>11} yes  maybe  no  agree" for q in score.answers)]
    columns = [(score.shares(q), score.agreement(q)) for q in score.answers]
    for d, label in enumerate(labels):
        cells = [
            f"  {'':>11} {_percent(s[d, 0])} {_percent(s[d, 1]):>6} {_percent(s[d, 2]):>3} {_percent(a[d]):>6}"
            for s, a in columns
        ]
        lines.append(f"{label:<{width}}{''.join(cells)}")
    return "\n".join(lines)


def _mean_std(values: npt.NDArray[np.float64], digits: int = 2) -> str:
    spread = f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{values.mean():.{digits}f}{spread}"


def _percent(share: float) -> str:
    return "  –" if np.isnan(share) else f"{100 * share:3.0f}"
