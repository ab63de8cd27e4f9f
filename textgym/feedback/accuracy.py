"""How well a small reward model predicts labels that it has not seen, as labels arrive.

The model is that of :mod:`textgym.ngrams`, which fits hundreds of labels in a fraction of a second. Pairs are held out
with all their judgements, whoever made them. Prompts that are held out ask for more: with a handful of prompts the
model has to guess what a wish means that it has never met, and may well be wrong more often than right.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from textgym.comparisons import Comparison
from textgym.errors import ConfigurationError
from textgym.keys import spawn_seed
from textgym.ngrams import NGramModel, fit_ngrams
from textgym.tokenizers import Tokenizer

FEWEST = 20
"""Decided comparisons, below which a share says nothing."""
FOLDS = 5


def usable(comparisons: Iterable[Comparison]) -> list[Comparison]:
    """Those from which a reward model can learn: decided, of known tokens, first answers, no attention checks."""
    return [
        item
        for item in comparisons
        if item.is_decided
        and item.left_ids
        and item.right_ids
        and item.left_ids != item.right_ids
        and not item.metadata.get("repeat")
        and not item.metadata.get("attention_check")
    ]


def held_out_accuracy(
    comparisons: Sequence[Comparison],
    tokenizer: Tokenizer,
    *,
    by: Literal["prompt", "pair"] = "prompt",
    folds: int = FOLDS,
) -> float:
    """Share of comparisons in which the model, fitted without their like, scores the preferred text higher.

    Args:
        comparisons: Decided ones, with token ids.
        tokenizer: The vocabulary of those ids.
        by: Whether all comparisons of a prompt are held out together, or all of a pair.
        folds: Into how many parts the prompts or pairs are dealt, at most.

    Returns:
        From 0 to 1; equal scores count half.

    Raises:
        ConfigurationError: if all comparisons have the same prompt or there are none, or for another vocabulary.
    """
    largest = max((index for item in comparisons for index in (*item.left_ids, *item.right_ids)), default=0)
    if largest >= tokenizer.vocab_size:
        raise ConfigurationError(f"token {largest} is none of this tokenizer's {tokenizer.vocab_size}")
    groups = [item.prompt if by == "prompt" else item.pair for item in comparisons]
    names = sorted(set(groups), key=lambda name: spawn_seed(0, "fold", name))
    if len(names) < 2:
        raise ConfigurationError(f"{len(names)} {by}s: expected two or more, since some are held out")
    fold = {name: index % folds for index, name in enumerate(names)}
    right = 0.0
    for part in sorted(set(fold.values())):
        seen = [item for item, name in zip(comparisons, groups, strict=True) if fold[name] != part]
        held_out = [item for item, name in zip(comparisons, groups, strict=True) if fold[name] == part]
        margins = _margins(fit_ngrams(seen, tokenizer, minimum_count=2), held_out, tokenizer)
        right += sum(0.5 + 0.5 * np.sign(margin) for margin in margins)
    return float(right / len(comparisons))


def _margins(model: NGramModel, comparisons: Sequence[Comparison], tokenizer: Tokenizer) -> list[float]:
    """Score of the preferred text minus that of the other, rounded so that equal texts are equal."""
    margins = [0.0] * len(comparisons)
    for prompt in sorted({item.prompt for item in comparisons}):
        words = frozenset(tokenizer.encode(prompt)) - tokenizer.special_ids - {tokenizer.vocab_size, tokenizer.unk_id}
        (table,) = model.tables([words])
        for index, item in enumerate(comparisons):
            if item.prompt == prompt:
                difference = _score(table, item.chosen_ids) - _score(table, item.rejected_ids)
                margins[index] = round(float(difference), 9)
    return margins


def _score(table: np.ndarray, ids: Sequence[int]) -> float:
    path = np.array([len(table) - 1, *ids, len(table) - 2])
    return float(table[path[:-1], path[1:]].sum())


class LearningCurve:
    """Held-out accuracy after the first 20, 40, 80, ... labels, and after all; each is computed once.

    Args:
        tokenizer: The vocabulary of the labels; None where it is not known.
    """

    def __init__(self, tokenizer: Tokenizer | None) -> None:
        self._tokenizer = tokenizer
        self._known: dict[tuple[tuple[str, ...], ...], tuple[float, float]] = {}

    def points(self, comparisons: Iterable[Comparison]) -> tuple[list[tuple[int, float, float]], str]:
        """Labels and the accuracies on unseen pairs and prompts, and what there is to say about them."""
        labels = usable(comparisons)
        if self._tokenizer is None:
            return [], "The environment's tokenizer is not known here, so no model can be fitted."
        if len(labels) < FEWEST:
            return [], f"{len(labels)} of {FEWEST} decided labels that the first fit needs."
        sizes = [FEWEST * 2**power for power in range(30) if FEWEST * 2**power < len(labels)]
        known, points = dict[tuple[tuple[str, ...], ...], tuple[float, float]](), list[tuple[int, float, float]]()
        names = [(item.pair, item.annotator, item.chosen) for item in labels]
        try:
            for size in (*sizes, len(labels)):
                part, name = labels[:size], tuple(names[:size])
                if len({item.prompt for item in part}) < 2:
                    continue
                found = self._known.get(name)
                known[name] = self._measure(part, self._tokenizer) if found is None else found
                points.append((size, *known[name]))
        except ConfigurationError as error:
            return [], f"No model can be fitted: {error}."
        self._known = known
        prompts = len({item.prompt for item in labels})
        note = f"Bradley-Terry on words and pairs of words, {prompts} prompts; guessing is right half of the time."
        return points, note if points else "All labels are of one prompt, so none can be held out."

    @staticmethod
    def _measure(comparisons: Sequence[Comparison], tokenizer: Tokenizer) -> tuple[float, float]:
        pairs = held_out_accuracy(comparisons, tokenizer, by="pair")
        return pairs, held_out_accuracy(comparisons, tokenizer)
