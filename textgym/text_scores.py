"""A score for each single text that was compared: the fit to comparisons that knows nothing of what is in a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textgym.bradley_terry import SparseRows
from textgym.comparisons import Comparison
from textgym.davidson import LEFT, RIGHT, TIE, fit_davidson
from textgym.errors import ConfigurationError

OUTCOMES = {"left": LEFT, "right": RIGHT, "tie": TIE, "both_bad": TIE}
"""What a choice is to the model of Davidson; "skip" is nothing."""

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class TextScores:
    """Scores of texts, with what was learned of their judges.

    Attributes:
        scores: Prompt and text -> score, with mean 0 over the texts that were compared, if need be by way of others.
            Texts of different prompts are never compared, so their scores are not either.
        tie: Davidson's tie parameter; 0.0 where nobody said tie.
        side: What the left side is worth, in log-odds; 0.0 where it was not asked.
        reliabilities: Annotator -> how steep his or her choices are, with geometric mean 1; empty where not asked.
        log_loss: Mean of minus the logarithm of the chance of what was said.
    """

    scores: dict[tuple[str, str], float]
    tie: float
    side: float
    reliabilities: dict[str, float]
    log_loss: float

    def best(self, prompt: str) -> str:
        """The text with the highest score for a prompt.

        Raises:
            ConfigurationError: for a prompt of which no texts were compared.
        """
        texts = {text: score for (asked, text), score in self.scores.items() if asked == prompt}
        if not texts:
            raise ConfigurationError(f"no texts of the prompt {prompt!r} were compared")
        return max(texts, key=lambda text: texts[text])


def fit_texts(
    comparisons: Sequence[Comparison], *, side: bool = False, annotators: bool = False, penalty: float = 0.01
) -> TextScores:
    """Fits a score to each text, by the model of Bradley and Terry with Davidson's ties.

    Args:
        comparisons: Skips count for nothing, "both_bad" for a tie.
        side: Whether the left side may be worth something.
        annotators: Whether some annotators may be more reliable than others.
        penalty: Weight of the squared norm of the scores. 0 gives the maximum of likelihood, which is infinite unless
            from each text there is a chain of wins and ties to each other one it was compared with.

    Raises:
        ConfigurationError: if nothing is decided, and for a penalty of 0 where the maximum is at infinity.

    Example:
        >>> said = [Comparison(prompt="p", left="a", right="b", choice=choice) for choice in ("left", "left", "right")]
        >>> {text: round(score, 3) for (_, text), score in fit_texts(said, penalty=0.0).scores.items()}
        {'a': 0.347, 'b': -0.347}
    """
    judged = [item for item in comparisons if item.choice in OUTCOMES]
    if not judged:
        raise ConfigurationError(f"none of {len(comparisons)} comparisons says anything: expected some that do")
    keys = [(item.prompt, text) for item in judged for text in (item.left, item.right)]
    texts = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    left, right = np.array([texts[key] for key in keys]).reshape(-1, 2).T
    outcomes = np.array([OUTCOMES[item.choice] for item in judged])
    groups = _connected(left, right, len(texts))
    if penalty == 0:
        _check_bounded(left, right, outcomes, groups, list(texts))
    names = {name: number for number, name in enumerate(sorted({item.annotator for item in judged}))}
    who = np.array([names[item.annotator] for item in judged]) if annotators else None
    rows = np.repeat(np.arange(len(judged)), 2)
    signs = np.tile([1.0, -1.0], len(judged))
    differences = SparseRows(rows, np.stack([left, right], axis=1).ravel(), signs, (len(judged), len(texts)))
    fit = fit_davidson(differences, outcomes, judges=who, side=side, penalty=penalty)
    centred = fit.weights - (np.bincount(groups, fit.weights) / np.maximum(np.bincount(groups), 1))[groups]
    return TextScores(
        scores=dict(zip(texts, centred.tolist(), strict=True)),
        tie=fit.tie,
        side=fit.side,
        reliabilities=dict(zip(names, fit.reliabilities.tolist(), strict=True)) if annotators else {},
        log_loss=fit.log_loss,
    )


def _connected(one: Integers, other: Integers, count: int) -> Integers:
    """``(count,)`` the lowest number of a node that each node is connected with."""
    groups = np.arange(count)
    while True:
        lowest = np.minimum(groups[one], groups[other])
        new = groups.copy()
        np.minimum.at(new, one, lowest)
        np.minimum.at(new, other, lowest)
        new = new[new]
        if np.array_equal(new, groups):
            return groups
        groups = new


def _check_bounded(
    left: Integers, right: Integers, outcomes: Integers, groups: Integers, texts: Sequence[tuple[str, str]]
) -> None:
    """In each group every text must reach every other one by wins and ties, and be reached."""
    beaten = np.concatenate([right[outcomes != RIGHT], left[outcomes != LEFT]])
    better = np.concatenate([left[outcomes != RIGHT], right[outcomes != LEFT]])
    for sources, targets in ((beaten, better), (better, beaten)):
        reached = groups == np.arange(len(groups))  # one text of each group
        while True:
            new = reached.copy()
            new[targets[reached[sources]]] = True
            if np.array_equal(new, reached):
                break
            reached = new
        if not reached.all():
            prompt, text = texts[int(np.flatnonzero(~reached)[0])]
            raise ConfigurationError(
                f"penalty=0: no chain of wins and ties leads both ways between the text {text!r} of the prompt "
                f"{prompt!r} and all that it was compared with, so its score is infinite; use a penalty above 0"
            )
