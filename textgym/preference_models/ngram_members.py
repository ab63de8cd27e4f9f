"""Members of a reward model that are linear in n-grams: how they score, are fitted, kept and brought back. NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.automata import Automaton
from textgym.davidson import LEFT, RIGHT, fit_davidson
from textgym.episodes import EpisodeBatch
from textgym.errors import ConfigurationError
from textgym.ngrams import NGramModel, compare_ngrams
from textgym.preference_models.judgements import Judgements
from textgym.preference_models.judging import Judging
from textgym.preference_models.settings import FitSettings
from textgym.prompts import PromptTable
from textgym.scoring import add_in_order
from textgym.tokenizers import Tokenizer, fingerprint

Floats = NDArray[np.float64]

_CHUNK = 4096  # prompts that are looked at together, of which there may be more than memory holds


class NGramScorer:
    """Scores texts with an n-gram model: one look-up for each pair of neighbours, the same bits alone and together.

    Args:
        model: The weights.
        source: What errors call it.
    """

    def __init__(self, model: NGramModel, source: str = "") -> None:
        self.model, self.source = model, source
        self._prompts: PromptTable | None = None
        self._tokenizer: Tokenizer | None = None
        self._low, self._high = model.range
        self._size = len(model.vocabulary) + 2
        self._firsts = np.zeros(0, dtype=np.int32)
        self._tables = self._weights = np.zeros(0)
        self._lists: dict[int, list[list[float]]] = {}

    def score(self, batch: EpisodeBatch) -> Floats:
        """Scores ``(B,)`` texts."""
        if self._prompts is not batch.prompts or self._tokenizer is not batch.tokenizer:
            self._prepare(batch.prompts, batch.tokenizer)
        size, ids = self._size, batch.completion_ids
        path = np.empty((ids.shape[1] + 2, len(ids)), dtype=np.int32)  # int64 takes twice as long
        path[0] = size - 1
        path[1:-1] = ids.T
        path[-1] = size - 2
        cells = path[:-1] * size
        cells += path[1:]
        cells += self._firsts.take(batch.prompt_indices)
        scores = add_in_order(self._weights.take(cells))
        np.maximum(scores, self._low, out=scores)
        np.minimum(scores, self._high, out=scores)
        return scores

    def score_one(self, prompts: PromptTable, prompt_index: int, ids: list[int]) -> float:
        """The score of one text, bit for bit as in a batch, without NumPy."""
        if self._prompts is not prompts:
            self._prepare(prompts, None)
        table = self._lists.get(prompt_index) or self._list(prompt_index)
        score, row = 0.0, table[-1]
        for index in ids:
            score += row[index]
            row = table[index]
        score += row[-2]
        return self._low if score < self._low else self._high if score > self._high else score

    def automaton(self, prompts: PromptTable, prompt_index: int, tokenizer: Tokenizer) -> Automaton:
        """The score as a finite machine whose state is the last word, for :func:`textgym.exact.solve`."""
        if self._prompts is not prompts or self._tokenizer is not tokenizer:
            self._prepare(prompts, tokenizer)
        size = self._size
        table: Floats = self._tables[int(self._firsts[prompt_index]) // size**2]
        words = np.repeat(np.arange(size - 2)[None], size, axis=0)  # reading a word leads to its own state
        clip = (float(self._low), float(self._high))
        return Automaton(size - 1, words, table[:, :-2], closings=table[:, -2], clip=clip)

    def _prepare(self, prompts: PromptTable, tokenizer: Tokenizer | None) -> None:
        model, size = self.model, self._size
        if tokenizer is not None and fingerprint(tokenizer) != model.tokenizer_fingerprint:
            raise ConfigurationError(
                f"the preference model {self.source!r} knows another vocabulary ({len(model.vocabulary)} tokens, "
                f"{model.vocabulary[:3]}...) than {tokenizer!r}; fit one for this tokenizer or pass reward="
            )
        known = set(model.features[:, 0].tolist())
        groups, firsts = dict[frozenset[int], int](), np.empty(len(prompts), dtype=np.int32)
        for start in range(0, len(prompts), _CHUNK):
            kinds = [frozenset(ids) & known for ids in prompts.ids[start : start + _CHUNK].tolist()]
            numbers = [groups.setdefault(kind, len(groups)) for kind in kinds]
            firsts[start : start + _CHUNK] = np.array(numbers) * size * size
        self._tables, self._firsts, self._lists = model.tables(list(groups)), firsts, {}
        self._weights = self._tables.ravel()
        self._prompts, self._tokenizer = prompts, tokenizer

    def _list(self, prompt_index: int) -> list[list[float]]:
        table: list[list[float]] = self._tables[int(self._firsts[prompt_index]) // self._size**2].tolist()
        self._lists[prompt_index] = table
        return table


class NGramMember:
    """One n-gram model in an ensemble.

    Args:
        model: Its weights.
    """

    def __init__(self, model: NGramModel) -> None:
        self.model = model
        self.scorer = NGramScorer(model)

    def score(self, batch: EpisodeBatch) -> Floats:
        """``(B,)`` scores."""
        return self.scorer.score(batch)

    def rescaled(self, center: float, spread: float, limit: float) -> NGramMember:
        """The same order of texts on the scale of rewards, clipped to minus and plus ``limit``."""
        return NGramMember(replace(self.model.rescaled(center=center, spread=spread), range=(-limit, limit)))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that was learned."""
        return {"features": self.model.features.astype(np.int32), "weights": self.model.weights.astype(np.float32)}

    def describe(self) -> dict[str, Any]:
        """What else is needed to bring the member back."""
        return {"offset": self.model.offset, "range": list(self.model.range)}

    @classmethod
    def restore(
        cls,
        arrays: Mapping[str, NDArray[Any]],
        description: Mapping[str, Any],
        *,
        vocabulary: tuple[str, ...],
        tokenizer_fingerprint: str,
        eos_ids: tuple[int, ...],
    ) -> NGramMember:
        """Reads what :meth:`arrays` and :meth:`describe` gave.

        Raises:
            ConfigurationError: if an array is missing.
        """
        if arrays.keys() != {"features", "weights"}:
            raise ConfigurationError(f"an n-gram model has the arrays features and weights, not {sorted(arrays)}")
        low, high = description["range"]
        return cls(
            NGramModel(
                vocabulary=vocabulary,
                tokenizer_fingerprint=tokenizer_fingerprint,
                eos_ids=eos_ids,
                features=arrays["features"].astype(np.int64),
                weights=np.asarray(np.round(arrays["weights"].astype(np.float64), 4), dtype=np.float64),
                offset=float(description["offset"]),
                range=(float(low), float(high)),
            )
        )


def fit_ngram_member(judgements: Judgements, settings: FitSettings) -> tuple[NGramMember, Judging]:
    """Fits weights, ties, side and judges to judgements at once (:func:`textgym.davidson.fit_davidson`).

    Raises:
        ConfigurationError: if the settings ask for a margin, or no judgement is decided.
    """
    if settings.margin:
        raise ConfigurationError("margin= is for networks; an n-gram model takes no account of strengths")
    texts, tokenizer = judgements.texts, judgements.texts.tokenizer
    prompts, ids = texts.prompt_texts, [texts.ids(row) for row in range(len(texts))]
    sides = zip(judgements.left.tolist(), judgements.right.tolist(), strict=True)
    pairs = [(prompts[left], ids[left], ids[right]) for left, right in sides]
    features, differences = compare_ngrams(pairs, tokenizer, minimum_count=settings.minimum_count)
    fit = fit_davidson(
        differences,
        judgements.outcomes,
        judges=judgements.annotators if len(judgements.names) > 1 else None,
        side={LEFT, RIGHT} <= set(judgements.outcomes.tolist()),
        penalty=settings.penalty,
        judge_penalty=settings.reliability_penalty,
        tolerance=1e-7,
    )
    model = NGramModel(
        vocabulary=tuple(tokenizer.tokens),
        tokenizer_fingerprint=fingerprint(tokenizer),
        eos_ids=tuple(tokenizer.eos_ids),
        features=features,
        weights=fit.weights,
    )
    factors = fit.reliabilities.tolist()
    known = dict(zip(judgements.names[: len(factors)], factors, strict=True))
    return NGramMember(model), Judging(side=fit.side, tie=fit.tie, reliabilities=known)
