"""The agreement sheet: Markdown and CSV, whatever annotators are called."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from textgym.comparisons import Choice, Comparison
from textgym.errors import ConfigurationError
from textgym.feedback.sheet import make_sheet


def vote(pair: int, annotator: str, choice: Choice = "left", seconds: float | None = 4.0) -> Comparison:
    return Comparison(
        prompt="p", left="a", right="b", pair=str(pair), annotator=annotator, choice=choice, seconds=seconds
    )


VOTES = [vote(row, who, "left" if row % 2 else "right") for row in range(6) for who in ("Ann", "Bo")]
VOTES += [vote(6, "Ann", "left"), vote(6, "Bo", "tie", None)]


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_a_row_for_each_annotator_and_measure() -> None:
    sheet = make_sheet(VOTES, replicates=50)
    ann, bo = rows_of(sheet.annotators_csv())
    assert (ann["annotator"], ann["judgements"], ann["left_share"]) == ("Ann", "7", str(4 / 7))
    assert (bo["agrees_with_others"], bo["repeats"], bo["consistent"]) == (str(6 / 7), "0", "")
    measures = {row["measure"]: row for row in rows_of(sheet.agreement_csv())}
    assert list(measures) == ["percent", "cohen", "fleiss", "nominal", "ordinal"]
    for name, one in sheet.agreement.coefficients.items():
        assert float(measures[name]["value"]) == one.value
        assert float(measures[name]["low"]) <= one.value <= float(measures[name]["high"])


def test_markdown_says_the_same_in_tables() -> None:
    sheet = make_sheet(VOTES, replicates=50)
    text = sheet.markdown("Class of 2027")
    assert text.startswith("# Class of 2027\n")
    assert "14 judgements of 7 pairs that two or more of 2 annotators judged" in text
    assert f"| Percent agreement | {6 / 7:.3f} |" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    widths = {len(line.split("|")) for line in rows}
    assert widths == {5, 13}
    assert sum(line.startswith(("| Ann |", "| Bo |")) for line in rows) == 2


@pytest.mark.parametrize(
    ("name", "in_markdown", "in_csv"),
    [
        ("=1+2", "=1+2", "'=1+2"),
        (" @sum(A1)", "@sum\\(A1\\)", "' @sum(A1)"),
        ("a|b", "a\\|b", "a|b"),
        ("<b>x</b>", "\\<b\\>x\\</b\\>", "<b>x</b>"),
        ("[x](http://y)", "\\[x\\]\\(http://y\\)", "[x](http://y)"),
        ("good\u202ebad", "goodU+202Ebad", "good\u202ebad"),
        ("two\nlines", "two\u21b5 lines", "two\nlines"),
        ("", "(no name)", ""),
    ],
)
def test_names_are_text(name: str, in_markdown: str, in_csv: str) -> None:
    sheet = make_sheet([vote(1, name), vote(1, "zoe")], replicates=0)
    assert f"\n| {in_markdown} | 1 | 0 |" in sheet.markdown()
    assert rows_of(sheet.annotators_csv())[0]["annotator"] == in_csv


def test_what_is_not_defined_says_why() -> None:
    sheet = make_sheet([vote(1, "Ann")], replicates=10)
    assert "| Fleiss' kappa | not defined: no pair was judged by two annotators |" in sheet.markdown()
    assert rows_of(sheet.agreement_csv())[0]["value"] == ""
    assert "nan" not in sheet.markdown() + sheet.annotators_csv() + sheet.agreement_csv()
    assert make_sheet([]).annotators_csv().count("\n") == 1


def test_files(tmp_path: Path) -> None:
    sheet = make_sheet(VOTES, replicates=10)
    for _ in range(2):  # written again, they are replaced
        written = sheet.write(tmp_path / "class")
    assert [path.name for path in written] == ["agreement.md", "agreement.csv", "annotators.csv"]
    assert sorted(path.name for path in (tmp_path / "class").iterdir()) == sorted(path.name for path in written)
    assert written[0].read_text(encoding="utf-8") == sheet.markdown()
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        sheet.write(tmp_path / "file")
