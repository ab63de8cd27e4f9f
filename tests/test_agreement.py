"""Agreement: published worked examples, another package, a slow exact oracle, and what comparisons count."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import combinations
from math import isnan, nan

import numpy as np
import pytest
from numpy.typing import NDArray

from textgym.comparisons import Choice, Comparison
from textgym.errors import ConfigurationError
from textgym.feedback.agreement import (
    ALL_THE_SAME,
    NO_OVERLAP,
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
    measure_agreement,
    percent_agreement,
)
from textgym.feedback.ratings import BOTH_BAD, FIRST, SECOND, TIE, rate

Table = NDArray[np.float64]

# Krippendorff (2011), "Computing Krippendorff's alpha-reliability", the data with missing values: alpha is 0.743
# nominal and 0.815 ordinal.
KRIPPENDORFF = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, nan, nan, nan],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, nan, 3],
        [nan, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, nan],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, nan],
    ]
)

# Fleiss (1971), table 1: how many of six psychiatrists gave each of 30 patients each of five diagnoses; kappa is 0.430.
FLEISS = """
00060 03003 01401 00006 03030 20400 00402 20310 20040 00006 10050 11040 03300 10050 02031
00501 30012 51000 02040 10203 00006 01050 02013 20040 10041 05010 40002 02040 10500 00006
""".split()

# Cohen (1968), table 1: two judges of 200 cases; his kappa of 1960 is 0.492.
COHEN = [[88, 10, 2], [14, 40, 6], [18, 10, 12]]


def fleiss_table() -> Table:
    return np.array([np.repeat(range(5), [int(number) for number in row]) for row in FLEISS], dtype=float).T


def random_table(rng: np.random.Generator) -> Table:
    """A table with missing values, sometimes with few raters, units or values."""
    raters, units, values = rng.integers(2, 7), rng.integers(1, 15), rng.integers(1, 5)
    truth = rng.integers(values, size=units)
    table = np.where(rng.random((raters, units)) < 0.6, truth, rng.integers(values, size=(raters, units))).astype(float)
    table[rng.random(table.shape) < rng.choice([0.0, 0.3, 0.6])] = nan
    return table


# ---- the slow oracle: one pair of ratings at a time, in fractions ---------------------------------------------------


def units_of(table: Table) -> list[list[float]]:
    units = [[value for value in column if not isnan(value)] for column in table.T.tolist()]
    return [unit for unit in units if len(unit) > 1]


def mean(values: list[Fraction]) -> Fraction:
    return sum(values, Fraction(0)) / len(values)


def slow_percent(table: Table) -> Fraction:
    shares = []
    for unit in units_of(table):
        pairs = list(combinations(unit, 2))
        shares.append(Fraction(sum(one == other for one, other in pairs), len(pairs)))
    return mean(shares)


def slow_fleiss(table: Table) -> Fraction:
    counts = Counter(value for unit in units_of(table) for value in unit)
    total = sum(counts.values())
    expected = sum((Fraction(count, total) ** 2 for count in counts.values()), Fraction(0))
    return (slow_percent(table) - expected) / (1 - expected)


def slow_cohen(table: Table) -> Fraction:
    kappas = []
    for one, other in combinations(table.tolist(), 2):
        both = [(a, b) for a, b in zip(one, other, strict=True) if not isnan(a) and not isnan(b)]
        if not both:
            continue
        values = {value for pair in both for value in pair}
        observed = Fraction(sum(a == b for a, b in both), len(both))
        shares = [(sum(a == v for a, _ in both), sum(b == v for _, b in both)) for v in values]
        expected = sum((Fraction(a * b, len(both) ** 2) for a, b in shares), Fraction(0))
        if expected != 1:
            kappas.append((observed - expected) / (1 - expected))
    return mean(kappas)


def assert_same(found: float, slow: Fraction | None) -> None:
    if slow is None:
        assert isnan(found)
    else:
        assert found == pytest.approx(float(slow), abs=1e-9)


def or_none(function, table: Table) -> Fraction | None:  # type: ignore[no-untyped-def]
    try:
        value: Fraction = function(table)
    except ZeroDivisionError:
        return None
    return value


# ---- worked examples ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("level", "published"), [("nominal", 0.743), ("ordinal", 0.815)])
def test_krippendorffs_own_example(level: str, published: float) -> None:
    krippendorff = pytest.importorskip("krippendorff")
    found = krippendorff_alpha(KRIPPENDORFF, level=level)  # type: ignore[arg-type]
    assert round(found, 3) == published
    assert found == pytest.approx(krippendorff.alpha(KRIPPENDORFF, level_of_measurement=level), abs=1e-9)


def test_fleiss_own_example() -> None:
    table = fleiss_table()
    assert table.shape == (6, 30)
    assert round(fleiss_kappa(table), 3) == 0.430
    assert percent_agreement(table) == pytest.approx(5 / 9, abs=1e-9)
    assert_same(fleiss_kappa(table), slow_fleiss(table))


def test_cohens_own_example() -> None:
    counts = np.ravel(COHEN)
    judges = [np.repeat(place.ravel(), counts) for place in np.indices((3, 3))]
    assert round(cohen_kappa(judges), 3) == 0.492
    assert cohen_kappa(judges) == pytest.approx(29 / 59, abs=1e-9)
    assert percent_agreement(judges) == pytest.approx(0.7, abs=1e-9)


def test_random_tables_equal_the_oracle_and_the_package() -> None:
    krippendorff = pytest.importorskip("krippendorff")
    rng = np.random.default_rng(0)
    undefined = 0
    for _ in range(300):
        table = random_table(rng)
        assert_same(percent_agreement(table), or_none(slow_percent, table))
        assert_same(fleiss_kappa(table), or_none(slow_fleiss, table))
        assert_same(cohen_kappa(table), or_none(slow_cohen, table))
        overlapping = table[:, (~np.isnan(table)).sum(axis=0) > 1]
        defined = len(np.unique(overlapping[~np.isnan(overlapping)])) > 1
        undefined += not defined
        for level in ("nominal", "ordinal"):
            found = krippendorff_alpha(table, level=level)  # type: ignore[arg-type]
            if not defined:
                assert isnan(found)
            else:
                assert found == pytest.approx(krippendorff.alpha(table, level_of_measurement=level), abs=1e-9)
    assert 10 < undefined < 150


# ---- when everybody agrees, and when nothing can be said ------------------------------------------------------------


def test_complete_agreement_is_one() -> None:
    table = np.tile([0.0, 1.0, 2.0, 2.0, 1.0, 0.0, 0.0], (3, 1))
    for function in (percent_agreement, cohen_kappa, fleiss_kappa, krippendorff_alpha):
        assert function(table) == 1.0
    assert krippendorff_alpha(table, level="ordinal") == 1.0


def test_one_and_the_same_value_everywhere_is_undefined_but_for_percent() -> None:
    found = measure_agreement([vote(pair, who, "left") for pair in "abc" for who in ("ann", "bo")])
    assert (found.percent.value, found.percent.low, found.percent.high) == (1.0, 1.0, 1.0)
    for name, one in found.coefficients.items():
        if name != "percent":
            assert isnan(one.value)
            assert isnan(one.low)
            assert one.reason == ALL_THE_SAME


@pytest.mark.parametrize("choices", [[], ["left"], ["left", "right", "tie"]])
def test_without_overlap_everything_is_undefined(choices: list[Choice]) -> None:
    found = measure_agreement([vote(str(row), "ann", choice) for row, choice in enumerate(choices)])
    assert (found.annotators, found.pairs, found.ratings) == (0, 0, 0)
    assert all(isnan(one.value) and one.reason == NO_OVERLAP for one in found.coefficients.values())


def test_empty_tables_are_undefined_and_other_shapes_refused() -> None:
    assert isnan(krippendorff_alpha(np.empty((0, 0))))
    assert isnan(cohen_kappa([[1.0, nan], [nan, 1.0]]))
    with pytest.raises(ConfigurationError, match=r"expected a table \(raters, units\)"):
        fleiss_kappa([1.0, 2.0])
    with pytest.raises(ConfigurationError, match="'nominal' or 'ordinal'"):
        krippendorff_alpha([[1.0], [1.0]], level="ratio")  # type: ignore[arg-type]


# ---- intervals ------------------------------------------------------------------------------------------------------


def random_votes(rng: np.random.Generator, pairs: int, *, right: float = 0.8, annotators: int = 4) -> list[Comparison]:
    """Every pair is judged by two annotators, each of whom is right with this probability."""
    votes = []
    for pair in range(pairs):
        better = rng.random() < 0.5
        for who in rng.choice(annotators, size=2, replace=False).tolist():
            first = better == (rng.random() < right)
            votes.append(vote(str(pair), f"annotator {who}", "left" if first else "right"))
    return votes


def test_intervals_are_those_of_a_loop_over_resamples() -> None:
    votes = random_votes(np.random.default_rng(1), 40)
    found = measure_agreement(votes, replicates=50, confidence=0.9, seed=3)
    table = rate(votes)
    draws = np.random.default_rng(3).integers(40, size=(50, 40))
    functions = {"percent": percent_agreement, "cohen": cohen_kappa, "fleiss": fleiss_kappa}
    for name, function in {**functions, "nominal": krippendorff_alpha}.items():
        values = [function(table[:, draw]) for draw in draws]
        one = found.coefficients[name]
        assert one.value == pytest.approx(function(table), abs=1e-12)
        assert (one.low, one.high) == pytest.approx(np.quantile(values, [0.05, 0.95]), abs=1e-9)
    values = [krippendorff_alpha(table[:, draw], level="ordinal") for draw in draws]
    assert found.ordinal.low == pytest.approx(np.quantile(values, 0.05), abs=1e-9)


def test_intervals_hold_the_true_alpha() -> None:
    """Two judges who are right with probability p agree by alpha = (2 p - 1)**2."""
    held = 0
    for seed in range(60):
        votes = random_votes(np.random.default_rng(seed), 120, right=0.85)
        one = measure_agreement(votes, replicates=100, seed=seed).nominal
        held += one.low <= 0.7**2 <= one.high
    assert held >= 52


def test_resamples_in_which_a_coefficient_is_not_defined_are_left_out() -> None:
    votes = [vote(pair, who, "right" if pair == "c" else "left") for pair in "abc" for who in ("ann", "bo")]
    one = measure_agreement(votes, replicates=100).nominal  # in many resamples all ratings are the same
    assert (one.value, one.low, one.high) == (1.0, 1.0, 1.0)


def test_no_replicates_no_interval() -> None:
    one = measure_agreement(random_votes(np.random.default_rng(0), 30), replicates=0).nominal
    assert one.value > 0
    assert isnan(one.low)
    assert isnan(one.high)
    assert not one.reason


# ---- which comparisons count ----------------------------------------------------------------------------------------


def vote(pair: str, annotator: str, choice: Choice, *, swapped: bool = False, **metadata: object) -> Comparison:
    return Comparison(
        prompt="p",
        left="b" if swapped else "a",
        right="a" if swapped else "b",
        pair=pair,
        annotator=annotator,
        choice=choice,
        swapped=swapped,
        metadata=metadata,
    )


def test_sides_do_not_matter() -> None:
    votes = random_votes(np.random.default_rng(2), 30)
    mirrored = [one.mirrored() if row % 3 else one for row, one in enumerate(votes)]
    assert measure_agreement(mirrored) == measure_agreement(votes)


def test_ratings_say_which_text_was_preferred() -> None:
    choices: list[Choice] = ["left", "right", "tie", "both_bad", "skip"]
    votes = [vote(str(row), "ann", choice) for row, choice in enumerate(choices)]
    votes += [vote(str(row), "bo", choice, swapped=True) for row, choice in enumerate(choices)]
    assert rate(votes).tolist() == [[FIRST, SECOND, TIE, BOTH_BAD], [SECOND, FIRST, TIE, BOTH_BAD]]
    assert rate(votes, ordinal=True).tolist() == [[FIRST, SECOND, TIE, TIE], [SECOND, FIRST, TIE, TIE]]


def test_both_bad_is_a_value_of_its_own_and_ordinally_a_tie() -> None:
    votes = [vote("1", "ann", "tie"), vote("1", "bo", "both_bad"), vote("2", "ann", "left"), vote("2", "bo", "left")]
    found = measure_agreement(votes, replicates=0)
    assert found.percent.value == 0.5
    assert found.nominal.value < 1.0
    assert found.ordinal.value == 1.0


def test_a_tie_is_half_as_bad_as_the_opposite() -> None:
    alike = [vote(str(row), who, "left" if row % 2 else "right") for row in range(10) for who in ("ann", "bo")]

    def ordinal(other: Choice) -> float:
        return measure_agreement([*alike, vote("x", "ann", "left"), vote("x", "bo", other)], replicates=0).ordinal.value

    assert 1.0 > ordinal("tie") > ordinal("right")


def test_repeats_attention_checks_and_skips_do_not_count() -> None:
    votes = [vote("1", "ann", "left"), vote("1", "bo", "left"), vote("2", "ann", "right"), vote("2", "bo", "right")]
    extra = [
        vote("1", "ann", "right", repeat=True),
        vote("2", "bo", "skip"),
        vote("c", "ann", "left", attention_check="first"),
        vote("c", "bo", "right", attention_check="first"),
    ]
    found = measure_agreement([*extra, *votes], replicates=0)
    assert found == measure_agreement(votes, replicates=0)
    assert (found.annotators, found.pairs, found.ratings, found.nominal.value) == (2, 2, 4, 1.0)


def test_pairs_without_names_are_known_by_their_texts() -> None:
    one = Comparison(prompt="p", left="a", right="b", choice="left", annotator="ann")
    other = Comparison(prompt="p", left="b", right="a", choice="right", annotator="bo")
    elsewhere = Comparison(prompt="q", left="b", right="a", choice="left", annotator="bo")
    found = measure_agreement([one, other, elsewhere], replicates=0)
    assert (found.pairs, found.percent.value) == (1, 1.0)
