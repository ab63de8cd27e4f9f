"""``textgym rm train --labels``: a classifier from labelled texts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from textgym.cli.options import one_thread

if TYPE_CHECKING:
    from textgym.labelled_texts import TrainedClassifier
    from textgym.labelled_texts.quality import ClassifierQuality

MOST_LABELS = 12  # in a table of confusions
MOST_FINDINGS = 5


def train_on_labels(
    labels: Path,
    out: Path,
    *,
    text: str = "text",
    label: str = "label",
    bias_words: Path | None = None,
    seed: int = 0,
    **settings: Any,
) -> None:
    """Fits a classifier to a file of labelled texts, saves it, and says how good it is.

    Args:
        labels: A CSV, JSONL or Parquet file.
        out: Folder of the classifier.
        text: The column of the texts.
        label: The column of the labels.
        bias_words: A file of word pairs for the bias check, in the place of textgym's own.
        seed: Of all that is random.
        **settings: Fields of :class:`~textgym.labelled_texts.settings.ClassifierSettings`.
    """
    from textgym.labelled_texts import WORD_PAIRS, ClassifierSettings, check_place, read_word_pairs, train_classifier
    from textgym.labelled_texts.rows import read_labelled

    options = ClassifierSettings(**settings)
    check_place(out)  # now, not after an hour
    pairs = WORD_PAIRS if bias_words is None else read_word_pairs(bias_words)
    data = read_labelled(labels, text=text, label=label)
    typer.echo(f"{len(data.texts):,} texts: {', '.join(f'{name} {count:,}' for name, count in data.counts.items())}")
    import torch  # noqa: F401 - so that one_thread finds it

    one_thread()
    found = train_classifier(data, options, seed=seed, pairs=pairs, tell=typer.echo)
    found.save(out)
    for line in [*describe(found), *use(found, out)]:
        typer.echo(line)


def describe(found: TrainedClassifier) -> list[str]:
    """The report, line by line."""
    quality = found.quality
    lines = [
        f"on {quality.texts:,} test texts: accuracy {quality.accuracy:.3f} (commonest label {quality.baseline:.3f}), "
        f"macro F1 {quality.macro_f1:.3f}, cross-entropy {quality.loss:.3f}",
        f"calibration error {quality.calibration_error:.3f}"
        + (f" (before calibration {found.raw_calibration_error:.3f})" if found.temperature != 1.0 else ""),
        *confusions(quality, found.data.names),
    ]
    if found.curve:
        points = ", ".join(f"{count:,}: {accuracy:.3f}" for count, accuracy in found.curve.items())
        lines.append(f"accuracy by number of training texts: {points}")
    lines.append(f"bias check of {_pairs(found)}; largest differences:")
    lines += [f"  {finding}" for finding in found.bias[:MOST_FINDINGS] if finding.difference] or ["  none at all"]
    alarms = found.alarms
    lines += [f"warning: {alarm}" for alarm in alarms[:MOST_FINDINGS]]
    if len(alarms) > MOST_FINDINGS:
        lines.append(f"warning: and {len(alarms) - MOST_FINDINGS} more, which card.json lists under 'alarms'")
    return lines


def _pairs(found: TrainedClassifier) -> str:
    count = len({finding.pair for finding in found.bias})
    return f"{count} pair{'s' * (count != 1)} of words"


def confusions(quality: ClassifierQuality, names: Sequence[str]) -> list[str]:
    """Counts of what is by row and what was said by column; where there are many labels, the F1 scores alone."""
    width = max(map(len, (*names, "F1 0.000")))
    rows = [f"{name:>{width}}  F1 {f1:.3f}" for name, f1 in zip(names, quality.f1, strict=True)]
    if len(names) > MOST_LABELS:
        return rows
    head = f"{'label':>{width}}  {'':8}  said: " + "  ".join(f"{name:>6}" for name in names)
    counts = (
        "  ".join(f"{count:>{max(6, len(name))}}" for count, name in zip(row, names, strict=True))
        for row in quality.confusion
    )
    return [head, *(f"{row}        {line}" for row, line in zip(rows, counts, strict=True))]


def use(found: TrainedClassifier, out: Path) -> list[str]:
    """How the classifier becomes a reward."""
    reward = json.dumps(found.reward(out), ensure_ascii=False)
    return [f"saved to {out}", f"use it as a reward: --set 'reward={reward}'"]
