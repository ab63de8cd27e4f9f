"""Files of comparisons: written in whichever format a program wants, and read whichever format they have.

The formats are those of :mod:`textgym.comparison_formats`. Only ``jsonl`` holds everything; where a format has no place
for a comparison, it is left out and counted, so that a tie never becomes a preference.
"""

from __future__ import annotations

import csv
import io
import json
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from textgym.atomic import write_whole
from textgym.comparison_formats import FORMATS, Format, Rows
from textgym.comparisons import Comparison
from textgym.errors import ConfigurationError, PromptError, unknown_name
from textgym.reading import READERS

__all__ = ["FORMATS", "Export", "read_comparisons", "to_rows", "write_comparisons"]


@dataclass(frozen=True)
class Export:
    """What became of comparisons that were written.

    Attributes:
        written: How many are in the file.
        rows: How many rows that makes.
        left_out: Choice -> how many comparisons the format has no place for.
    """

    written: int
    rows: int
    left_out: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        """One sentence, for a terminal."""
        said = f"{self.written} comparisons in {self.rows} rows"
        names = ", ".join(f"{count} {choice}" for choice, count in self.left_out.items())
        return f"{said}; left out: {names}" if names else said


def to_rows(comparisons: Sequence[Comparison], form: str = "trl") -> tuple[list[dict[str, Any]], Export]:
    """Comparisons as rows of a format, for programs that take rows, such as ``datasets.Dataset.from_list``.

    Args:
        comparisons: Any.
        form: A name of :data:`~textgym.comparison_formats.FORMATS`.

    Raises:
        UnknownNameError: for a format that there is not.

    Example:
        >>> said = [Comparison(prompt="p", left="a", right="b", choice=choice) for choice in ("right", "tie")]
        >>> rows, export = to_rows(said, "trl")
        >>> rows, str(export)
        ([{'prompt': 'p', 'chosen': 'b', 'rejected': 'a'}], '1 comparisons in 1 rows; left out: 1 tie')
    """
    known = _format(form)
    kept = [item for item in comparisons if item.choice in known.choices]
    rows = known.to_rows(kept)
    missing = Counter(item.choice for item in comparisons if item.choice not in known.choices)
    return rows, Export(len(kept), len(rows), dict(sorted(missing.items())))


def write_comparisons(path: str | Path, comparisons: Sequence[Comparison], *, form: str = "jsonl") -> Export:
    """Writes comparisons into a file, which is there in full or not at all.

    Args:
        path: Ends in ``.csv`` for the arena formats and in ``.jsonl`` for the others.
        comparisons: Any.
        form: A name of :data:`~textgym.comparison_formats.FORMATS`.

    Returns:
        What was written and what was left out.

    Raises:
        UnknownNameError: for a format that there is not.
        ConfigurationError: for a name of another end, metadata that JSON does not know, a text that is no Unicode, and
            a file that cannot be written.
    """
    known, place = _format(form), Path(path).expanduser()
    if place.suffix.lower() != known.suffix:
        raise ConfigurationError(f"{str(path)!r}: expected a name that ends in {known.suffix} for the format {form!r}")
    rows, export = to_rows(comparisons, form)
    write_whole(place, _as_csv(rows, known.header, path) if known.header else "".join(map(_as_line, rows)))
    return export


def read_comparisons(path: str | Path, *, form: str | None = None) -> list[Comparison]:
    """Reads a file of comparisons, in JSON lines, CSV or Parquet.

    Which side a text stood on is not in TRL's formats; a hash of the texts decides it there. In the unpaired format the
    first good text of a prompt is set against its first bad one, and so on. Rows that no comparison can be made of are
    counted in a warning.

    Args:
        path: The file.
        form: A name of :data:`~textgym.comparison_formats.FORMATS`; by default the one that the columns tell.

    Raises:
        UnknownNameError: for a format that there is not.
        ConfigurationError: for a file that cannot be read, naming file, line and column.
        MissingDependencyError: for a Parquet file without pyarrow.
    """
    place = Path(path).expanduser()
    read = READERS.get(place.suffix.lower())
    if read is None or place.suffix.lower() == ".txt":
        raise ConfigurationError(f"{str(path)!r}: expected a file of comparisons that ends in .jsonl, .csv or .parquet")
    if not place.is_file():
        seen = "is no file" if place.exists() else "does not exist"
        raise ConfigurationError(f"the file of comparisons {str(path)!r} {seen} (looked in {str(Path.cwd())!r})")
    try:
        rows = [_checked(row, where) for row, where in read(place)]
    except PromptError as error:
        raise ConfigurationError(str(error)) from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8 (at byte {error.start}); save it as UTF-8") from None
    if not rows:
        return []
    known = _recognise(rows, str(path)) if form is None else _format(form)
    found, left_out = known.from_rows(rows)
    for reason, count in left_out.items():
        warnings.warn(f"{path}: {count} of {len(rows)} rows are left out: {reason}", stacklevel=2)
    return found


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise unknown_name("format", name, FORMATS)
    return FORMATS[name]


def _recognise(rows: Rows, path: str) -> Format:
    """The first format whose columns the first row has."""
    columns = set(rows[0][0])
    for entry in FORMATS.values():
        if columns >= set(entry.columns):
            return entry
    kinds = "; ".join(dict.fromkeys(f"{', '.join(entry.columns)} ({entry.name})" for entry in FORMATS.values()))
    raise ConfigurationError(f"{path}: the columns {', '.join(sorted(map(str, columns)))} are of no format: {kinds}")


def _checked(row: Any, where: str) -> tuple[dict[str, Any], str]:
    if not isinstance(row, dict):
        raise ConfigurationError(f"{where}: {str(row)[:60]!r}; expected an object with columns")
    return row, where


def _as_line(row: dict[str, Any]) -> str:
    try:
        line = json.dumps(row, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"a comparison of the prompt {row['prompt']!r} has metadata that JSON does not know: {error}"
        ) from None
    if json.loads(line) != row:
        raise ConfigurationError(
            f"the metadata of a comparison of the prompt {row['prompt']!r} would not come back from JSON as they are; "
            "use texts, numbers, lists and dicts with texts as keys"
        )
    try:
        line.encode("utf-8")
    except UnicodeEncodeError:  # half a character, as broken bytes may leave it
        line = json.dumps(row)
    return line + "\n"


def _as_csv(rows: Sequence[dict[str, Any]], header: Sequence[str], path: str | Path) -> bytes:
    file = io.StringIO(newline="")
    # All texts are quoted: an end of line in one would else end the row.
    writer = csv.DictWriter(file, header, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writeheader()
    writer.writerows(rows)
    try:
        return file.getvalue().encode("utf-8")
    except UnicodeEncodeError as error:
        raise ConfigurationError(
            f"{str(path)!r}: a text has half a character ({error.object[error.start]!r}), which CSV cannot hold; write "
            "JSON lines"
        ) from None
