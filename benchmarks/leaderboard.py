"""A leaderboard out of run folders or archives: several comparisons merged, nothing mixed that cannot be compared.

Each ``run.json`` says what was run, under which protocol, with which sources, and what it gave; neither ledger nor
plan is read. Rows whose runs have not all been verified (``textgym bench verify``) say so, and those with flagged runs
are not ranked.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from textgym.errors import ConfigurationError
from textgym.tasks import TASKS

from .found_runs import Found, find_runs
from .records import RunResult
from .run_files import RECORD
from .standings import Board, board_of
from .summary import Summary, summary_of
from .tables import Entry, Table, leaderboard_table, tasks_table
from .verification import FLAGGED, VERIFIED

_SAME = ("env_version", "task_source", "inputs")  # of an environment, for runs to be comparable


@dataclass(frozen=True, kw_only=True)
class Leaderboard:
    """The merged comparison.

    Attributes:
        summary: As of one comparison.
        board: Its standings.
        runs: Where every run comes from.
    """

    summary: Summary
    board: Board
    runs: tuple[Found, ...]

    def verdict(self, label: str) -> str:
        """What became of an agent's runs: "verified" if all are, else "12 of 15", "flagged" or "no"."""
        verdicts = [found.verdict for found in self.runs if found.result.spec.label == label]
        if FLAGGED in verdicts:
            return f"{verdicts.count(FLAGGED)} flagged"
        verified = verdicts.count(VERIFIED)
        return "verified" if verified == len(verdicts) else f"{verified} of {len(verdicts)}" if verified else "no"

    @property
    def marks(self) -> dict[str, str]:
        """Agent -> how far its runs are verified."""
        return {standing.label: self.verdict(standing.label) for standing in self.board.standings}


def build_leaderboard(folders: Sequence[Path | str], *, title: str = "Leaderboard") -> Leaderboard:
    """Reads the run folders below some folders and ranks their agents.

    The same run in two folders counts once. Agents of one name that were run in two ways keep apart: the later
    folder's are called "name (folder)".

    Args:
        folders: Of comparisons or of single runs, or archives of them.
        title: Headline.

    Raises:
        ConfigurationError: if there is no run, if protocols or the environments' sources differ, or if two folders
            tell differently of the same run.
    """
    runs = find_runs(folders)
    if not runs:
        raise ConfigurationError(
            f"no run in {', '.join(map(str, folders)) or 'no folder'}: expected folders of runs, each with {RECORD}"
        )
    _check_protocols(runs)
    _check_environments(runs)
    runs = sorted(_told_apart(_once(runs)), key=_place)
    summary = summary_of([found.result for found in runs], {"title": title, "runs": []})
    flagged = Counter(found.result.spec.label for found in runs if found.verdict == FLAGGED)
    barred = {label: f"{count} of its runs {'is' if count == 1 else 'are'} flagged" for label, count in flagged.items()}
    return Leaderboard(summary=summary, board=board_of(summary, barred=barred), runs=tuple(runs))


def _place(run: Found) -> tuple[int, str, str, int]:
    """Tasks in the order of the suite, then agents and seeds: folders are named after keys and have no order."""
    spec = run.result.spec
    order = list(TASKS).index(run.result.task) if run.result.task in TASKS else len(TASKS)
    return order, spec.environment, spec.label, spec.seed


def tables(leaderboard: Leaderboard) -> list[Table]:
    """The leaderboard with verdicts and budgets, and the scores by task."""
    ranked = leaderboard_table(leaderboard.board)
    rows = []
    for row in ranked.rows:
        label = row[1].text
        rows.append((*row, Entry(text=_budget(leaderboard.summary, label)), Entry(text=leaderboard.verdict(label))))
    machines = ", ".join(dict.fromkeys(found.machine for found in leaderboard.runs if found.machine))
    notes = (*ranked.notes, *([f"Made on: {machines}."] if machines else []))
    wide = replace(
        ranked,
        columns=(*ranked.columns, "steps a run", "verified"),
        numeric=(*ranked.numeric, True, False),
        rows=tuple(rows),
        notes=notes,
    )
    return [wide, tasks_table(leaderboard.board)]


def _budget(summary: Summary, label: str) -> str:
    steps = sorted({run.spec.steps for run in summary.results if run.spec.label == label})
    return f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,} to {steps[-1]:,}"


def _check_protocols(runs: Iterable[Found]) -> None:
    """Refuses runs that were measured under different protocols."""
    found: dict[str, Path] = {}
    for run in runs:
        found.setdefault(str(run.result.spec.facts.get("protocol", "unknown")), run.folder)
    if len(found) > 1:
        told = " and ".join(f"protocol {version} in {str(folder)!r}" for version, folder in found.items())
        raise ConfigurationError(f"{told}: numbers of different protocols cannot be compared; leave out all but one")
    if "unknown" in found:
        raise ConfigurationError(
            f"{str(found['unknown'])!r} was written by an earlier version, whose runs do not say their protocol"
        )


def _check_environments(runs: Iterable[Found]) -> None:
    """Refuses runs whose environments have one name and different sources."""
    found: dict[str, tuple[Any, Path]] = {}
    for run in runs:
        spec = run.result.spec
        facts = [spec.facts.get(name) for name in _SAME] + [spec.episodes, spec.held_out]
        known, folder = found.setdefault(spec.environment, (facts, run.folder))
        if known != facts:
            names = (*_SAME, "episodes", "held_out")
            different = [name for name, old, new in zip(names, known, facts, strict=True) if old != new]
            raise ConfigurationError(
                f"{spec.environment} is not the same in {str(folder)!r} and {str(run.folder)!r}: "
                f"{', '.join(different)} differs; run it again with one version"
            )


def _once(runs: Iterable[Found]) -> list[Found]:
    """Each run once, the best verdict first."""
    found: dict[str, Found] = {}
    for run in runs:
        known = found.setdefault(run.result.spec.key, run)
        if known.told() != run.told():
            spec = run.result.spec
            raise ConfigurationError(
                f"{str(known.folder)!r} and {str(run.folder)!r} tell differently of {spec.label} on "
                f"{spec.environment}, seed {spec.seed}; `textgym bench verify` says which of them is right"
            )
        if run.verdict == VERIFIED:
            found[run.result.spec.key] = run
    return list(found.values())


def _told_apart(runs: Iterable[Found]) -> list[Found]:
    """Gives agents of one name that were run in two ways two names."""
    names: dict[tuple[str, str], str] = {}  # (label, way) -> name
    taken: dict[str, str] = {}  # name -> way
    renamed = []
    ways = _ways(runs := list(runs))
    for run in runs:
        spec = run.result.spec
        way = ways[run.folder, spec.label]
        name = names.get((spec.label, way))
        if name is None:
            candidates = (
                spec.label,
                f"{spec.label} ({run.folder.name})",
                *(f"{spec.label} ({n})" for n in range(2, 99)),
            )
            name = next(candidate for candidate in candidates if taken.get(candidate, way) == way)
            names[spec.label, way], taken[name] = name, way
        result = run.result if name == spec.label else _renamed(run.result, name)
        renamed.append(replace(run, result=result))
    return renamed


def _ways(runs: Sequence[Found]) -> dict[tuple[Path, str], str]:
    """(folder, label) -> how the agent was run there, so that folders that agree on what both have get one way."""
    places: dict[tuple[Path, str], dict[str, str]] = {}
    for run in runs:
        spec = run.result.spec
        facts = [
            spec.facts.get("agent_source"),
            spec.facts.get("agent_config"),
            spec.agent,
            spec.steps,
            spec.reward_calls,
        ]
        places.setdefault((run.folder, spec.label), {})[spec.environment] = json.dumps(facts, sort_keys=True)
    ways: dict[tuple[Path, str], str] = {}
    merged: dict[str, list[dict[str, str]]] = {}
    for (folder, label), found in places.items():
        for number, known in enumerate(merged.setdefault(label, [])):
            if all(known.get(environment, facts) == facts for environment, facts in found.items()):
                known.update(found)
                ways[folder, label] = str(number)
                break
        else:
            ways[folder, label] = str(len(merged[label]))
            merged[label].append(dict(found))
    return ways


def _renamed(result: RunResult, name: str) -> RunResult:
    """The record under another label, which is no part of its key."""
    return replace(result, spec=replace(result.spec, label=name))
