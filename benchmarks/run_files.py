"""The folder of a run: written beside its place under another name, and moved there when all of it is on disk.

It holds ``config.json`` (all that decides the result), ``run.json`` (the record), ``curve.jsonl``, ``texts.jsonl``
(at fixed moments of the training), ``agent/`` (the final policy), ``packages.txt``, ``machine.json``, ``exit.json``
and, from a worker, ``output.txt`` (what the run printed).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from textgym.atomic import write_whole

from .machine import describe, packages
from .records import RunResult, describe_object

CONFIG, RECORD, CURVE, TEXTS = "config.json", "run.json", "curve.jsonl", "texts.jsonl"
PACKAGES, MACHINE, EXIT, OUTPUT, AGENT = "packages.txt", "machine.json", "exit.json", "output.txt", "agent"
_PARTIAL = ".partial"


def partial_folder(folder: Path, process: int | None = None) -> Path:
    """Where a process writes a run until it is complete.

    Args:
        folder: Where the run belongs.
        process: Number of the process; by default this one.
    """
    return folder.with_name(f".{folder.name}.{os.getpid() if process is None else process}{_PARTIAL}")


def begin(folder: Path) -> Path:
    """Makes an empty folder to write a run in, and returns it."""
    partial = partial_folder(folder)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def write_run(
    partial: Path, result: RunResult, *, texts: Iterable[Mapping[str, Any]] = (), config: Any = None, exit_code: int = 0
) -> None:
    """Writes all but the policy and the output of a run.

    Args:
        partial: Folder that :func:`begin` made.
        result: The record.
        texts: Texts at fixed moments of the training.
        config: The config of the agent that was made; by default what the key knows of it.
        exit_code: What the run's process ended with.
    """
    spec = result.spec
    exit_state = {name: getattr(result, name) for name in ("status", "failure", "stage", "error")}
    agent_config = spec.facts.get("agent_config", spec.config) if config is None else config
    _write_json(partial / CONFIG, {**spec.parts(), "label": spec.label, "key": spec.key, "agent_config": agent_config})
    _write_json(partial / MACHINE, describe())
    _write_json(partial / EXIT, {**exit_state, "exit_code": exit_code})
    _write(partial / PACKAGES, packages())
    _write(partial / CURVE, _lines(result.curve))
    _write(partial / TEXTS, _lines(texts))
    _write(partial / RECORD, result.to_json() + "\n")


def _lines(rows: Iterable[Mapping[str, Any]]) -> str:
    encoder = json.JSONEncoder(default=describe_object, ensure_ascii=False)  # dumps would make one a line
    return "".join(encoder.encode(row) + "\n" for row in rows)


def _write_json(path: Path, value: Any) -> None:
    _write(path, json.dumps(value, default=describe_object, ensure_ascii=False, indent=1) + "\n")


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)


def publish(partial: Path, folder: Path) -> None:
    """Moves a complete run to its place; an earlier attempt there gives way, files of somebody else stay."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / RECORD).is_file():
        _move_into(partial, folder)
        return
    if folder.exists():
        aside = partial.with_name(partial.name.removesuffix(_PARTIAL) + f".old{_PARTIAL}")
        shutil.rmtree(aside, ignore_errors=True)
        os.replace(folder, aside)
        os.replace(partial, folder)
        shutil.rmtree(aside, ignore_errors=True)
    else:
        os.replace(partial, folder)


def _move_into(partial: Path, folder: Path) -> None:
    items = sorted(
        partial.iterdir(), key=lambda item: item.name == RECORD
    )  # the record last: it says that all is there
    for item in items:
        if (folder / item.name).is_dir():
            shutil.rmtree(folder / item.name)
        os.replace(item, folder / item.name)
    partial.rmdir()


def remove_partial(out: Path) -> None:
    """Removes what killed processes left unfinished in a comparison's folder."""
    for item in out.glob(f".*{_PARTIAL}"):
        shutil.rmtree(item, ignore_errors=True)


def move_aside(out: Path) -> Path | None:
    """Gives a folder another name, the first free of ``out-1``, ``out-2`` and so on, and returns it.

    Returns:
        None if there was nothing to move.
    """
    if not out.is_dir() or not any(out.iterdir()):
        return None
    number = next(number for number in range(1, 1_000_000) if not out.with_name(f"{out.name}-{number}").exists())
    return out.rename(out.with_name(f"{out.name}-{number}"))


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file that a reader never sees half of."""
    write_whole(path, json.dumps(value, default=describe_object, ensure_ascii=False, indent=1) + "\n")
