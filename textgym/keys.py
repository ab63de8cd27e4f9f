"""Counter-based randomness: every random number is a pure function of (key, purpose, position).

The mixer is the finaliser of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom
number generators"). There is one formula in two spellings, for Python integers and for NumPy arrays.
"""

from __future__ import annotations

from functools import lru_cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB
# Arrays of no dimension: NumPy computes with them faster than with its scalars.
_GOLDEN_64, _FIRST_64, _SECOND_64 = (np.array(factor, dtype=np.uint64) for factor in (_GOLDEN, _FIRST, _SECOND))
_30, _27, _31, _11, _32, _63 = (np.array(bits, dtype=np.uint64) for bits in (30, 27, 31, 11, 32, 63))
_UNIT = np.array(2.0**-53)

Keys = NDArray[np.uint64]


def mix(value: int) -> int:
    """Scrambles a 64-bit integer; a bijection."""
    value &= _MASK
    value = ((value ^ (value >> 30)) * _FIRST) & _MASK
    value = ((value ^ (value >> 27)) * _SECOND) & _MASK
    return value ^ (value >> 31)


def mix_array(values: Keys) -> Keys:
    """The same scrambling for an array of uint64."""
    values, scratch = _scramble(values)
    values ^= np.right_shift(values, _31, out=scratch)
    return values


def _scramble(values: Keys) -> tuple[Keys, Keys]:
    """All but the last turn of :func:`mix_array`, which leaves the upper 31 bits alone; and room to compute in."""
    scratch = values >> _30
    values = values ^ scratch
    values *= _FIRST_64
    values ^= np.right_shift(values, _27, out=scratch)
    values *= _SECOND_64
    return values, scratch


def lane_key(seed: int) -> int:
    """The key of a lane (one environment of a vector) with this seed."""
    return mix(seed + _GOLDEN)


def episode_key(lane: int, episode: int) -> int:
    """The key of the lane's episode number ``episode``, which decides all that is random in it."""
    return mix(lane + episode * _GOLDEN)


def episode_keys(lanes: Keys, episodes: Keys) -> Keys:
    """:func:`episode_key` for arrays."""
    return mix_array(lanes + episodes * _GOLDEN_64)


def pick(key: int, count: int) -> int:
    """Picks one of ``count`` (< 2**32) things, evenly, from the key's upper half."""
    return ((key >> 32) * count) >> 32


def pick_array(keys: Keys, count: int) -> NDArray[np.int64]:
    """:func:`pick` for an array of keys."""
    picked = keys >> _32
    picked *= _scalar(count)
    picked >>= _32
    return picked.view(np.int64)


@lru_cache(maxsize=256)
def _scalar(count: int) -> Keys:
    return np.array(count, dtype=np.uint64)


def uniform(keys: Keys, purpose: str, position: int | NDArray[np.int64] = 0) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1), one for each key.

    Args:
        keys: ``(B,)`` episode keys.
        purpose: What the number is for; different purposes are independent.
        position: A counter within the purpose, one for all or ``(B,)``.

    Example:
        >>> keys = np.arange(3, dtype=np.uint64)
        >>> bool((uniform(keys, "noise") == uniform(keys[:1], "noise")[0])[0])
        True
    """
    return (_bits(keys, purpose, position) >> _11) * _UNIT


def toss(keys: Keys, purpose: str) -> NDArray[np.int64]:
    """A fair coin for each key, 0 or 1: whether :func:`uniform` says 0.5 or more, in less time.

    Example:
        >>> keys = np.arange(4, dtype=np.uint64)
        >>> (toss(keys, "noise") == (uniform(keys, "noise") >= 0.5)).tolist()
        [True, True, True, True]
    """
    bits, _ = _scramble(mix_array(np.asarray(keys, dtype=np.uint64) ^ _stream(purpose)))
    bits >>= _63
    return bits.view(np.int64)


def _bits(keys: Keys, purpose: str, position: int | NDArray[np.int64]) -> Keys:
    """64 random bits for each key."""
    bits = mix_array(np.asarray(keys, dtype=np.uint64) ^ _stream(purpose))
    if not isinstance(position, int) or position:
        bits = bits + np.asarray(position).astype(np.uint64) * _GOLDEN_64
    return mix_array(bits)


@lru_cache(maxsize=256)
def _stream(purpose: str) -> Keys:
    """The stream of a purpose, an array of no dimension."""
    return np.array(mix(crc32(purpose.encode()) + _GOLDEN), dtype=np.uint64)


def spawn_seed(base: int, *names: str) -> int:
    """A seed below 2**32 for one purpose, unrelated to the seeds of other purposes and other bases.

    Example:
        >>> spawn_seed(0, "agent") != spawn_seed(1, "agent") != spawn_seed(0, "evaluation")
        True
    """
    sequence = np.random.SeedSequence(base, spawn_key=tuple(crc32(name.encode()) for name in names))
    return int(sequence.generate_state(1)[0])
