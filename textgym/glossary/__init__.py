"""Every name under which textgym writes numbers down, with unit, formula, and which values are good.

The page "Glossary" of the documentation is made from :data:`LOGS`; a test runs whatever writes them and compares.

Example:
    >>> [log.name for log, entry in find("explained_variance")]
    ['training']
"""

from __future__ import annotations

from textgym.glossary.benchmarks import EVALUATION, MEASURE, RECORD, REFERENCES, TRACKING, TRIAL
from textgym.glossary.entries import Log, Metric
from textgym.glossary.people import CARD, CLASSIFIER, MODEL_REPORT, OVEROPTIMISATION, RLHF, SHEET
from textgym.glossary.training import CURVE, INFO, RECORDING, TRAINING, TRL

LOGS = (
    TRAINING,
    CURVE,
    EVALUATION,
    INFO,
    RECORD,
    MEASURE,
    REFERENCES,
    TRACKING,
    TRIAL,
    RLHF,
    CARD,
    MODEL_REPORT,
    CLASSIFIER,
    OVEROPTIMISATION,
    SHEET,
    RECORDING,
    TRL,
)
"""All places, those that are read most often first."""


def find(name: str) -> list[tuple[Log, Metric]]:
    """All entries that explain a logged name.

    Example:
        >>> [entry.unit for _, entry in find("entropy")]
        ['nats a token']
    """
    return [(log, entry) for log in LOGS for entry in log.metrics if entry.pattern.fullmatch(name)]


__all__ = ["LOGS", "Log", "Metric", "find"]
