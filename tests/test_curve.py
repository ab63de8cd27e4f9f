"""The learning curve that is summed up while a run goes on is the one that all its numbers would give."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textgym.benchmarks import curve
from textgym.benchmarks.curve import LearningCurve
from textgym.episodes import EOS, ILLEGAL, LENGTH, STOP

CODES = (LENGTH, STOP, EOS, ILLEGAL)
NOTHING = (np.zeros(0, dtype=np.int64), np.zeros(0))

batches = st.lists(
    st.tuples(
        st.integers(0, 40),  # steps until the next batch ends
        st.lists(st.tuples(st.floats(-1e6, 1e6), st.sampled_from(CODES)), min_size=1, max_size=7),
    ),
    max_size=30,
)


def fill(found, ended):
    """Adds the batches; returns steps, returns and codes of all episodes."""
    steps, rows = 0, []
    for wait, episodes in ended:
        steps += wait
        if steps > found.until:
            found.reach(steps)
        values, codes = zip(*episodes, strict=True)
        found.add(np.array(values), np.array(codes, dtype=np.uint8))
        rows += [(steps, value, code) for value, code in episodes]
    return np.array(rows).reshape(-1, 3).T


@settings(max_examples=200, deadline=None)
@given(batches, st.integers(1, 300), st.integers(1, 9), st.sampled_from([1, 4, 8192]))
def test_it_is_what_all_numbers_would_give(ended, budget, points, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curve, "_BLOCK", block)
        found = LearningCurve(budget, points)
        steps, returns, codes = fill(found, ended)
        assert found.illegal == np.count_nonzero(codes == ILLEGAL)
        made = found.points(*NOTHING)
    edges = np.unique(np.linspace(0, budget, points + 1)[1:].astype(int))
    place = np.minimum(np.searchsorted(edges, steps), len(edges) - 1)
    assert [point["steps"] for point in made] == edges[np.unique(place)].tolist()
    for point, at in zip(made, np.unique(place), strict=True):
        inside = returns[place == at]
        assert point["n"] == inside.size
        size = max(1.0, np.abs(inside).max())
        assert point["reward"] == pytest.approx(inside.mean(), abs=1e-12 * size)
        assert point["spread"] == pytest.approx(inside.std(), rel=1e-9, abs=1e-7 * size)
        assert point["cut"] == np.mean(codes[place == at] == LENGTH)
        assert point["illegal"] == np.mean(codes[place == at] == ILLEGAL)
        assert point["gold"] is None


@given(st.floats(-1e6, 1e6), st.integers(1, 50), st.sampled_from([1, 8192]))
def test_equal_returns_have_no_spread_at_all(value, batches, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curve, "_BLOCK", block)
        found = LearningCurve(100, 1)
        for size in range(1, batches + 1):
            found.add(np.full(size, value), np.full(size, EOS, dtype=np.uint8))
        (point,) = found.points(*NOTHING)
    assert (point["reward"], point["spread"]) == (value, 0.0)


def test_gold_belongs_to_the_stretch_in_which_its_text_ended():
    found = LearningCurve(30, 3)
    fill(found, [(5, [(0.0, EOS)]), (5, [(0.0, EOS)]), (1, [(0.0, EOS)]), (20, [(0.0, EOS)])])  # at 5, 10, 11, 31
    made = found.points(np.array([5, 10, 31]), np.array([1.0, 3.0, 8.0]))
    assert [(point["steps"], point["n"], point["gold"]) for point in made] == [
        (10, 2, 2.0),
        (20, 1, None),
        (30, 1, 8.0),
    ]


def test_a_curve_may_be_asked_for_in_between():
    asked, silent = LearningCurve(100, 5), LearningCurve(100, 5)
    for steps in range(7, 100, 7):
        for found in (asked, silent):
            if steps > found.until:
                found.reach(steps)
            found.add(np.array([steps / 3, steps / 7]), np.array([EOS, LENGTH], dtype=np.uint8))
        asked.points(*NOTHING)
    gold = (np.arange(100), np.arange(100.0))
    pairs = list(zip(asked.points(*gold), silent.points(*gold), strict=True))
    assert len(pairs) == 5
    assert all(one == pytest.approx(other, rel=1e-12) for one, other in pairs)


def test_an_array_with_gaps_is_refused():
    with pytest.raises(ValueError, match="contiguous"):
        LearningCurve(10).add(np.zeros((3, 2))[:, 0], np.zeros(3, dtype=np.uint8))


def test_returns_that_are_too_large_to_be_squared():
    found, codes = LearningCurve(10, 1), np.full(2, EOS, dtype=np.uint8)
    found.add(np.full(2, 1e200), codes)
    (point,) = found.points(*NOTHING)
    assert (point["reward"], point["spread"]) == (1e200, 0.0)
    found.add(np.full(2, -1e200), codes)
    (point,) = found.points(*NOTHING)
    assert (point["reward"], point["spread"]) == (0.0, np.inf)


def out_of_memory(*_):
    raise MemoryError


def test_it_goes_on_when_it_was_interrupted(monkeypatch):
    found, codes = LearningCurve(100, 1), np.full(3, EOS, dtype=np.uint8)
    found.add(np.full(3, 7.0), codes)
    monkeypatch.setattr(curve._Stretch, "add", out_of_memory)
    with pytest.raises(MemoryError) as kept:
        found.points(*NOTHING)
    monkeypatch.undo()
    assert kept.traceback  # and all that its frames hold
    for _ in range(4):
        found.add(np.full(3, 5.0), codes)
    (point,) = found.points(*NOTHING)
    assert (point["n"], point["reward"]) == (12, 5.0)


def test_memory_does_not_grow_with_the_run():
    found = LearningCurve(10**9)
    returns, codes = np.arange(64.0), np.full(64, EOS, dtype=np.uint8)
    tracemalloc.start()
    try:
        sizes = []
        for _ in range(3):
            for _ in range(1000):
                found.add(returns, codes)
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert sizes[2] - sizes[0] < 10_000
