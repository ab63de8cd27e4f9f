"""The benchmark of BLEU, chrF and ROUGE-L: it compares like with like, and its table has a row for each case."""

from __future__ import annotations

import pytest

from textgym.benchmarks import overlaps
from textgym.rewards import Overlap


def test_the_table_has_a_row_for_each_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlaps, "BATCHES", (2, 9))
    head, _, *rows = overlaps.report(rounds=1)
    assert len(rows) == 5 * 2 * 2
    assert {row.count("|") for row in rows} == {head.count("|")}
    assert rows[0].startswith("| bleu | text | 1 | 2 | ")


def test_another_value_than_the_package_has_is_an_error() -> None:
    package = overlaps.reference_packages()["rouge_l"]
    with pytest.raises(AssertionError):
        overlaps.measure(Overlap("bleu"), package, 4, 1, rounds=1)
    ours, theirs = overlaps.measure(Overlap("rouge_l"), package, 4, 1, rounds=1)
    assert ours > 0.0 < theirs
