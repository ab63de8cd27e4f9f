"""Prompt files: CSV, JSONL, text and Parquet, read row by row."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from textgym.errors import PromptError, missing_dependency
from textgym.records import Record, Records

BATCH = 4096  # rows of a Parquet file that are decoded at a time
PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".joblib")


def read_file(path: Path) -> Records:
    """Opens a prompt file, by the end of its name.

    Raises:
        PromptError: for a file that is not there or of a kind that is not read; what is wrong inside is said, with
            the line or row, when that is reached.
        MissingDependencyError: for a Parquet file without pyarrow.
    """
    suffix = path.suffix.lower()
    if suffix in PICKLES:
        raise PromptError(
            f"prompt file {str(path)!r}: pickles are not read, since loading one runs code; save the rows as Parquet, "
            "CSV or JSONL"
        )
    read = READERS.get(suffix)
    if read is None:
        raise PromptError(
            f"prompt file {str(path)!r}: expected a name that ends in .csv, .jsonl, .txt or .parquet, or the folder of "
            "a dataset; one of the hub is asked for as prompts={'dataset': NAME}"
        )
    path = path.expanduser()
    if not path.is_file():
        seen = "is no file" if path.exists() else "does not exist"
        raise PromptError(f"prompt file {str(path)!r} {seen} (looked in {str(Path.cwd())!r})")
    types = _parquet_types(path) if suffix == ".parquet" else None
    state = path.stat()
    # The last tells of contents that changed under an old date, as copies that keep the date have.
    stamp = ("file", str(path.resolve()), state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    return Records(f"prompt file {str(path)!r}", partial(_guarded, path, read), types, stamp)


def _guarded(path: Path, read: Callable[[Path], Iterator[Record]]) -> Iterator[Record]:
    try:
        yield from read(path)
    except UnicodeDecodeError as error:
        raise PromptError(f"prompt file {str(path)!r} is not UTF-8 (at byte {error.start}); save it as UTF-8") from None


def _read_csv(path: Path) -> Iterator[Record]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            reader.fieldnames = _read_header(path, reader.fieldnames or ())
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                if None in row or any(value is None for value in row.values()):
                    expected = len(reader.fieldnames or ())
                    raise PromptError(f"{where}: expected {expected} columns, as in the header")
                yield row, where
        except csv.Error as error:
            # The reader has stopped where the file ends, far behind an open quote.
            raise PromptError(f"{path}, line {reader.line_num + 1}: not valid CSV ({error})") from None


def _read_header(path: Path, names: Sequence[str]) -> list[str]:
    for mark in (";", "\t"):
        if len(names) == 1 and mark in names[0]:
            raise PromptError(f"{path}, line 1: the columns seem to be separated by {mark!r}, expected commas")
    names = [name.strip() for name in names]
    for name in names:
        if names.count(name) > 1:
            raise PromptError(f"{path}, line 1: two columns are called {name!r}; give each a name of its own")
    return names


def _read_jsonl(path: Path) -> Iterator[Record]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    yield json.loads(line), f"{path}, line {number}"
                except json.JSONDecodeError as error:
                    raise PromptError(f"{path}, line {number}: expected one JSON object a line ({error.msg})") from None


def _read_lines(path: Path) -> Iterator[Record]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield {"prompt": line.rstrip("\r\n")}, f"{path}, line {number}"


def _open_parquet(path: Path) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise missing_dependency("pyarrow", "data", f"the Parquet file {str(path)!r}") from None
    try:
        return pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise PromptError(
            f"prompt file {str(path)!r} is not a Parquet file ({_first_line(error)}); write it again, or give it the "
            "end of name that says what it is"
        ) from None


def _parquet_types(path: Path) -> dict[str, Any]:
    with _open_parquet(path) as file:
        return {field.name: field.type for field in file.schema_arrow}


def _read_parquet(path: Path) -> Iterator[Record]:
    import pyarrow

    number = 0
    with _open_parquet(path) as file:
        try:
            for batch in file.iter_batches(batch_size=BATCH):
                for row in batch.to_pylist():
                    yield row, f"{path}, row {number}"
                    number += 1
        except (pyarrow.ArrowException, OSError) as error:
            raise PromptError(
                f"{path}: the Parquet file is damaged after {number} rows ({_first_line(error)})"
            ) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")


READERS = {".csv": _read_csv, ".jsonl": _read_jsonl, ".txt": _read_lines, ".parquet": _read_parquet}
"""What reads the files whose names end so."""
