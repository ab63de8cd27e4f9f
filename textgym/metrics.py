"""Metrics of texts: what an evaluation says besides the return, and how far a reward model is from the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import ILLEGAL, EpisodeBatch, Score
from textgym.errors import ConfigurationError, TaskError
from textgym.factory import EnvFactory, as_factory
from textgym.language_models import LanguageModel, text_log_probs
from textgym.overlap import bleu, chrf, rouge_l
from textgym.playing import play, random_act
from textgym.rewards import resolve_reward

Floats = NDArray[np.float64]

_LARGEST_EXPONENT = 709.0  # beyond it math.exp raises; models that bar ids with -1e9 get there

OVERLAPS = {"bleu": bleu, "chrf": chrf, "rouge_l": rouge_l}


def distinct(batch: EpisodeBatch, n: int) -> float:
    """Different n-grams of the texts divided by their number of tokens, end ids left out; 0.0 without any token.

    Li et al. (2016), "A Diversity-Promoting Objective Function for Neural Conversation Models": distinct-1 and
    distinct-2. It falls with the number of texts, so compare it between equally many.
    """
    if n < 1:
        raise ConfigurationError(f"n={n!r}: expected at least 1")
    ends = set(batch.tokenizer.eos_ids)
    texts = [tuple(index for index in batch.ids(row) if index not in ends) for row in range(len(batch))]
    different = {text[start : start + n] for text in texts for start in range(len(text) - n + 1)}
    return len(different) / max(1, sum(map(len, texts)))


def duplicate_share(texts: Sequence[str]) -> float:
    """The share of texts that repeat an earlier one, whatever their prompts.

    Example:
        >>> duplicate_share(["good", "bad", "good", "good"])
        0.5
    """
    return 1.0 - len(set(texts)) / len(texts) if len(texts) else 0.0


def reference_scores(batch: EpisodeBatch) -> dict[str, Floats]:
    """BLEU, chrF and ROUGE-L of the texts whose prompt has references, each ``(R,)``; empty if none has."""
    pairs = [pair for pair in zip(batch.completions, batch.references, strict=True) if pair[1]]
    if not pairs:
        return {}
    texts, references = zip(*pairs, strict=True)
    return {name: overlap(texts, references) for name, overlap in OVERLAPS.items()}


def cross_entropy(model: LanguageModel, batch: EpisodeBatch) -> float:
    """Mean negative log-probability of a token in nats, end ids included; its exponential is the perplexity."""
    return -float(text_log_probs(model, batch).sum()) / max(1, int(batch.num_tokens.sum()))


def text_metrics(batch: EpisodeBatch, model: LanguageModel | None = None) -> dict[str, float]:
    """All that can be said of texts without their scores: length, diversity, overlap and fluency.

    Args:
        batch: At least one text.
        model: The language model for cross-entropy and perplexity; without it they are left out.
    """
    found = {
        "mean_length": float(batch.lengths.mean()),
        "distinct_1": distinct(batch, 1),
        "distinct_2": distinct(batch, 2),
        "duplicate_share": duplicate_share(batch.completions),
    }
    found |= {name: float(scores.mean()) for name, scores in reference_scores(batch).items()}
    if model is not None:
        nats = cross_entropy(model, batch)
        found |= {"cross_entropy": nats, "perplexity": math.inf if nats > _LARGEST_EXPONENT else math.exp(nats)}
    return found


@dataclass(frozen=True)
class Agreement:
    """How well one score follows another, text by text.

    Attributes:
        mean_squared_error: Mean squared difference, on the scales as they are.
        correlation: Pearson's; None where one of the two never varies.
        n: Number of texts.
    """

    mean_squared_error: float
    correlation: float | None
    n: int


def agreement(scores: Floats, truth: Floats) -> Agreement:
    """Compares two scores of the same texts ``(N,)``.

    Example:
        >>> agreement(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 5.0])).mean_squared_error
        1.6666666666666667
    """
    varies = len(scores) > 1 and np.ptp(scores) > 0 and np.ptp(truth) > 0
    correlation = float(np.corrcoef(scores, truth)[0, 1]) if varies else None
    return Agreement(float(np.mean((scores - truth) ** 2)), correlation, len(scores))


def reward_error(
    reward: Score | str | dict[str, Any],
    env: str | EnvFactory,
    *,
    episodes: EpisodeBatch | int = 1_000,
    seed: int = 0,
    **kwargs: Any,
) -> Agreement:
    """How far a reward model is from the true score of a task; texts that ended illegally are left out.

    Args:
        reward: The reward model, or whatever ``gym.make`` takes as ``reward=``.
        env: An env id or factory, whose task has a true score.
        episodes: The texts to compare on, for example what :func:`textgym.playing.play` returned for a trained
            agent; a number stands for so many texts of random play.
        seed: Of the random play.
        **kwargs: Further arguments of the environment.

    Raises:
        TaskError: if the task has no true score.
        ConfigurationError: if there are no texts, or the reward returns other than one number a text.

    Example:
        >>> error = reward_error("reviews", "TextGen-v0", episodes=200)
        >>> error.n, bool(error.correlation > 0.5)
        (200, True)
    """
    factory = as_factory(env, **kwargs)
    task = factory.task()
    if task.gold is None:
        raise TaskError(f"{task!r} has no true score to compare a reward with")
    if isinstance(episodes, EpisodeBatch):
        batch = episodes
    else:
        batch, _ = play(random_act(seed), factory, episodes=episodes, seed=seed)
    batch = batch.take(batch.stop_codes != ILLEGAL)
    if not len(batch):
        raise ConfigurationError("there are no legal texts to compare the scores of: expected at least one text")
    scores = np.asarray(resolve_reward(reward, level=task.level)(batch), dtype=np.float64)
    if scores.shape != (len(batch),) or not np.isfinite(scores).all():
        raise ConfigurationError(
            f"the reward returned shape {scores.shape} for {len(batch)} legal texts, {np.isfinite(scores).sum()} of "
            "them finite: expected one finite number each"
        )
    return agreement(scores, np.asarray(task.gold(batch), dtype=np.float64))
