"""What many texts have in common with their references, counted in a few array operations for all of them.

The words of each prompt's references are numbered from 1, so that an n-gram is one number of a few bits and any other
word is 0. The j-th time that an n-gram occurs it becomes another number, so a count that is cut off at the reference's
is the size of an intersection of sets: the equal neighbours in what is sorted together.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Bits = NDArray[np.uint64]
Words = Sequence[Hashable]

LONGEST = 63
"""Words of a reference that fit into the bits of one number, with one to spare for the carry."""

_CELLS = 2**14  # n-grams of texts at a time: what they need stays in the processor's cache
_FAR = -(2**62)  # fills up the references' n-grams, upwards by place; the texts' are filled up from -1 downwards


@dataclass(frozen=True, eq=False)
class PackedNGrams:
    """The n-grams of one prompt's references as numbers.

    Attributes:
        numbers: Word -> its number, from 1.
        base: One more than the greatest number.
        most: No n-gram occurs as often in a reference.
        keys: ``(K, orders, W)`` the n-grams of each set, filled up with different negative numbers.
    """

    numbers: Mapping[Hashable, int]
    base: int
    most: int
    keys: Integers


def pack_ngrams(references: Sequence[Words], orders: int, *, merged: bool) -> PackedNGrams | None:
    """Numbers the n-grams of one prompt's references, for n from 1 to ``orders``.

    Args:
        references: One or more.
        orders: The greatest n.
        merged: Whether they become one set, with each n-gram as often as in the reference with most of it.

    Returns:
        None where the numbers would not fit into 63 bits.
    """
    numbers = _number(references)
    base, most = len(numbers) + 1, max(len(reference) for reference in references) + 1
    if base**orders * most >= 2**62:
        return None
    sets = [_keys([numbers[word] for word in reference], orders, base, most) for reference in references]
    if merged:
        sets = [[set().union(*order) for order in zip(*sets, strict=True)]]
    width = max(len(keys) for one in sets for keys in one)
    table = np.tile(_FAR + np.arange(width), (len(sets), orders, 1))
    for place, one in enumerate(sets):
        for order, keys in enumerate(one):
            table[place, order, : len(keys)] = list(keys)
    return PackedNGrams(numbers, base, most, table)


def _number(references: Iterable[Words]) -> dict[Hashable, int]:
    different = dict.fromkeys(chain.from_iterable(references))
    return {word: number for number, word in enumerate(different, start=1)}


def _keys(ids: list[int], orders: int, base: int, most: int) -> list[set[int]]:
    """For each order the n-grams, each occurrence as a number of its own."""
    sets, grams = [], ids
    for order in range(orders):
        grams = ids if order == 0 else [gram * base + last for gram, last in zip(grams, ids[order:], strict=False)]
        times: dict[int, int] = {}
        for gram in grams:
            times[gram] = times.get(gram, 0) + 1
        sets.append({gram * most + time for gram, count in times.items() for time in range(count)})
    return sets


# ---- batches ------------------------------------------------------------------------------------------------------


def count_common_ngrams(texts: Sequence[Words], known: Sequence[PackedNGrams]) -> Integers:
    """``(K, orders, B)`` n-grams that a text has in common with each set, no more often than that has them.

    Args:
        texts: B texts.
        known: The n-grams that each is compared with; where one has fewer sets, its first one is repeated.
    """
    size = max(1, _CELLS // (known[0].keys.shape[1] * max(1, *map(len, texts))))
    chunks = (slice(start, start + size) for start in range(0, len(texts), size))
    sets = max(len(packed.keys) for packed in known)
    return np.concatenate([_count_chunk(texts[rows], known[rows], sets) for rows in chunks], axis=2)


def _count_chunk(texts: Sequence[Words], known: Sequence[PackedNGrams], sets: int) -> Integers:
    different, which = _different(known)
    keys = [packed.keys for packed in different]
    orders, width = keys[0].shape[1], max(one.shape[2] for one in keys)
    table = np.empty((sets, orders, len(different), width), dtype=np.int64)
    table[:] = _FAR + np.arange(width)
    for row, one in enumerate(keys):
        table[:, :, row, : one.shape[2]] = one[0]
        table[: len(one), :, row, : one.shape[2]] = one
    bases, most = (np.array([getattr(packed, name) for packed in known]) for name in ("base", "most"))
    mine = _written_keys(_look_up(texts, [packed.numbers for packed in known]), orders, bases[:, None], most[:, None])
    return np.stack([_count_equal(np.concatenate([mine, theirs[:, which]], axis=2)) for theirs in table])


def _written_keys(ids: Integers, orders: int, bases: Integers, most: Integers) -> Integers:
    """``(orders, B, T)`` the n-grams of the texts ``(B, T)`` as :func:`_keys` numbers them; others are negative."""
    grams, known = ids, ids > 0
    table = np.full((orders, *ids.shape), -1, dtype=np.int64)
    for order in range(min(orders, ids.shape[1])):
        if order:
            grams, known = grams[:, :-1] * bases + ids[:, order:], known[:, :-1] & (ids[:, order:] > 0)
        table[order, :, : grams.shape[1]] = np.where(known, grams, -1)
    table.sort(axis=2)
    places = np.arange(ids.shape[1])
    first = np.ones_like(table, dtype=bool)
    first[:, :, 1:] = table[:, :, 1:] != table[:, :, :-1]
    times = places - np.maximum.accumulate(np.where(first, places, 0), axis=2)
    return np.where((table >= 0) & (times < most), table * most + times, -1 - places)


def _count_equal(keys: Integers) -> Integers:
    keys.sort(axis=2)
    return np.count_nonzero(keys[:, :, 1:] == keys[:, :, :-1], axis=2)


def common_lengths(texts: Sequence[Words], places: Sequence[Mapping[Hashable, int]], lengths: Integers) -> Integers:
    """``(B,)`` lengths of the longest common subsequences of texts and references.

    Args:
        texts: B texts.
        places: Where each word stands in the reference of each, as bits.
        lengths: ``(B,)`` words of the references, up to :data:`LONGEST`.
    """
    return common_length(_look_up(texts, places).view(np.uint64), lengths)


def common_length(matched: Bits, lengths: Integers) -> Integers:
    """``(B,)`` lengths of longest common subsequences, a word of all texts at a time.

    Hyyrö (2004), "Bit-parallel LCS-length computation revisited": a bit of ``row`` is 0 where the length grows.

    Args:
        matched: ``(B, T)`` where in the reference each word of a text stands, as bits.
        lengths: ``(B,)`` words of the references, up to :data:`LONGEST`.
    """
    full = (np.uint64(1) << lengths.astype(np.uint64)) - np.uint64(1)
    row = full.copy()
    for column in np.ascontiguousarray(matched.T):
        hits = row & column
        row = ((row + hits) | (row - hits)) & full
    ones = np.unpackbits(np.ascontiguousarray(row).view(np.uint8).reshape(-1, 8), axis=1).sum(axis=1, dtype=np.int64)
    return np.asarray(lengths - ones)


def common_length_of_one(words: Words, places: Mapping[Hashable, int], length: int) -> int:
    """Of one text what :func:`common_length` is of many, for references of any length."""
    full = (1 << length) - 1
    row = full
    for word in words:
        matched = row & places.get(word, 0)
        row = ((row + matched) | (row - matched)) & full
    return length - row.bit_count()


def _look_up(texts: Sequence[Words], known: Sequence[Mapping[Hashable, int]]) -> Integers:
    """``(B, T)`` what is known of each text's words, 0 for other words and after the end."""
    lengths = np.array([len(text) for text in texts])
    flat: list[int] = []
    for text, numbers in zip(texts, known, strict=True):
        flat.extend(map(numbers.get, text, repeat(0)))
    found = np.zeros((len(texts), max(1, lengths.max())), dtype=np.int64)
    found[np.arange(found.shape[1]) < lengths[:, None]] = np.fromiter(flat, np.int64, len(flat))
    return found


def _different(known: Sequence[PackedNGrams]) -> tuple[list[PackedNGrams], Integers]:
    """Each object once, and which of them every row has."""
    rows: dict[int, int] = {}
    which = np.array([rows.setdefault(id(one), len(rows)) for one in known])
    return list({id(one): one for one in known}.values()), which
