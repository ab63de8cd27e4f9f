"""Who belongs to which group of a class: said in a file, or by everybody's own name."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from textgym.errors import ConfigurationError, suggestion

NO_GROUP = "no group"
"""The group of those who name none."""

COLUMNS = ("name", "group")
SEPARATOR = ":"
_MARKS = (",", ";", "\t")
_FORMULA = ("=", "+", "-", "@")  # a spreadsheet would compute what begins so


def group_of(name: str) -> str:
    """The group that somebody has written before their name; :data:`NO_GROUP` for none.

    Example:
        >>> group_of("Blue: Ann"), group_of("blue :Bo"), group_of("Cy")
        ('blue', 'blue', 'no group')
    """
    before, mark, _ = name.partition(SEPARATOR)
    return (_tidy(before) if mark else "") or NO_GROUP


def find_groups(names: Iterable[str], file: str | Path | None = None) -> dict[str, list[str]]:
    """The groups of a class and who is in them, both in alphabetical order.

    Args:
        names: Of all who have judged.
        file: A CSV file with the columns ``name`` and ``group``; without one, names such as ``blue: Ann`` tell.

    Returns:
        Group -> names.

    Raises:
        ConfigurationError: for a file that cannot be read, and for people who are not in it.

    Example:
        >>> find_groups(["blue: Bo", "red: Cy", "Blue: Ann"])
        {'blue': ['Blue: Ann', 'blue: Bo'], 'red': ['red: Cy']}
    """
    people = sorted(set(names))
    if file is None:
        chosen = {name: group_of(name) for name in people}
    else:
        known = read_groups(file)
        if missing := [name for name in people if _one_line(name) not in known]:
            told = f"{missing[0]!r} has judged and has no group.{suggestion(missing[0], known)}"
            raise ConfigurationError(f"groups file {str(file)!r}: {told} Names to add: {len(missing)}")
        chosen = {name: known[_one_line(name)] for name in people}
    return {group: [name for name in people if chosen[name] == group] for group in sorted(set(chosen.values()))}


def read_groups(file: str | Path) -> dict[str, str]:
    """Name -> group, from a CSV file with these two columns; other columns do not matter.

    Raises:
        ConfigurationError: if it is no such file.
    """
    where = f"groups file {str(file)!r}"
    try:
        text = Path(file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{where}: expected a CSV file in UTF-8 ({error})") from None
    head = text.partition("\n")[0]
    rows = list(csv.reader(io.StringIO(text), delimiter=max(_MARKS, key=head.count)))
    columns = [cell.strip().casefold() for cell in rows[0]] if rows else []
    if any(column not in columns for column in COLUMNS):
        raise ConfigurationError(f"{where}: its first line is {head!r}; expected columns called name and group")
    places = [columns.index(column) for column in COLUMNS]
    return dict(_read_row(row, places, f"{where}, row {number}") for number, row in enumerate(rows[1:], 2) if any(row))


def write_groups(groups: Mapping[str, Sequence[str]]) -> str:
    """The groups as the file that :func:`read_groups` reads, for somebody to correct."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((_harmless(name), _harmless(group)) for group, names in groups.items() for name in names)
    return out.getvalue()


def _read_row(row: Sequence[str], places: Sequence[int], where: str) -> tuple[str, str]:
    if len(row) <= max(places) or not _tidy(row[places[1]]):
        raise ConfigurationError(f"{where}: {row} has no group; expected a name and a group")
    name, group = (_plain(_one_line(row[place])) for place in places)
    return name, _tidy(group)


def _tidy(group: str) -> str:
    """One spelling for ``Blue``, ``blue`` and ``blue  ``."""
    return _one_line(group).casefold()


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _harmless(cell: str) -> str:
    """Text that no spreadsheet takes for a formula; :func:`_plain` takes the mark away again."""
    return f"'{cell}" if cell.lstrip("'").startswith(_FORMULA) else cell


def _plain(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell.lstrip("'").startswith(_FORMULA) else cell
