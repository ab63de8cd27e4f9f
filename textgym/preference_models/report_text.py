"""A report on a reward model as plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from textgym.preference_models.effects import Effect
from textgym.preference_models.report import Report


def write_lines(report: Report) -> Iterator[str]:
    """The lines of a report, as wide as a terminal."""
    model, data = report.model, report.data
    members = f" of {model['members']} members, {model['aggregate']}" if model["members"] > 1 else ""
    yield f"reward model: {model['kind']}{members}"
    yield f"{data['judgements']} judgements, {data['ties']} ties, {data['texts']} texts of {data['prompts']} prompts"
    yield from report.remarks
    yield ""
    yield from _measures(report)
    yield from _calibration(report)
    yield from _margins(report)
    known = ", given the true score" if "true score" in report.correlations else ""
    yield from _effects(f"what drives the judges{known}", report.drivers)
    yield f"  ALARM: {', '.join(report.alarms)}" if report.alarms else "  no alarm"
    yield from _effects("what the model does not explain of it", report.leftovers)
    yield from _correlations(report)
    yield from _ensemble(report)
    yield from _best_of(report)
    yield from _judges(report)


def _measures(report: Report) -> Iterator[str]:
    for name, value in report.measures.items():
        yield f"{name:<22}{value:8.3f}"
    if report.ceiling is not None:
        yield f"{'accuracy at most':<22}{report.ceiling:8.3f}  ({report.ceiling_from})"
    else:
        yield f"{'accuracy at most':<22}{report.ceiling_from}"


def _calibration(report: Report) -> Iterator[str]:
    found = report.calibration
    yield from _table(
        "calibration: the favoured text should win, and wins",
        ("predicted", "observed", "judgements"),
        [
            (f"{one:.3f}", f"{other:.3f}", str(count))
            for one, other, count in zip(found.predicted, found.observed, found.counts, strict=True)
        ],
    )


def _margins(report: Report) -> Iterator[str]:
    rows = [
        (f"{row['from']:.2f} to {row['to']:.2f}", f"{row['accuracy']:.3f}", f"{row['judgements']:.0f}")
        for row in report.margins
    ]
    yield from _table("accuracy by the difference in reward", ("difference", "accuracy", "judgements"), rows)


def _effects(title: str, effects: Sequence[Effect]) -> Iterator[str]:
    rows = [(effect.feature, f"{effect.estimate:+.2f}", f"{effect.low:+.2f}", f"{effect.high:+.2f}",
             "!" if effect.is_alarming else "") for effect in effects]  # fmt: skip
    yield from _table(f"{title} (log-odds)", ("feature", "effect", "from", "to", ""), rows)
    if not rows:
        yield "  too few judgements to say"


def _correlations(report: Report) -> Iterator[str]:
    rows = [
        (name, f"{found['reward']:+.2f}", f"{found['gold']:+.2f}" if "gold" in found else "")
        for name, found in report.correlations.items()
    ]
    yield from _table("correlation among texts of one prompt", ("feature", "reward", "gold"), rows)


def _ensemble(report: Report) -> Iterator[str]:
    if len(report.members["accuracy"]) == 1:
        return
    yield from ("", "members")
    shown = ", ".join(f"{value:.3f}" for value in report.members["accuracy"])
    yield f"  accuracy {shown}; standard deviation {report.members['spread']:.3f}"
    for name, value in report.disagreement.items():
        yield f"  rank correlation of disagreement {name}: {value:+.2f}"


def _best_of(report: Report) -> Iterator[str]:
    found = report.best_of
    if found:
        yield from ("", "best of four: true score of the model's pick")
        yield (
            f"  {found['pick']:.3f}; the average text has {found['average']:.3f}, the best {found['best']:.3f}: "
            f"{found['share of the way']:.0%} of the way"
        )


def _judges(report: Report) -> Iterator[str]:
    rows = [
        (str(number), f"{found['sharpness']:.2f}", f"{found['side']:+.2f}", f"{found['tie']:.2f}",
         ", ".join(f"{name or 'nobody'} {value:.2f}" for name, value in found["reliabilities"].items()))
        for number, found in enumerate(report.judges)
    ]  # fmt: skip
    yield from _table("judges, as each member sees them", ("", "sharpness", "left side", "tie", "reliability"), rows)


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield from ("", title)
    if not rows:
        return
    widths = [max(len(row[place]) for row in [head, *rows]) for place in range(len(head))]
    for row in [head, *rows]:
        yield ("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip()
