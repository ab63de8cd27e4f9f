"""Finished runs of others: read from the folders that comparisons leave, or from an archive made of them.

An archive is one compressed file with a line for each run, small enough to be published with a paper or kept under
version control: the record, on which processor it was made, and whether it had been verified, with a checksum. What it
leaves out are sample texts, curves and policies; those are in the folders.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from textgym.atomic import write_whole
from textgym.errors import ConfigurationError

from .records import RunResult
from .run_files import MACHINE, RECORD
from .verification import FLAGGED, UNVERIFIED, VERIFIED, read_verdicts

ARCHIVE = ".jsonl.gz"
"""What the name of an archive ends in."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A run in one of the folders.

    Attributes:
        folder: The comparison that it belongs to, or the archive.
        result: Its record.
        verdict: "verified", "flagged" or "unverified".
        machine: Its processor; empty where that is not known.
    """

    folder: Path
    result: RunResult
    verdict: str
    machine: str

    def told(self) -> dict[str, Any]:
        """What of the record is in archives, too, and the same whenever the run is repeated.

        With which budget a config was found is left out, since the same config may be found in several ways.
        """
        lean = _lean(self.result)
        return replace(lean, spec=replace(lean.spec, tuning={})).without_costs()


def find_runs(places: Iterable[Path | str]) -> list[Found]:
    """The finished runs in some places, in the order of their names.

    Args:
        places: Folders of comparisons or of single runs, and archives.

    Raises:
        ConfigurationError: for a place that is neither, or holds something damaged or edited.
    """
    return [found for place in map(Path, places) for found in (_unpack(place) if place.is_file() else _read(place))]


def write_archive(places: Sequence[Path | str], archive: Path | str) -> int:
    """Writes what :func:`find_runs` finds as one file, in the same order with the same bytes each time.

    Args:
        places: As for :func:`find_runs`.
        archive: The file; its name ends in ``.jsonl.gz``.

    Returns:
        The number of runs.

    Raises:
        ConfigurationError: for another name, places without runs, or a file that cannot be written.
    """
    if not str(archive).endswith(ARCHIVE):
        raise ConfigurationError(f"{str(archive)!r}: expected a name that ends in {ARCHIVE}")
    runs = find_runs(places)
    if not runs:
        raise ConfigurationError(f"no finished run in {', '.join(map(str, places)) or 'no folder'}; nothing to archive")
    text = "".join(_line(run) + "\n" for run in runs)
    write_whole(archive, gzip.compress(text.encode("utf-8"), mtime=0))
    return len(runs)


def _line(run: Found) -> str:
    record = json.loads(_lean(run.result).to_json())
    data = {"machine": run.machine, "verdict": run.verdict, "record": record}
    return json.dumps({"sha256": _checksum(data), **data}, ensure_ascii=False)


def _checksum(data: Mapping[str, Any]) -> str:
    """Tells whether a line was edited; whoever wants to forge one can."""
    told = {name: value for name, value in data.items() if name != "sha256"}
    return sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _lean(result: RunResult) -> RunResult:
    return replace(result, texts={}, curve=[], trace="")


def _unpack(archive: Path) -> Iterator[Found]:
    if not archive.name.endswith(ARCHIVE):
        raise ConfigurationError(
            f"{str(archive)!r} is no archive of runs; expected a folder, or a file named *{ARCHIVE}"
        )
    try:
        lines = gzip.decompress(archive.read_bytes()).decode("utf-8").removesuffix("\n").split("\n")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{str(archive)!r} is damaged: {error}") from None
    for number, line in enumerate(lines, start=1):
        try:
            data = json.loads(line)
            result = RunResult.from_json(json.dumps(data["record"]))
            verdict, machine = data["verdict"], str(data["machine"])
            if verdict not in (VERIFIED, FLAGGED, UNVERIFIED):
                raise ValueError(f"no verdict: {verdict!r}")
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"{str(archive)!r}, line {number}: no run: {error}") from None
        if data.get("sha256") != _checksum(data):
            raise ConfigurationError(
                f"{str(archive)!r}, line {number} was edited after it was written: its checksum does not fit"
            )
        yield Found(folder=archive, result=result, verdict=verdict, machine=machine)


def _read(folder: Path) -> Iterator[Found]:
    """The runs in a folder, which may be one itself; those that are not complete have another name."""
    if not folder.is_dir():
        raise ConfigurationError(f"{str(folder)!r} is no folder; expected one that `textgym bench run` wrote")
    places = [folder] if (folder / RECORD).is_file() else sorted(path.parent for path in folder.glob(f"*/{RECORD}"))
    home = folder.parent if places == [folder] else folder
    verdicts = read_verdicts(home)
    for place in places:
        if place.name.startswith("."):
            continue
        try:
            result = RunResult.from_json((place / RECORD).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ConfigurationError(f"{str(place / RECORD)!r}: {error}") from None
        verdict = verdicts.get(result.spec.key, UNVERIFIED)
        yield Found(folder=home, result=result, verdict=verdict, machine=_machine(place))


def _machine(place: Path) -> str:
    path = place / MACHINE
    try:
        data = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except ValueError:
        return ""
    if not isinstance(data, dict) or not data.get("processor"):
        return ""
    return f"{data['processor']}, {data.get('cores')} cores" + (f", {data['gpu']}" if data.get("gpu") else "")
