"""How much a text overlaps with the references of its prompt: BLEU, chrF, ROUGE-L."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym import overlap
from textgym.episodes import EpisodeBatch
from textgym.errors import ConfigurationError, unknown_name

METRICS: dict[str, Callable[[Any, Any], NDArray[np.float64]]] = {
    "bleu": overlap.bleu,
    "chrf": overlap.chrf,
    "rouge_l": overlap.rouge_l,
}
UNITS = ("text", "tokens")


@dataclass(frozen=True)
class Overlap:
    """The overlap of a text with its references, between 0 and 1, by the functions of :mod:`textgym.overlap`.

    On texts the values are those of sacrebleu (divided by 100) and rouge-score. What is counted in a reference is
    kept, so a text costs the work on the text alone.

    Args:
        metric: ``"bleu"`` and ``"rouge_l"`` compare words, ``"chrf"`` characters.
        unit: ``"text"`` compares the decoded strings, ``"tokens"`` the token ids without end ids: faster, and in the
            units that the agent writes. Not for chrF.

    Raises:
        UnknownNameError: for another metric or unit.
        ConfigurationError: for chrF on tokens.
        RewardError: when called on a prompt without references.

    Example:
        >>> from textgym.prompts import PromptTable, load_prompts
        >>> from textgym.tokenizers import WordTokenizer
        >>> words = WordTokenizer(["say", "the", "cat", "sat", "down"])
        >>> prompts = PromptTable(load_prompts([{"prompt": "say", "reference": "the cat sat down"}]), words)
        >>> batch = EpisodeBatch.from_ids(prompts, words, [0], [words.encode("the cat down")])
        >>> Overlap("rouge_l")(batch).round(3).tolist()  # 3 common words, of 3 and of 4
        [0.857]
    """

    metric: str = "bleu"
    _: KW_ONLY
    unit: str = "text"
    _cache: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    range = (0.0, 1.0)

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise unknown_name("metric", self.metric, METRICS)
        if self.unit not in UNITS:
            raise unknown_name("unit", self.unit, UNITS)
        if self.metric == "chrf" and self.unit == "tokens":
            raise ConfigurationError("chrf compares characters: expected unit='text', or metric='bleu' or 'rouge_l'")

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        """Returns ``(B,)`` float64 in [0, 1]."""
        references = batch.required_references()
        if self.unit == "text":
            return METRICS[self.metric](batch.completions, references)
        batch = batch.local()
        known = self._encoded(batch)
        return METRICS[self.metric](_words(batch), [known[index] for index in batch.prompt_indices.tolist()])

    def _encoded(self, batch: EpisodeBatch) -> list[tuple[tuple[int, ...], ...]]:
        """The references of all prompts as ids, kept while prompts and tokenizer stay the same."""
        cache = self._cache
        if cache.get("prompts") is not batch.prompts or cache.get("tokenizer") is not batch.tokenizer:
            encode = batch.tokenizer.encode
            encoded = [tuple(tuple(encode(text)) for text in given) for given in batch.prompts.references]
            cache.update(prompts=batch.prompts, tokenizer=batch.tokenizer, references=encoded)
        found: list[tuple[tuple[int, ...], ...]] = cache["references"]
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {"metric": self.metric, "unit": self.unit, "_cache": {}}

    def __deepcopy__(self, memo: dict[int, Any]) -> Overlap:
        return self


def _words(batch: EpisodeBatch) -> list[tuple[int, ...]]:
    """The ids of each text, without end ids and other special ones."""
    ids, ends = batch.completion_ids, [*batch.tokenizer.eos_ids, *batch.tokenizer.special_ids]
    kept = (np.arange(ids.shape[1]) < batch.lengths[:, None]) & ~np.isin(ids, ends)
    flat = iter(ids[kept].tolist())
    return [tuple(islice(flat, count)) for count in kept.sum(axis=1).tolist()]
