"""Counter-based randomness: one formula for Python integers and arrays, and no visible pattern."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgym import keys

WORDS = st.integers(0, 2**64 - 1)
SMALL = st.integers(0, 2**40)


def array(*values: int) -> keys.Keys:
    return np.array(values, dtype=np.uint64)


@given(WORDS)
def test_mixing_one_number_and_an_array_agree(value: int) -> None:
    assert int(keys.mix_array(array(value))[0]) == keys.mix(value)


def test_mix_is_splitmix64() -> None:
    """The first outputs of the reference implementation (prng.di.unimi.it/splitmix64.c) from seed 0."""
    golden = 0x9E3779B97F4A7C15
    outputs = [keys.mix(golden * n) for n in (1, 2, 3)]
    assert outputs == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


@given(WORDS, SMALL)
def test_episode_keys_agree(lane: int, episode: int) -> None:
    assert int(keys.episode_keys(array(lane), array(episode))[0]) == keys.episode_key(lane, episode)


@given(WORDS, st.integers(1, 2**32 - 1))
def test_picks_agree_and_lie_in_range(key: int, count: int) -> None:
    picked = keys.pick(key, count)
    assert 0 <= picked < count
    assert int(keys.pick_array(array(key), count)[0]) == picked


@given(WORDS, st.integers(0, 1000))
def test_a_number_does_not_depend_on_the_batch_around_it(key: int, position: int) -> None:
    alone = keys.uniform(array(key), "noise", position)
    together = keys.uniform(array(1, key, 2), "noise", np.array([0, position, 5]))
    assert alone[0] == together[1]
    assert 0.0 <= alone[0] < 1.0


def test_seeds_of_any_size_and_sign_give_lanes() -> None:
    seeds = [0, 1, -1, 2**63, 2**64 - 1, 2**70 + 5]
    lanes = [keys.lane_key(seed) for seed in seeds]
    assert all(0 <= lane < 2**64 for lane in lanes)
    assert lanes[2] == lanes[4]  # equal modulo 2**64
    assert len(set(lanes)) == len(seeds) - 1


def test_neighbouring_seeds_and_episodes_share_nothing() -> None:
    rows = [{keys.episode_key(keys.lane_key(seed), episode) for episode in range(200)} for seed in range(100)]
    assert len(set.union(*rows)) == 200 * 100


@pytest.mark.parametrize("flipped", [0, 1, 17, 63])
def test_one_changed_bit_changes_half_of_all_bits(flipped: int) -> None:
    values = np.arange(2000, dtype=np.uint64)
    difference = keys.mix_array(values) ^ keys.mix_array(values ^ np.uint64(1 << flipped))
    assert np.bitwise_count(difference).mean() == pytest.approx(32, abs=0.5)


def test_neighbouring_lanes_pick_independently() -> None:
    lanes = np.array([keys.lane_key(seed) for seed in range(4000)], dtype=np.uint64)
    picks = keys.pick_array(keys.episode_keys(lanes, np.zeros(4000, dtype=np.uint64)), 4)
    pairs = np.bincount(picks[:-1] * 4 + picks[1:], minlength=16)
    assert pairs.min() > 4000 / 16 * 0.75
    assert pairs.max() < 4000 / 16 * 1.25


def test_uniform_numbers_are_uniform_and_independent_across_purposes_and_positions() -> None:
    many = np.arange(20_000, dtype=np.uint64)
    columns = np.array(
        [
            keys.uniform(many, "noise"),
            keys.uniform(many, "partner"),
            keys.uniform(many, "noise", 1),
            keys.uniform(many, "noise", 2),
        ]
    )
    counts = np.array([np.histogram(column, bins=20, range=(0, 1))[0] for column in columns])
    assert np.abs(counts - 1000).max() < 150  # 5 standard deviations
    correlation = np.corrcoef(columns) - np.eye(4)
    assert np.abs(correlation).max() < 0.03


def test_hash_randomisation_changes_nothing() -> None:
    code = (
        "import numpy as np; from textgym import keys;"
        "print(keys.lane_key(3), keys.uniform(np.arange(3, dtype=np.uint64), 'noise', 7).tolist())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(outputs) == 1
    assert outputs.pop().startswith(str(keys.lane_key(3)))
