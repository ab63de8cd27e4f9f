"""``ledger.jsonl``: a line for each finished run, only ever added to, each with a checksum.

A process that is killed while it writes leaves a torn last line, which is cut off at the next start: that run is
simply not finished. Whatever else does not fit was done by somebody's hand, and is reported.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from textgym.errors import ConfigurationError

from .records import RunResult

LEDGER, OLD_RESULTS = "ledger.jsonl", "results.jsonl"
_LINE = re.compile(rb'\{"key": "([0-9a-f]{64})", "checksum": "([0-9a-f]{64})", "record": (.*)\}', re.DOTALL)


@dataclass(slots=True)
class Contents:
    """What a ledger holds.

    Attributes:
        results: Key -> record, in the order in which the runs finished.
        problems: A sentence for each line that cannot be trusted; its record is not among the results.
        whole: Bytes up to the end of the last line that is not torn.
        torn: Whether something comes after that.
    """

    results: dict[str, RunResult] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    whole: int = 0
    torn: bool = False


def line_of(result: RunResult) -> bytes:
    """The line of a finished run, with its end."""
    key, record = result.spec.key, result.to_json().encode()
    return b'{"key": "%s", "checksum": "%s", "record": %s}\n' % (key.encode(), _checksum(key, record), record)


def _checksum(key: str, record: bytes) -> bytes:
    return sha256(key.encode() + b"\n" + record).hexdigest().encode()


def read_ledger(path: Path) -> Contents:
    """Reads a ledger; one that is not there is empty."""
    contents = Contents()
    if not path.is_file():
        return contents
    lines: dict[str, int] = {}
    known: dict[str, Any] = {}
    with path.open("rb") as file, _no_collection():
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                contents.torn = True
                break
            contents.whole += len(line)
            if line.strip():
                result = _read_line(line, f"{path}, line {number}", number, lines, contents)
                if result is not None:
                    _share(result, known)
    return contents


def _share(result: RunResult, known: dict[str, Any]) -> None:
    """Replaces what many records say alike by one object: a fifth of the memory of ten thousand records."""
    object.__setattr__(result.spec, "facts", _once(result.spec.facts, known))
    result.versions, result.references = _once(result.versions, known), _once(result.references, known)
    for measure in result.measures:
        for name in ("play", "split", "score"):
            object.__setattr__(measure, name, sys.intern(getattr(measure, name)))
    for texts in result.texts.values():
        for text in texts:
            text["prompt"] = known.setdefault(text["prompt"], text["prompt"])


def _once(value: Any, known: dict[str, Any]) -> Any:
    return known.setdefault(repr(value), value)


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Keeps Python from looking for garbage among millions of new objects, of which none is."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _read_line(line: bytes, place: str, number: int, lines: dict[str, int], contents: Contents) -> RunResult | None:
    found = _LINE.fullmatch(line.rstrip(b"\r\n"))
    if not found:
        contents.problems.append(f"{place} is no record of a run as textgym writes it")
        return None
    key, record = found[1].decode(), found[3]
    if _checksum(key, record) != found[2]:
        contents.problems.append(f"{place} was edited after it was written: its checksum does not fit")
        return None
    try:
        result = RunResult.from_json(record.decode())
    except ValueError as error:
        contents.problems.append(f"{place}: {error}")
        return None
    if result.spec.key != key:
        contents.problems.append(f"{place}: its key does not belong to the run that it records")
    elif key in lines:
        contents.problems.append(f"{place} repeats line {lines[key]}: the same run twice")
    else:
        lines[key] = number
        contents.results[key] = result
        return result
    return None


def heal(path: Path, contents: Contents) -> bool:
    """Cuts a torn last line off; True if there was one."""
    if contents.torn:
        with path.open("r+b") as file:
            file.truncate(contents.whole)
            os.fsync(file.fileno())
    return contents.torn


def append(path: Path, result: RunResult) -> None:
    """Adds a finished run; when this returns, it is on the disk.

    Raises:
        ConfigurationError: if it cannot be written, such as on a full disk.
    """
    try:
        with path.open("ab") as file:
            file.write(line_of(result))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigurationError(
            f"{str(path)!r} cannot be written: {error.strerror or error}. What is finished is kept; make room, and the "
            "same command goes on"
        ) from None


def read_old_results(path: Path) -> dict[str, RunResult]:
    """The records of ``results.jsonl``, which earlier versions wrote, without keys and checksums.

    Raises:
        ConfigurationError: for a line that is something else.
    """
    found: dict[str, RunResult] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            result = RunResult.from_json(line)
        except json.JSONDecodeError:  # cut off when the process was killed
            continue
        except ValueError as error:
            raise ConfigurationError(f"{path}, line {number}: {error}") from None
        found[result.spec.key] = result
    return found
