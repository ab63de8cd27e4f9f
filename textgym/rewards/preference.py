"""A reward model learned from comparisons: Bradley-Terry on the n-grams of a text and its prompt.

The model (:mod:`textgym.ngrams`) knows no more of a text than pairs of neighbours, so it can be hacked:
that is what it is for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.automata import Automaton
from textgym.episodes import EpisodeBatch
from textgym.errors import ConfigurationError, unknown_name
from textgym.ngrams import NGramModel
from textgym.prompts import PromptTable
from textgym.scoring import add_in_order
from textgym.tokenizers import Tokenizer, fingerprint

Floats = NDArray[np.float64]

_PICKLES = (".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt")
_CHUNK = 4096  # prompts that are looked at together, of which there may be more than memory holds
_ASSETS = Path(__file__).parent.parent / "assets"


@dataclass(frozen=True)
class PreferenceReward:
    """Scores texts by a model that was learned from comparisons.

    Attributes:
        path: A ``.safetensors`` file that :meth:`NGramModel.save` wrote.

    Raises:
        ConfigurationError: for a file that is missing, of another kind (pickles are never read), or learned
            for another vocabulary.

    Example:
        >>> reward = shipped(level="tiny")
        >>> reward.range[0] < reward.range[1]
        True
    """

    path: str
    _cache: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", str(self.path))
        if self.path.lower().endswith(_PICKLES):
            raise ConfigurationError(
                f"{self.path!r} looks like a pickle, which can run any code when it is read; "
                "expected a .safetensors file written by NGramModel.save"
            )
        if not Path(self.path).is_file():
            raise ConfigurationError(f"the preference model {self.path!r} does not exist; expected a .safetensors file")

    @classmethod
    def from_model(cls, model: NGramModel) -> PreferenceReward:
        """A reward that lives in memory only, for trying a fresh fit; it cannot be pickled."""
        reward = object.__new__(cls)
        object.__setattr__(reward, "path", "")
        object.__setattr__(reward, "_cache", {"model": model})
        return reward

    @property
    def model(self) -> NGramModel:
        """The weights, read on first use."""
        if "model" not in self._cache:
            self._cache["model"] = NGramModel.load(self.path)
        model: NGramModel = self._cache["model"]
        return model

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest score."""
        return self.model.range

    @property
    def tokenizer_fingerprint(self) -> str:
        """The one vocabulary that the model knows."""
        return self.model.tokenizer_fingerprint

    def __call__(self, batch: EpisodeBatch) -> Floats:
        """Scores ``(B,)`` texts: one look-up for each pair of neighbours."""
        if self._cache.get("prompts") is not batch.prompts or self._cache.get("tokenizer") is not batch.tokenizer:
            self._prepare(batch.prompts, batch.tokenizer)
        cache = self._cache
        weights: Floats = cache["weights"]
        size: int = cache["size"]
        ids = batch.completion_ids
        path = np.empty((ids.shape[1] + 2, len(ids)), dtype=np.int32)  # int64 takes twice as long
        path[0] = size - 1
        path[1:-1] = ids.T
        path[-1] = size - 2
        cells = path[:-1] * size
        cells += path[1:]
        cells += cache["firsts"].take(batch.prompt_indices)
        scores = add_in_order(weights.take(cells))
        np.maximum(scores, cache["low"], out=scores)
        np.minimum(scores, cache["high"], out=scores)
        return scores

    def score_one(self, prompts: PromptTable, prompt_index: int, ids: list[int]) -> float:
        """The score of one text, bit for bit as in a batch, without NumPy."""
        cache = self._cache
        if cache.get("prompts") is not prompts:
            self._prepare(prompts, None)
        table = cache["lists"].get(prompt_index) or self._list(prompt_index)
        score, row = 0.0, table[-1]
        for index in ids:
            score += row[index]
            row = table[index]
        score += row[-2]
        low, high = cache["low"], cache["high"]
        return low if score < low else high if score > high else score

    def automaton(self, prompts: PromptTable, prompt_index: int, tokenizer: Tokenizer) -> Automaton:
        """The score as a finite machine whose state is the last word, for :func:`textgym.exact.solve`."""
        if self._cache.get("prompts") is not prompts or self._cache.get("tokenizer") is not tokenizer:
            self._prepare(prompts, tokenizer)
        cache = self._cache
        size: int = cache["size"]
        table: Floats = cache["tables"][int(cache["firsts"][prompt_index]) // size**2]
        words = np.repeat(np.arange(size - 2)[None], size, axis=0)  # reading a word leads to its own state
        return Automaton(
            size - 1, words, table[:, :-2], closings=table[:, -2], clip=(float(cache["low"]), float(cache["high"]))
        )

    def _prepare(self, prompts: PromptTable, tokenizer: Tokenizer | None) -> None:
        model = self.model
        if tokenizer is not None and fingerprint(tokenizer) != model.tokenizer_fingerprint:
            raise ConfigurationError(
                f"the preference model {self.path!r} knows another vocabulary ({len(model.vocabulary)} tokens, "
                f"{model.vocabulary[:3]}...) than {tokenizer!r}; fit one for this tokenizer or pass reward="
            )
        known = set(model.features[:, 0].tolist())
        groups, firsts = dict[frozenset[int], int](), np.empty(len(prompts), dtype=np.int32)
        size = len(model.vocabulary) + 2
        for start in range(0, len(prompts), _CHUNK):
            kinds = [frozenset(ids) & known for ids in prompts.ids[start : start + _CHUNK].tolist()]
            numbers = [groups.setdefault(kind, len(groups)) for kind in kinds]
            firsts[start : start + _CHUNK] = np.array(numbers) * size * size
        self._cache.update(
            tables=model.tables(list(groups)),
            firsts=firsts,
            size=size,
            low=model.range[0],
            high=model.range[1],
            lists={},
            tokenizer=tokenizer,
            prompts=prompts,
        )
        self._cache["weights"] = self._cache["tables"].ravel()

    def _list(self, prompt_index: int) -> list[list[float]]:
        cache = self._cache
        group = int(cache["firsts"][prompt_index]) // cache["size"] ** 2
        table: list[list[float]] = cache["tables"][group].tolist()
        cache["lists"][prompt_index] = table
        return table

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_cache": {}}

    def __deepcopy__(self, memo: dict[int, Any]) -> PreferenceReward:
        return self


def shipped(name: str = "reviews", level: str | None = None) -> PreferenceReward:
    """The learned reward that ships with a task's level.

    Raises:
        UnknownNameError: if no such model ships.
    """
    wanted = f"{name}-{level or 'easy'}"
    known = [path.stem for path in _ASSETS.glob("*.safetensors")]
    if wanted not in known:
        raise unknown_name("shipped preference model", wanted, known)
    return PreferenceReward(str(_ASSETS / f"{wanted}.safetensors"))
