"""A linear score on the n-grams of a text and the words of its prompt, and its fit to comparisons.

The features of a text are its words and its pairs of neighbours (the beginning and the end of the text
count as words), alone and combined with each word of the prompt; pairs that were seen too seldom share
one feature. A score is the sum of the features' weights.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from textgym.bradley_terry import SparseRows, fit_bradley_terry
from textgym.comparisons import Comparison
from textgym.errors import ConfigurationError, RewardError
from textgym.tokenizers import Tokenizer, fingerprint

FORMAT = "textgym n-gram preferences 1"
ANY = -1
"""Stands in a feature for "whatever the prompt" and "whatever the word before"."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_MOST_CELLS = 2**27  # of the dense tables: 1 GiB


@dataclass(frozen=True, eq=False)
class NGramModel:
    """The weights of the n-grams of one vocabulary.

    In features, id V (the padding) is the end of a text and id V + 1 its beginning; ``(ANY, ANY, V)`` stands for
    every pair of neighbours that has no feature of its own.

    Attributes:
        vocabulary: The tokens in id order.
        tokenizer_fingerprint: The vocabulary that the ids belong to.
        eos_ids: The ids that end a text.
        features: ``(F, 3)`` prompt word or ANY, word before or ANY, word.
        weights: ``(F,)`` weight of each.
        offset: Added to each score.
        range: Scores are clipped to it.
        description: What the model was fitted to, and how well; free form.
    """

    vocabulary: tuple[str, ...]
    tokenizer_fingerprint: str
    eos_ids: tuple[int, ...]
    features: Integers
    weights: Floats
    offset: float = 0.0
    range: tuple[float, float] = (-1e6, 1e6)
    description: dict[str, Any] = field(default_factory=dict)

    def rescaled(self, *, center: float, spread: float) -> NGramModel:
        """The same order of texts on another scale, with weights rounded to 4 decimals, those of 0 left out.

        Rounding makes a fit on one processor equal to a fit on another.
        """
        weights = np.round(self.weights / spread, 4)
        kept = weights != 0
        offset = round((self.offset - center) / spread, 4)
        return replace(self, features=self.features[kept], weights=weights[kept], offset=offset)

    def tables(self, prompt_words: Sequence[frozenset[int]]) -> Floats:
        """Dense weights ``(N, V + 2, V + 2)`` by prompt, word before and word; the offset is paid at the beginning.

        The sum over a text's neighbours is its score, so singles are part of the pairs that they end. The array is
        read-only: whoever asks for the same prompts gets the same one, as long as somebody has it.
        """
        shared, key = _TABLES.setdefault(self, WeakValueDictionary()), tuple(prompt_words)
        known = shared.get(key)
        if known is None:
            known = shared[key] = self._make_tables(prompt_words)
            known.flags.writeable = False
        return known

    def _make_tables(self, prompt_words: Sequence[frozenset[int]]) -> Floats:
        size = len(self.vocabulary) + 2
        end, begin = size - 2, size - 1
        if len(prompt_words) * size * size > _MOST_CELLS:
            raise RewardError(
                f"{len(prompt_words)} kinds of prompts x {size}**2 pairs of words need more than 1 GiB of tables"
            )
        tables = np.zeros((len(prompt_words), size, size))
        context, before, word = self.features.T
        rare = (context == ANY) & (before == ANY) & (word == end)
        known = (context == ANY) & (before != ANY)
        strange = np.ones((size, size), dtype=bool)
        strange[before[known], word[known]] = False
        for table, words in zip(tables, prompt_words, strict=True):
            used = np.isin(context, [ANY, *sorted(words)])
            single, pair = used & (before == ANY) & ~rare, used & (before != ANY)
            table[strange] = self.weights[rare].sum()
            np.add.at(table.T, word[single], self.weights[single, None])  # to whole columns
            np.add.at(table, (before[pair], word[pair]), self.weights[pair])
        ends = [*self.eos_ids, end]
        tables[:, begin] += self.offset
        tables[:, :, ends] = tables[:, :, [end]]
        tables[:, ends] = 0.0
        return tables

    def best_text(
        self, prompts: Sequence[frozenset[int]], words: Sequence[int], budget: int
    ) -> tuple[list[int], float]:
        """The best text for all of these prompts at once, by dynamic programming over the last word.

        Args:
            prompts: The words of each prompt; the mean of their scores counts, before clipping.
            words: The ids that may be written.
            budget: Most tokens, an end id included.

        Returns:
            The ids, with an end id where there is room for it, and their score.
        """
        table = self.tables(prompts).mean(axis=0)
        end, begin = table.shape[0] - 2, table.shape[0] - 1
        following = [*words, end]
        value = table[:, end].copy()  # of the rest of the text, by its last word; without tokens left it ends
        choices = []
        for _ in range(budget):
            rest = np.append(value[list(words)], 0.0)
            options = table[:, following] + rest
            choices.append(options.argmax(axis=1))
            value = options.max(axis=1)
        ids: list[int] = []
        for choice in reversed(choices):
            last = following[choice[ids[-1] if ids else begin]]
            if last == end:
                return [*ids, self.eos_ids[0]], float(value[begin])
            ids.append(last)
        return ids, float(value[begin])

    def save(self, path: str | Path) -> None:
        """Writes safetensors with a JSON card in the header."""
        from safetensors.numpy import save

        card = {
            "format": FORMAT,
            "vocabulary": self.vocabulary,
            "tokenizer_fingerprint": self.tokenizer_fingerprint,
            "eos_ids": self.eos_ids,
            "offset": self.offset,
            "range": self.range,
            "description": self.description,
        }
        tensors: dict[str, NDArray[Any]] = {
            "features": self.features.astype(np.int16 if len(self.vocabulary) < 2**15 - 2 else np.int32),
            "weights": self.weights.astype(np.float32),
        }
        Path(path).write_bytes(save(tensors, metadata={"card": json.dumps(card, ensure_ascii=False)}))

    @classmethod
    def load(cls, path: str | Path) -> NGramModel:
        """Reads what :meth:`save` wrote; files with the same content give one model, as long as somebody has it.

        Raises:
            ConfigurationError: if the file is not such a model.
        """
        from safetensors import SafetensorError, safe_open

        try:
            content = sha256(Path(path).read_bytes()).digest()
            if (known := _LOADED.get(content)) is not None:
                return known
            with safe_open(str(path), framework="numpy") as file:
                card = json.loads((file.metadata() or {}).get("card", "{}"))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        except (SafetensorError, OSError, json.JSONDecodeError) as error:
            raise ConfigurationError(f"{str(path)!r} cannot be read as safetensors ({error})") from error
        if not isinstance(card, dict) or card.get("format") != FORMAT:
            raise ConfigurationError(f"{str(path)!r} is not a preference model: expected a card with format {FORMAT!r}")
        _LOADED[content] = model = cls(
            vocabulary=tuple(card["vocabulary"]),
            tokenizer_fingerprint=card["tokenizer_fingerprint"],
            eos_ids=tuple(card["eos_ids"]),
            features=tensors["features"].astype(np.int64),
            weights=np.round(tensors["weights"].astype(np.float64), 4),
            offset=card["offset"],
            range=tuple(card["range"]),
            description=card["description"],
        )
        return model


_LOADED: WeakValueDictionary[bytes, NGramModel] = WeakValueDictionary()
"""By what their files hold: environments that were unpickled one by one read one file."""

_TABLES: WeakKeyDictionary[NGramModel, WeakValueDictionary[Any, Floats]] = WeakKeyDictionary()


def fit_ngrams(
    comparisons: Sequence[Comparison], tokenizer: Tokenizer, *, penalty: float = 1.0, minimum_count: int = 5
) -> NGramModel:
    """Fits the n-gram model to comparisons by :func:`textgym.comparisons.fit_bradley_terry`.

    Args:
        comparisons: With their token ids.
        tokenizer: The vocabulary of those ids.
        penalty: Weight of the squared norm of the weights.
        minimum_count: Features seen in fewer texts are left out.
    """
    if not comparisons:
        raise ConfigurationError("no comparisons: expected at least one")
    pairs = [(item.prompt, item.chosen_ids, item.rejected_ids) for item in comparisons]
    features, differences = compare_ngrams(pairs, tokenizer, minimum_count=minimum_count)
    return NGramModel(
        vocabulary=tuple(tokenizer.tokens),
        tokenizer_fingerprint=fingerprint(tokenizer),
        eos_ids=tuple(tokenizer.eos_ids),
        features=features,
        weights=fit_bradley_terry(differences, penalty=penalty),
    )


def compare_ngrams(
    pairs: Sequence[tuple[str, Sequence[int], Sequence[int]]], tokenizer: Tokenizer, *, minimum_count: int = 5
) -> tuple[Integers, SparseRows]:
    """The n-grams of pairs of texts, and how often each stands in the first text more than in the second.

    Args:
        pairs: ``(N,)`` prompt, ids of the first text, ids of the second.
        tokenizer: The vocabulary of those ids.
        minimum_count: Features seen in fewer texts are left out.

    Returns:
        The features ``(F, 3)`` of an :class:`NGramModel`, and their differences ``(N, F)``.
    """
    texts = [ids for _, *both in pairs for ids in both]
    words = {text: _prompt_words(tokenizer.encode(text), tokenizer) for text in {prompt for prompt, *_ in pairs}}
    shared = frozenset.intersection(*words.values())  # in every prompt: would say nothing that ANY does not say
    contexts = [words[prompt] - shared for prompt, *_ in pairs for _ in range(2)]
    owners, features = _count_ngrams(texts, contexts, tokenizer)
    features, columns = _select(features, minimum_count, tokenizer.vocab_size)
    kept = columns >= 0
    signs = np.where(owners % 2 == 0, 1.0, -1.0)
    return features, _merge(owners[kept] // 2, columns[kept], signs[kept], (len(pairs), len(features)))


def _merge(rows: Integers, columns: Integers, values: Floats, shape: tuple[int, int]) -> SparseRows:
    """Adds up the entries of each cell and drops what cancels: most of two texts is the same."""
    cells, inverse = np.unique(rows * shape[1] + columns, return_inverse=True)
    sums = np.bincount(inverse.ravel(), values, len(cells))
    kept = sums != 0
    return SparseRows(cells[kept] // shape[1], cells[kept] % shape[1], sums[kept], shape)


def _prompt_words(ids: Sequence[int], tokenizer: Tokenizer) -> frozenset[int]:
    return frozenset(ids) - tokenizer.special_ids - {tokenizer.vocab_size, tokenizer.unk_id}


def _count_ngrams(
    texts: Sequence[Sequence[int]], contexts: Sequence[frozenset[int]], tokenizer: Tokenizer
) -> tuple[Integers, Integers]:
    """All n-grams of all texts as ``(number of the text (E,), features (E, 3))``."""
    size, ends = tokenizer.vocab_size, set(tokenizer.eos_ids)
    paths = [(size + 1, *(index for index in ids if index not in ends), size) for ids in texts]
    word = np.concatenate([path[1:] for path in paths])
    before = np.concatenate([path[:-1] for path in paths])
    owner = np.repeat(np.arange(len(paths)), [len(path) - 1 for path in paths])
    single = word != size  # the end of the text is no word of its own
    word, before = np.concatenate([word, word[single]]), np.concatenate([before, np.full(single.sum(), ANY)])
    owner = np.concatenate([owner, owner[single]])

    width = 1 + max(len(context) for context in contexts)
    context = np.array([[ANY, *sorted(words), *[ANY - 1] * (width - 1 - len(words))] for words in contexts])[owner]
    row, column = np.nonzero(context != ANY - 1)
    return owner[row], np.stack([context[row, column], before[row], word[row]], axis=1)


def _select(features: Integers, minimum_count: int, vocab_size: int) -> tuple[Integers, Integers]:
    """The features that get a weight ``(F, 3)``, and which of them each entry is, -1 for none."""
    shape = (vocab_size + 3,) * 3
    cells = np.ravel_multi_index(tuple(features.T + [[1], [1], [0]]), shape)  # ANY becomes 0
    known, which, counts = np.unique(cells, return_inverse=True, return_counts=True)
    seldom = (counts < minimum_count)[which] & (features[:, 0] == ANY) & (features[:, 1] != ANY)
    cells[seldom] = np.ravel_multi_index((0, 0, vocab_size), shape)
    known, which, counts = np.unique(cells, return_inverse=True, return_counts=True)
    frequent = counts >= minimum_count
    columns = np.where(frequent, np.cumsum(frequent) - 1, -1)[which]
    selected: Integers = np.stack(np.unravel_index(known[frequent], shape), axis=1) - np.array([1, 1, 0])
    return selected, columns
