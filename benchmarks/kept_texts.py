"""The texts of a training that are kept: some of the first, some of the last, and a thin sample of all."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from textgym.episodes import EpisodeBatch
from textgym.playing import concatenate, describe

from .curve import Floats, Integers

Text = dict[str, Any]
"""``prompt``, ``completion``, ``reward`` and ``gold`` (None where there is none) of one episode."""

_POOL = 400  # texts from the start among which some are shown
_BLOCK = 32  # texts kept at a time, at most, for the gold curve: in large batches one by one would be slow
_SMALL = 4_096  # bytes of tokens up to which a whole batch is kept for a sample: to take rows of it is slow
_MOMENTS, _EACH = 5, 4  # at which texts are shown, and how many

_Ended = tuple[int, EpisodeBatch, Floats]  # steps, texts that ended then, and their returns
_Place = tuple[_Ended, int]  # and which of them is meant


class KeptTexts:
    """Keeps token ids while an agent learns; strings and true scores are made when somebody asks.

    Args:
        span: Steps that the training is expected to take.
        samples: About how many texts, evenly over the span, are kept for the gold curve.
        shown: How many texts from the start and from the end are kept.

    Attributes:
        wanted_from: Whoever counts episodes need not call :meth:`add` before there are more of them than this.
        last_stretch: Steps from which on everything is wanted.
    """

    def __init__(self, span: int, *, samples: int = 2000, shown: int = 20) -> None:
        self.wanted_from = 0
        self.last_stretch = span - max(span // 50, 100 * shown)
        self._span, self._samples_wanted, self._shown = span, samples, shown
        self._sample_from, self._sample_to = 0, 1
        self._samples: list[tuple[_Ended, range]] = []
        self._first: list[_Ended] = []
        self._last: deque[_Ended] = deque(maxlen=shown)
        self._in_first = 0

    def add(self, steps: int, episodes: int, batch: EpisodeBatch, returns: Floats) -> None:
        """Looks at episodes that have just ended.

        Args:
            steps: Steps spent.
            episodes: Episodes finished, these included.
            batch: The texts.
            returns: ``(K,)`` what they were paid.
        """
        ended = (steps, batch, returns.copy())  # a reward may fill its array again
        if self._in_first < _POOL:
            self._first.append(ended)
            self._in_first += len(returns)
        self._last.append(ended)
        self._sample(ended, episodes)
        always = self._in_first < _POOL or steps >= self.last_stretch
        self.wanted_from = 0 if always else self._sample_from

    def _sample(self, ended: _Ended, episodes: int) -> None:
        """Takes blocks of consecutive episodes, evenly over their numbers.

        Only an episode's number decides. To take what ends at chosen steps instead would favour short texts:
        when lanes run in step, the long ones end together and the short ones alone.
        """
        steps, batch, returns = ended
        start = episodes - len(returns)
        while self._sample_from < episodes:
            rows = range(self._sample_from - start, min(self._sample_to, episodes) - start)
            if batch.tokens.nbytes <= _SMALL:
                self._samples.append((ended, rows))
            else:
                taken = slice(rows.start, rows.stop)
                self._samples.append(((steps, batch.take(taken), returns[taken].copy()), range(len(rows))))
            self._sample_from += len(rows)
            if self._sample_from == self._sample_to:
                block = min(_BLOCK, 1 + len(returns) // 2)  # neighbours are alike, so no more than speed asks for
                expected = episodes * self._span / steps  # over the whole budget
                self._sample_from += int(block * max(0.0, expected / self._samples_wanted - 1.0))
                self._sample_to = self._sample_from + block

    def sampled(self) -> Iterator[_Ended]:
        """The thin sample: steps at which texts ended, these texts, and their returns."""
        for (steps, batch, returns), rows in self._samples:
            taken = slice(rows.start, rows.stop)
            yield steps, batch.take(taken), returns[taken]

    def gold_samples(self) -> tuple[Integers, Floats]:
        """``(M,)`` steps and ``(M,)`` true scores of the thin sample, scored now; empty without gold."""
        kept = [(steps, batch, rows) for (steps, batch, _), rows in self._samples if batch.has_gold]
        if not kept:
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        parts = [_score([kept[place] for place in alike]) for alike in _alike([batch for _, batch, _ in kept])]
        steps, golds = (np.concatenate(part) for part in zip(*parts, strict=True))
        order = steps.argsort(kind="stable")
        return steps[order], golds[order]

    def describe(self) -> dict[str, list[Text]]:
        """What a record shows.

        Returns:
            ``start``: some of the first texts. ``end``: the last ones, in the order in which they ended; where the
            run stopped before its last stretch, the last ones that were looked at.
            ``moments``: texts from fixed moments, spread evenly over the span: the first few sampled ones from
            each moment on that was reached, the last ones for the end, each with the ``steps`` at which it ended.
        """
        kinds = {"start": self._first_places(), "end": self._last_places(), "moments": self._moments()}
        described = iter(_describe([place for places in kinds.values() for place in places]))
        found = {kind: [next(described) for _ in places] for kind, places in kinds.items()}
        steps = [ended[0] for ended, _ in kinds["moments"]]
        return {**found, "moments": [{"steps": at, **text} for at, text in zip(steps, found["moments"], strict=True)]}

    def _first_places(self) -> list[_Place]:
        """Evenly from the first few hundred: the very first to end in a vector environment are short ones."""
        kept = _whole(self._first)
        total = sum(len(rows) for _, rows in kept)
        count = min(self._shown, total)
        return _pick(kept, [number * total // count for number in range(count)])

    def _last_places(self) -> list[_Place]:
        kept = _whole(self._last)
        total = sum(len(rows) for _, rows in kept)
        return _pick(kept, range(max(0, total - self._shown), total))

    def _moments(self) -> list[_Place]:
        if not self._samples:
            return []
        steps = [ended[0] for ended, _ in self._samples]
        firsts = np.cumsum([0, *(len(rows) for _, rows in self._samples)]).tolist()
        total = firsts[-1]
        reached = [moment for moment in np.linspace(0, self._span, _MOMENTS).tolist() if moment < steps[-1]]
        numbers: list[int] = []
        for moment in [*reached, np.inf][:_MOMENTS]:
            first = max(0, min(firsts[bisect_left(steps, moment)], total - _EACH))
            numbers += range(first, min(first + _EACH, total))
        return _pick(self._samples, numbers)


def _whole(kept: Iterable[_Ended]) -> list[tuple[_Ended, range]]:
    return [(ended, range(len(ended[2]))) for ended in kept]


def _pick(kept: Sequence[tuple[_Ended, range]], numbers: Iterable[int]) -> list[_Place]:
    """The rows that have these numbers when the rows of all batches are counted through."""
    ends = np.cumsum([len(rows) for _, rows in kept]).tolist()
    chosen = []
    for number in numbers:
        place = bisect_right(ends, number)
        ended, rows = kept[place]
        chosen.append((ended, rows[number - ends[place]]))  # counted from the end of its rows
    return chosen


def _alike(batches: Sequence[EpisodeBatch]) -> list[list[int]]:
    """Which of them can be put together: an agent may learn in environments of several kinds."""
    found: dict[tuple[int, int, bool], list[int]] = {}
    for place, batch in enumerate(batches):
        found.setdefault((id(batch.prompts), batch.tokens.shape[1], batch.has_gold), []).append(place)
    return list(found.values())


def _score(kept: list[tuple[int, EpisodeBatch, range]]) -> tuple[Integers, Floats]:
    """Steps and true scores of these rows of batches that are alike."""
    starts = np.cumsum([0, *(len(batch) for _, batch, _ in kept)])
    places = [start + np.arange(rows.start, rows.stop) for start, (*_, rows) in zip(starts[:-1], kept, strict=True)]
    # All at once, rows and scores: one by one takes ten times as long.
    golds = concatenate([batch for _, batch, _ in kept]).take(np.concatenate(places)).gold()
    assert golds is not None
    return np.repeat([steps for steps, *_ in kept], [len(rows) for *_, rows in kept]), golds


def _describe(places: list[_Place]) -> list[Text]:
    batches = [batch.take(slice(row, row + 1)) for (_, batch, _), row in places]
    returns = np.array([returns[row] for (_, _, returns), row in places])
    found: dict[int, Text] = {}
    for alike in _alike(batches):
        texts = describe(concatenate([batches[place] for place in alike]), returns[alike])
        found.update(zip(alike, texts, strict=True))
    return [found[place] for place in range(len(places))]
