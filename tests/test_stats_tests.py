"""Tests of improvement against scipy and enumeration, Holm's correction, and how many seeds it takes."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textgym.benchmarks.stats import Interval, mean, paired_difference
from textgym.benchmarks.stats_tests import detectable_difference, holm, improvement_test, seeds_needed, smallest_p
from textgym.benchmarks.students_t import probability, quantile
from textgym.errors import ConfigurationError

scipy_stats = pytest.importorskip("scipy.stats")

runs = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=4)


def by_hand(left, right):
    """Both tails of the sum of the tasks' probabilities of improvement, by dealing the runs out in every way."""

    def share(ours, theirs):
        return np.mean([(a > b) + 0.5 * (a == b) for a in ours for b in theirs])

    def deals(ours, theirs):
        pool = [*ours, *theirs]
        for chosen in itertools.combinations(range(len(pool)), len(ours)):
            yield share([pool[i] for i in chosen], [pool[i] for i in range(len(pool)) if i not in chosen])

    tasks = list(zip(left, right, strict=True))
    seen = sum(share(*task) for task in tasks)
    sums = np.array([sum(parts) for parts in itertools.product(*(list(deals(*task)) for task in tasks))])
    return (sums >= seen - 1e-9).mean(), (sums <= seen + 1e-9).mean()


@given(st.lists(st.tuples(runs, runs), min_size=1, max_size=2))
@settings(max_examples=30, deadline=None)
def test_the_exact_test_counts_every_way_of_dealing_the_runs_out(tasks):
    left, right = [task[0] for task in tasks], [task[1] for task in tasks]
    found = improvement_test(left, right)
    greater, less = by_hand(left, right)
    assert found.is_exact
    assert found.greater == pytest.approx(greater, abs=1e-9)
    assert found.less == pytest.approx(less, abs=1e-9)
    assert found.two_sided == pytest.approx(min(1.0, 2 * min(greater, less)), abs=1e-9)


@pytest.mark.parametrize(("n", "m"), [(3, 3), (5, 4), (10, 10), (20, 30)])
def test_without_ties_it_is_scipys_exact_mann_whitney_test(n, m):
    rng = np.random.default_rng(n)
    left, right = rng.random(n) + 0.2, rng.random(m)
    found = improvement_test([left], [right])
    for alternative, p in (("greater", found.greater), ("less", found.less), ("two-sided", found.two_sided)):
        expected = scipy_stats.mannwhitneyu(left, right, method="exact", alternative=alternative).pvalue
        assert p == pytest.approx(expected, abs=1e-9)


def test_with_ties_it_is_scipys_permutation_test():
    rng = np.random.default_rng(0)
    left, right = rng.random(5).round(1) + 0.2, rng.random(4).round(1)
    found = improvement_test([left], [right])

    def wins(ours, theirs):
        return scipy_stats.mannwhitneyu(ours, theirs).statistic

    for alternative, p in (("greater", found.greater), ("less", found.less), ("two-sided", found.two_sided)):
        result = scipy_stats.permutation_test((left, right), wins, alternative=alternative, n_resamples=np.inf)
        assert p == pytest.approx(result.pvalue, abs=1e-9)


def test_many_runs_are_approximated_as_scipy_does_with_its_correction_for_ties():
    rng = np.random.default_rng(0)
    left, right = rng.normal(0.2, 1.0, 80).round(1), rng.normal(0.0, 1.0, 90).round(1)
    found = improvement_test([left], [right])
    assert not found.is_exact
    for alternative, p in (("greater", found.greater), ("two-sided", found.two_sided)):
        theirs = scipy_stats.mannwhitneyu(
            left, right, alternative=alternative, method="asymptotic", use_continuity=False
        )
        assert p == pytest.approx(theirs.pvalue, abs=1e-9)
    alike = improvement_test([np.ones(80)], [np.ones(90)])
    assert (alike.probability, alike.two_sided) == (0.5, 1.0)


def test_the_approximation_agrees_with_the_count_where_both_can_be_had(monkeypatch):
    rng = np.random.default_rng(0)
    left, right = rng.normal(0.3, 1.0, (8, 12)), rng.normal(0.0, 1.0, (8, 12))
    exact = improvement_test(left, right)
    monkeypatch.setattr("textgym.benchmarks.stats_tests._MOST_RUNS", 10)
    rough = improvement_test(left, right)
    assert exact.is_exact
    assert not rough.is_exact
    assert rough.probability == exact.probability
    assert rough.greater == pytest.approx(exact.greater, rel=0.1)


def test_the_test_points_the_right_way():
    better, worse = [[0.9, 0.8, 0.85]] * 2, [[0.1, 0.2, 0.3]] * 2
    up, down = improvement_test(better, worse), improvement_test(worse, better)
    assert up.probability == 1.0
    assert down.probability == 0.0
    assert up.greater == down.less == pytest.approx(1 / 400)
    assert up.less == down.greater == pytest.approx(1.0)
    assert up.two_sided == down.two_sided == pytest.approx(1 / 200)


def test_no_difference_is_found_in_5_of_100_experiments_at_most():
    rng = np.random.default_rng(0)
    alarms = [improvement_test(rng.random((4, 5)), rng.random((4, 5))).two_sided <= 0.05 for _ in range(400)]
    assert 0.02 <= np.mean(alarms) <= 0.07


def test_sides_may_have_different_numbers_of_runs_but_not_of_tasks():
    assert improvement_test([[1.0, 2.0], [1.0]], [[0.0], [0.5, 0.6, 0.7]]).probability == 1.0
    with pytest.raises(ConfigurationError, match="same tasks on both sides"):
        improvement_test([[1.0]], [[1.0], [2.0]])


def test_holm_is_the_worked_example_and_keeps_the_order():
    # Sorted: 0.005 x 4, 0.01 x 3, 0.03 x 2, 0.04 x 1, each at least as large as the one before.
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert holm([]).tolist() == []
    assert holm([0.2]).tolist() == [0.2]


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12))
def test_holm_lies_between_the_p_and_bonferronis(values):
    p, corrected = np.array(values), holm(values)
    assert (corrected >= p - 1e-12).all()
    assert (corrected <= np.minimum(len(p) * p, 1.0) + 1e-12).all()
    order = np.argsort(p, kind="stable")
    assert (np.diff(corrected[order]) >= -1e-12).all()
    # Step down by the definition: reject the smallest while p_(k) <= level / (m - k)
    for level in (0.05, 0.3):
        passed = p[order] * np.arange(len(p), 0, -1) <= level
        assert (corrected <= level).sum() == np.logical_and.accumulate(passed).sum()


@pytest.mark.parametrize("values", [[1.2], [-0.1], [math.nan], [[0.1]]])
def test_holm_refuses_what_is_no_p(values):
    with pytest.raises(ConfigurationError, match="from 0 to 1"):
        holm(values)


def test_smallest_p_is_that_of_a_clean_sweep():
    for left, right in ((3, 3), (5, 5), (4, 7)):
        found = improvement_test([np.arange(left) + 100.0], [np.arange(float(right))])
        assert smallest_p(left, right) == pytest.approx(found.two_sided)
    assert smallest_p(1, 1) == 1.0


@pytest.mark.parametrize("degrees", [1.0, 1.5, 3.0, 4.7, 20.0, 333.3, 9_999.0, 10_001.0, 1e6, math.inf])
def test_students_quantiles_are_scipys(degrees):
    for share in (0.6, 0.8, 0.975, 0.995, 0.9999, 0.025):
        assert quantile(share, degrees) == pytest.approx(scipy_stats.t.ppf(share, degrees), rel=1e-8)
    if degrees < 10_000.0:
        for t in (-2.5, 0.0, 0.7, 12.0):
            assert probability(t, degrees) == pytest.approx(scipy_stats.t.cdf(t, degrees), abs=1e-10)


def test_the_formula_for_seeds_is_the_textbooks():
    found = Interval(0.5, 0.0, 1.0, 10, standard_error=0.4, degrees=9.0)
    least = detectable_difference(found, 10)
    assert least == pytest.approx(0.4 * (scipy_stats.t.ppf(0.975, 9) + scipy_stats.t.ppf(0.8, 9)))
    at = detectable_difference(found, 10, at=40)
    assert at == pytest.approx(0.2 * (scipy_stats.t.ppf(0.975, 39) + scipy_stats.t.ppf(0.8, 39)))
    needed = seeds_needed(found, 10)
    assert detectable_difference(found, 10, at=needed) <= 0.5 < detectable_difference(found, 10, at=needed - 1)
    assert seeds_needed(found, 10, difference=1.0) < needed < seeds_needed(found, 10, power=0.95)
    assert seeds_needed(found, 10, difference=0.0) is None
    assert seeds_needed(found, 10, most=needed - 1) is None


def test_seeds_needed_find_the_difference_in_80_of_100_experiments():
    rng = np.random.default_rng(0)
    difference, noise, tasks = 0.1, 0.2, 3
    wide = rng.normal(size=(2, tasks, 2000)) * noise
    spread = paired_difference(wide[0] + difference, wide[1], rng, statistic=mean, replicates=200)
    needed = seeds_needed(spread, 2000, difference=difference)
    found = 0
    for _ in range(300):
        left, right = rng.normal(size=(2, tasks, needed)) * noise
        interval = paired_difference(left + difference, right, rng, statistic=mean, replicates=400)
        found += interval.low > 0.0
    assert 0.74 <= found / 300 <= 0.87


def test_one_seed_shows_no_spread():
    with pytest.raises(ConfigurationError, match="at least 2"):
        detectable_difference(Interval(0.5, 0.5, 0.5, 1), 1)
