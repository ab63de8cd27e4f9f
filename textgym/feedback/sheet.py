"""The class's agreement sheet: how far everybody agrees, and how each annotator did, as Markdown and CSV."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from textgym.atomic import write_whole
from textgym.comparisons import Comparison
from textgym.errors import ConfigurationError
from textgym.feedback.agreement import Agreement, Coefficient, measure_agreement
from textgym.feedback.display import pieces
from textgym.feedback.quality import TOO_FAST, AnnotatorQuality, Share, measure_quality

MEASURES = {
    "percent": "Percent agreement",
    "cohen": "Cohen's kappa",
    "fleiss": "Fleiss' kappa",
    "nominal": "Krippendorff's alpha, nominal",
    "ordinal": "Krippendorff's alpha, ordinal",
}

_SIGNS = re.compile(r"([\\`*_{}\[\]()<>#!|~&])")  # mean something in Markdown
_FORMULA = ("=", "+", "-", "@")  # a spreadsheet would compute what begins so
_COLUMNS = (
    "annotator",
    "judgements",
    "skips",
    "consistent",
    "repeats",
    "left_share",
    "left_p",
    "checks_passed",
    "checks",
    "median_seconds",
    "too_fast_share",
    "agrees_with_others",
    "remarks",
)


@dataclass(frozen=True)
class Sheet:
    """What a class has to say about itself.

    Attributes:
        agreement: How far all agree.
        annotators: How each of them did.
    """

    agreement: Agreement
    annotators: tuple[AnnotatorQuality, ...]

    def markdown(self, title: str = "How far we agree") -> str:
        """The sheet as one Markdown page."""
        found = self.agreement
        lines = [
            f"# {_plain(title)}",
            "",
            f"{_count(found.ratings, 'judgement')} of {_count(found.pairs, 'pair')} that two or more of "
            f"{_count(found.annotators, 'annotator')} judged; attention checks, repeats and skips do not count.",
            "",
            "| measure | value | 95 % interval |",
            "|---|---:|---:|",
            *(f"| {MEASURES[name]} | {_row(one)} |" for name, one in found.coefficients.items()),
            "",
            "1 is complete agreement. Kappa and alpha are 0 where people agree no more than chance would.",
            "",
            "| annotator | judgements | skips | repeats as before | left | p | checks passed | median time | too fast "
            "| agrees with others | remarks |",
            "|---|" + "---:|" * 9 + "---|",
            *(f"| {' | '.join(_cells(one))} |" for one in self.annotators),
            "",
            "p: how probable such a share of left choices is where sides do not matter. Remarks say where to look, not "
            "who is to blame: in a large class chance alone brings some.",
        ]
        return "\n".join(lines) + "\n"

    def annotators_csv(self) -> str:
        """One row for each annotator; empty cells where nothing is known."""
        return _csv(_COLUMNS, (_values(one) for one in self.annotators))

    def agreement_csv(self) -> str:
        """One row for each measure of agreement."""
        rows = self.agreement.coefficients.items()
        return _csv(
            ("measure", "value", "low", "high", "reason"),
            ((name, *map(_number, (one.value, one.low, one.high)), one.reason) for name, one in rows),
        )

    def write(self, folder: str | Path) -> list[Path]:
        """Writes ``agreement.md``, ``agreement.csv`` and ``annotators.csv``, and returns where they are.

        Raises:
            ConfigurationError: for a folder that cannot be written to.
        """
        texts = {
            "agreement.md": self.markdown(),
            "agreement.csv": self.agreement_csv(),
            "annotators.csv": self.annotators_csv(),
        }
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"the sheet cannot be written to {str(folder)!r}: {error}") from None
        for name, text in texts.items():
            write_whole(Path(folder) / name, text)
        return [Path(folder) / name for name in texts]


def make_sheet(comparisons: Iterable[Comparison], *, replicates: int = 1000, too_fast: float = TOO_FAST) -> Sheet:
    """The sheet of all comparisons of a project, in the order in which they were made.

    Args:
        comparisons: Of all annotators.
        replicates: Bootstrap resamples of the intervals.
        too_fast: Seconds in which nobody has read two texts.

    Example:
        >>> votes = [Comparison(prompt="p", left="a", right="b", pair="1", annotator="ann", choice="left", seconds=4.0)]
        >>> print(make_sheet(votes).annotators_csv().splitlines()[1])
        ann,1,0,,0,1.0,1.0,,0,4.0,0.0,,
    """
    votes = list(comparisons)
    measured = measure_quality(votes, too_fast=too_fast)
    return Sheet(measure_agreement(votes, replicates=replicates), tuple(measured))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _row(one: Coefficient) -> str:
    if math.isnan(one.value):
        return f"not defined: {one.reason} | "
    interval = "" if math.isnan(one.low) else f"{one.low:.3f} to {one.high:.3f}"
    return f"{one.value:.3f} | {interval}"


def _cells(one: AnnotatorQuality) -> list[str]:
    return [
        _plain(one.annotator) or "(no name)",
        str(one.judgements),
        str(one.skips),
        _fraction(one.consistent),
        _percent(one.left),
        "" if not one.left.total else f"{one.left_p:.4f}",
        _fraction(one.checks),
        "" if math.isnan(one.median_seconds) else f"{one.median_seconds:.1f} s",
        _percent(one.too_fast),
        _percent(one.agreeing),
        "; ".join(one.remarks),
    ]


def _fraction(share: Share) -> str:
    return f"{share.count} of {share.total}" if share.total else ""


def _percent(share: Share) -> str:
    return f"{share.value:.0%}" if share.total else ""


def _values(one: AnnotatorQuality) -> Sequence[str | int | float]:
    return (
        one.annotator,
        one.judgements,
        one.skips,
        one.consistent.count if one.consistent.total else "",
        one.consistent.total,
        _number(one.left.value),
        _number(one.left_p if one.left.total else math.nan),
        one.checks.count if one.checks.total else "",
        one.checks.total,
        _number(one.median_seconds),
        _number(one.too_fast.value),
        _number(one.agreeing.value),
        "; ".join(one.remarks),
    )


def _number(value: float) -> str | float:
    return "" if math.isnan(value) else value


def _plain(text: str) -> str:
    """A name as text in Markdown, on one line, with hidden characters shown by their numbers."""
    shown = "".join(piece.text for piece in pieces(text))
    return _SIGNS.sub(r"\\\1", " ".join(shown.split()))


def _csv(columns: Sequence[str], rows: Iterable[Sequence[str | int | float]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_harmless(cell) if isinstance(cell, str) else cell for cell in row])
    return out.getvalue()


def _harmless(cell: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.lstrip().startswith(_FORMULA) else cell
