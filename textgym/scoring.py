"""Calling a reward and believing nothing: the one place where scores are checked."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import ILLEGAL, EpisodeBatch, Score, lowest
from textgym.errors import ConfigurationError, MissingDependencyError, RewardError, unknown_name

ON_ERROR = ("raise", "mark")


@dataclass(slots=True)
class Scores:
    """Checked scores of a batch.

    Attributes:
        values: ``(B,)`` float64.
        valid: ``(B,)`` False where the reward failed and the illegal reward is paid instead.
        scored: ``(B,)`` False where the reward was not asked, because the text is illegal.
        parts: The terms of a combined reward, each ``(B,)``, 0 where the reward was not asked or failed.
    """

    values: NDArray[np.float64]
    valid: NDArray[np.bool_]
    scored: NDArray[np.bool_]
    parts: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def take(self, rows: NDArray[np.int64]) -> Scores:
        """The scores of these rows only."""
        parts = {name: part[rows] for name, part in self.parts.items()}
        return Scores(self.values[rows], self.valid[rows], self.scored[rows], parts)


def add_in_order(terms: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over the first axis strictly one after another, as a Python loop would.

    ``np.sum`` and ``np.add.reduce`` choose the order by memory layout and size (pairwise for a single
    column), so a text scored alone would differ in the last bit from the same text in a batch.

    Args:
        terms: ``(T, B)``.

    Returns:
        ``(B,)`` sums; zeros for T = 0.

    Example:
        >>> total = 0.0
        >>> for _ in range(12):  # not sum(), which compensates rounding since Python 3.12
        ...     total += 0.1
        >>> terms = np.full((12, 1), 0.1)
        >>> float(add_in_order(terms)[0]) == total, float(terms.sum()) == total
        (True, False)
    """
    if terms.shape[1] == 1 and len(terms):
        return np.add.accumulate(terms, axis=0)[-1]
    return np.add.reduce(np.ascontiguousarray(terms), axis=0)  # row after row in this layout, and faster


class Scorer:
    """A reward with its failures handled.

    Args:
        reward: The reward; it may offer ``score_parts(batch)`` if it is a sum of terms.
        illegal_reward: Paid for illegal texts and for failures; by default :func:`lowest` of the reward.
        on_error: ``"raise"`` a :class:`~textgym.errors.RewardError` that names the text, or ``"mark"``
            it as invalid, pay ``illegal_reward`` and count it in ``failures``.

    Attributes:
        asked: Texts that the reward was asked about: all but illegal ones.
        failures: Texts on which it failed.
    """

    def __init__(self, reward: Score, *, illegal_reward: float | None = None, on_error: str = "raise") -> None:
        if on_error not in ON_ERROR:
            raise unknown_name("value of on_reward_error", on_error, ON_ERROR)
        number = isinstance(illegal_reward, int | float | np.number)
        if illegal_reward is not None and not (number and math.isfinite(illegal_reward)):
            raise ConfigurationError(f"illegal_reward={illegal_reward!r}: expected a finite number")
        self.reward = reward
        self.illegal_reward = lowest(reward) if illegal_reward is None else float(illegal_reward)
        self.on_error = on_error
        self.asked = self.failures = 0
        self._illegal_scores = np.array(self.illegal_reward)  # np.where takes it faster than the number
        self._is_total = bool(getattr(reward, "total", False)) and not hasattr(reward, "score_parts")

    def __call__(self, batch: EpisodeBatch) -> Scores:
        """Scores a batch.

        Illegal texts get ``illegal_reward`` without asking the reward; what one says of them all the same that
        declares ``total = True`` (it cannot fail, whatever the text) does not count. A reward that fails is asked
        again row by row to find the culprit.
        """
        scored = batch.stop_codes != ILLEGAL
        count = int(np.count_nonzero(scored))
        self.asked += count
        if count == len(scored):
            return self._score(batch, scored)
        if self._is_total:  # the scores of all texts cost less than to pick out those that count
            scores = self._score(batch, np.ones(len(batch), dtype=bool))
            return Scores(np.where(scored, scores.values, self._illegal_scores), scores.valid, scored)
        scores = Scores(np.full(len(batch), self.illegal_reward), np.ones(len(batch), dtype=bool), scored)
        rows = scored.nonzero()[0]
        if rows.size:
            legal = self._score(batch.take(rows), scored[rows])
            scores.values[rows], scores.valid[rows] = legal.values, legal.valid
            for name, part in legal.parts.items():
                scores.parts[name] = np.zeros(len(batch))
                scores.parts[name][rows] = part
        return scores

    def _score(self, batch: EpisodeBatch, everything: NDArray[np.bool_]) -> Scores:
        """Scores legal texts; ``everything`` is ``(B,)`` True."""
        try:
            values, parts = self._ask(batch)
        except (ConfigurationError, MissingDependencyError):
            raise  # the set-up is wrong, not a text
        except Exception as error:
            return self._row_by_row(batch, error)
        return Scores(values, everything, everything, parts)

    def _ask(self, batch: EpisodeBatch) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
        score_parts = getattr(self.reward, "score_parts", None)
        returned, parts = (self.reward(batch), {}) if score_parts is None else score_parts(batch)
        values = np.asarray(returned, dtype=np.float64, order="C")
        if values.shape != (len(batch),):
            hint = "" if values.shape else "; textgym.rewards.PerText makes a reward of a function of one text"
            raise RewardError(
                f"it returned shape {values.shape} for {len(batch)} texts; expected ({len(batch)},){hint}"
            )
        if not math.isfinite(np.add.reduce(values)) and not np.isfinite(values).all():
            bad = values[~np.isfinite(values)][0]
            raise RewardError(f"it returned {bad}; expected one finite number per text")
        return values, parts

    def _row_by_row(self, batch: EpisodeBatch, first_error: Exception) -> Scores:
        values = np.full(len(batch), self.illegal_reward)
        valid = np.zeros(len(batch), dtype=bool)
        rows: list[dict[str, NDArray[np.float64]]] = []
        for row in range(len(batch)):
            parts: dict[str, NDArray[np.float64]] = {}
            try:
                one, parts = self._ask(batch.take([row]))
                values[row], valid[row] = one[0], True
            except Exception as error:
                self._complain(batch, row, error)
            rows.append(parts)
        if valid.all() and self.on_error == "raise":
            raise RewardError(
                f"the reward {self._title} failed on a batch of {len(batch)} texts, though on none of them alone: "
                f"{_name(first_error)}. A reward takes a batch and returns one finite number per text"
            ) from first_error
        names = next((parts.keys() for parts in rows if parts), ())
        merged = {name: np.array([float(parts[name][0]) if parts else 0.0 for parts in rows]) for name in names}
        return Scores(values, valid, np.ones(len(batch), dtype=bool), merged)

    @property
    def _title(self) -> str:
        """A plain function goes by its name."""
        return str(getattr(self.reward, "__qualname__", repr(self.reward)))

    def _complain(self, batch: EpisodeBatch, row: int, error: Exception) -> None:
        text = batch.take([row])
        what = (
            f"the reward {self._title} failed on prompt {text.prompt_texts[0]!r}, completion "
            f"{text.completions[0]!r}: {_name(error)}"
        )
        if self.on_error == "raise":
            raise RewardError(
                f"{what}. Mend the reward, or pass on_reward_error='mark' to pay {self.illegal_reward:g} for such "
                "texts and count them"
            ) from error
        if not self.failures:
            warnings.warn(f"{what}; such texts are paid {self.illegal_reward:g} and counted", stacklevel=2)
        self.failures += 1


def _name(error: Exception) -> str:
    return str(error) if isinstance(error, RewardError) else f"{type(error).__name__}: {error}"
