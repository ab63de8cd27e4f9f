"""How fast BLEU, chrF and ROUGE-L are in a batch, against the reference packages called text by text.

The texts are new in every round, the references stay, as in training. Decoding token ids to texts is not counted, on
either side.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch
from textgym.errors import missing_dependency
from textgym.prompts import PromptTable, load_prompts
from textgym.rewards import Overlap
from textgym.tokenizers import WordTokenizer

BATCHES, REFERENCES = (64, 1024), (1, 3)
SHORTEST, LONGEST = 10, 30
MOST_TEXTS = 256  # that the reference packages are asked about in a round
SYLLABLES = ("ba", "de", "kin", "lo", "sur", "tra")
WORDS = tuple("".join(parts) for count in (1, 2, 3) for parts in product(SYLLABLES, repeat=count))
DIFFERENCE = 1e-9

ScoreOne = Callable[[str, Sequence[str]], float]


def report(*, rounds: int = 5) -> Iterator[str]:
    """Yields a Markdown table, a row as soon as it is measured.

    Raises:
        MissingDependencyError: without sacrebleu or rouge-score.
        AssertionError: if a value differs from the reference package's.
    """
    packages = reference_packages()
    yield "| measure | unit | references | texts in the batch | microseconds a text | the package's | times as fast |"
    yield "|---|---|---|---|---|---|---|"
    for metric, unit in (
        ("bleu", "text"),
        ("bleu", "tokens"),
        ("rouge_l", "text"),
        ("rouge_l", "tokens"),
        ("chrf", "text"),
    ):
        for count in REFERENCES:
            for size in BATCHES:
                ours, theirs = measure(Overlap(metric, unit=unit), packages[metric], size, count, rounds=rounds)
                speed = f"{ours * 1e6:.1f} | {theirs * 1e6:.0f} | {theirs / ours:.0f}"
                yield f"| {metric} | {unit} | {count} | {size:,} | {speed} |"


def reference_packages() -> dict[str, ScoreOne]:
    """The functions of sacrebleu and rouge-score for one text, between 0 and 1."""
    try:
        from rouge_score.rouge_scorer import RougeScorer
        from sacrebleu import sentence_bleu, sentence_chrf
    except ImportError as error:
        raise missing_dependency(error.name or "sacrebleu", "dev", "textgym bench throughput --overlaps") from error
    rouge = RougeScorer(["rougeL"])
    return {
        "bleu": lambda text, references: float(sentence_bleu(text, references).score) / 100,
        "chrf": lambda text, references: float(sentence_chrf(text, references).score) / 100,
        "rouge_l": lambda text, references: float(rouge.score_multi(references, text)["rougeL"].fmeasure),
    }


def measure(reward: Overlap, package: ScoreOne, size: int, references: int, *, rounds: int) -> tuple[float, float]:
    """The least seconds a text of both, measured in turn, after a round that is not counted."""
    rng = np.random.default_rng(0)
    words = WordTokenizer(WORDS)
    known = [[_text(rng) for _ in range(references)] for _ in range(size)]
    rows = [{"prompt": WORDS[0], "reference": [words.decode(ids) for ids in one]} for one in known]
    table = PromptTable(load_prompts(rows), words)
    seconds = []
    for _ in range(rounds + 1):
        written = [_changed(one[0], rng) for one in known]
        batch = EpisodeBatch.from_ids(table, words, range(size), written)
        _ = batch.completions
        start = time.perf_counter()
        values = reward(batch)
        middle = time.perf_counter()
        few = batch.take(np.arange(min(size, MOST_TEXTS)))
        pairs = [(text, list(given)) for text, given in zip(few.completions, few.references, strict=True)]
        again = time.perf_counter()
        expected = [package(*pair) for pair in pairs]
        seconds.append(((middle - start) / size, (time.perf_counter() - again) / len(few)))
        assert np.abs(values[: len(few)] - expected).max() < DIFFERENCE
    ours, theirs = zip(*seconds[1:], strict=True)
    return min(ours), min(theirs)


def _text(rng: np.random.Generator) -> NDArray[np.int64]:
    return rng.integers(len(WORDS), size=rng.integers(SHORTEST, LONGEST + 1))


def _changed(ids: NDArray[np.int64], rng: np.random.Generator) -> list[int]:
    """The same text with three words in ten replaced."""
    changed: list[int] = np.where(rng.random(len(ids)) < 0.3, rng.integers(len(WORDS), size=len(ids)), ids).tolist()
    return changed
