"""The folder of a search: ``search.json`` with its plan and trials, ``best.json``, and a comparison for each trial."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from textgym.atomic import write_whole
from textgym.errors import ConfigurationError

from .records import describe_object
from .trials import Trial

SEARCH, BEST = "search.json", "best.json"


def read_search(folder: Path, plan: Mapping[str, Any]) -> list[Trial]:
    """The trials of a search that was begun in a folder; none if it is new.

    Raises:
        ConfigurationError: if it has another plan, naming the field, or its file is damaged.
    """
    path = folder / SEARCH
    if not path.is_file():
        return []
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        before, trials = dict(data["plan"]), [Trial(**trial) for trial in data["trials"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{str(path)!r} is damaged ({type(error).__name__}: {error}); restore it, or pass --new"
        ) from None
    _check_plan(folder, before, json.loads(_json(plan)))
    return trials


def _check_plan(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    changed = [name for name in now if before.get(name) != now[name]]
    if changed:
        name = changed[0]
        raise ConfigurationError(
            f"{str(folder)!r} holds another search: {name} was {_shown(before.get(name))}, now {_shown(now[name])}. "
            "Go on with what it was, search in another folder, or pass --new to move the old one aside"
        )


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def write_search(folder: Path, plan: Mapping[str, Any], trials: Sequence[Trial]) -> None:
    """Writes plan and trials; a reader sees the file as it was, or as it is."""
    write_whole(folder / SEARCH, _json({"plan": plan, "trials": [asdict(trial) for trial in trials]}) + "\n")


def write_best(folder: Path, agent: str, trial: Trial, tuning: Mapping[str, Any]) -> Path:
    """Writes the best config with the budget that it was found with, and returns the file."""
    path = folder / BEST
    write_whole(path, _json({"agent": agent, "config": trial.options, "tuning": tuning}) + "\n")
    return path


def _json(value: Any) -> str:
    return json.dumps(value, default=describe_object, ensure_ascii=False, indent=1)
