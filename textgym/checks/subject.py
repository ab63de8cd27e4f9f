"""Subject: what is checked, with the plays and texts that several rules look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from textgym.checks.recording import STYLES, Episode, play_episode
from textgym.configuration import EnvConfig
from textgym.degenerate import WriteAnything
from textgym.episodes import EpisodeBatch, Score
from textgym.factory import EnvFactory
from textgym.keys import spawn_seed
from textgym.playing import Act, concatenate, play, random_act, speak
from textgym.scoring import Scorer, Scores
from textgym.task import Task

SINGLE_PRECISION, DOUBLE_PRECISION = 1e-6, 1e-10
"""How far apart rounding may bring two scores of one text, relative to ``max(1, |score|)``."""

LANES = 3
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Effort:
    """How much is played.

    Attributes:
        episodes: Episodes of the single environment.
        events: Length of a play that is repeated.
        lane_events: Length of a play of vector environments.
        copies: How many moments of a play are copied.
        texts: Texts that the reward is asked about.
        random_texts: Texts of random play.
    """

    episodes: int
    events: int
    lane_events: int
    copies: int
    texts: int
    random_texts: int


FAST = Effort(episodes=16, events=20, lane_events=16, copies=2, texts=48, random_texts=1024)
FULL = Effort(episodes=80, events=80, lane_events=80, copies=8, texts=384, random_texts=8192)


class Subject:
    """An environment, or a task in textgym's own environment, under examination.

    Args:
        factory: Makes the environments.
        fast: Play little.
    """

    def __init__(self, factory: EnvFactory, *, fast: bool) -> None:
        self.factory, self.fast = factory, fast
        self.effort = FAST if fast else FULL

    def single(self, **extra: Any) -> Any:
        """A single environment, without Gymnasium's own checker around it."""
        return self.factory.single(**extra, disable_env_checker=True)

    def vector(self, lanes: int = LANES, **extra: Any) -> Any:
        """A native vector environment with ``lanes`` lanes."""
        return self.factory.vector(lanes, **extra)

    @cached_property
    def spec(self) -> gym.envs.registration.EnvSpec:
        """The specification, arguments included; not ``gym.spec``, which does not know ids of the form module:id."""
        spec: gym.envs.registration.EnvSpec = self.single().spec
        return spec

    @property
    def has_vector(self) -> bool:
        """Whether there is a native vector environment."""
        return self.spec.vector_entry_point is not None

    @property
    def makers(self) -> dict[str, tuple[Callable[[], Any], int]]:
        """For each kind of environment a function that makes one, and the length of its plays."""
        makers: dict[str, tuple[Callable[[], Any], int]] = {"single": (self.single, self.effort.events)}
        if self.has_vector:
            makers["vector"] = (self.vector, self.effort.lane_events)
        return makers

    def rng(self, purpose: str) -> np.random.Generator:
        """A generator that is the same in every check."""
        return np.random.default_rng(spawn_seed(0, "checks", purpose))

    @cached_property
    def task(self) -> Task:
        """The task with all overrides."""
        return EnvFactory(self.factory.env_id, {**self.factory.kwargs, "disable_env_checker": True}).task()

    @cached_property
    def config(self) -> EnvConfig:
        """The arguments as the environment has read them, the split as it was asked for."""
        config: EnvConfig = self.single().unwrapped.config
        return replace(config, split=self.spec.kwargs.get("split") or self.task.default_split)

    @cached_property
    def stochastic(self) -> bool:
        """Whether the reward says that it is random."""
        return bool(getattr(self.task.reward, "stochastic", False))

    @cached_property
    def scorer(self) -> Scorer:
        """The reward as the environment asks it."""
        return Scorer(self.task.reward, illegal_reward=self.config.illegal_reward)

    @property
    def scores(self) -> dict[str, Score]:
        """The reward, and gold where there is one."""
        gold = self.task.gold
        return {"reward": self.task.reward} if gold is None else {"reward": self.task.reward, "gold": gold}

    @cached_property
    def episodes(self) -> list[Episode]:
        """Episodes of one environment, in several styles, each third with a seed of its own."""
        env, rng = self.single(), self.rng("episodes")
        seeds = [number if number % 3 == 0 else None for number in range(self.effort.episodes)]
        return [play_episode(env, STYLES[n % len(STYLES)], rng, seed=seed) for n, seed in enumerate(seeds)]

    @cached_property
    def texts(self) -> EpisodeBatch:
        """Random, long and short texts, half of them again under another prompt, written without asking the reward."""
        count, rng = self.effort.texts // 4, self.rng("texts")
        ends = self.task.tokenizer.eos_ids
        others = tuple(index for index in range(self.task.tokenizer.vocab_size) if index not in ends)
        writers = [WriteAnything(rng, avoided) for avoided in (ends, others, (), ())]
        rows = self.spread(count)
        texts = concatenate([self.write(rows, writer) for writer in writers])
        half = texts.take(np.arange(0, len(texts), 2))
        return concatenate([texts, _under_other_prompts(half)])

    def spread(self, count: int, split: str = "all") -> Rows:
        """Prompts for ``count`` texts: all of a split as often as that goes, then a random choice of them."""
        rows = self.task.prompts.rows(split)
        times, rest = divmod(count, len(rows))
        return np.concatenate([np.tile(rows, times), self.rng("prompts").choice(rows, rest, replace=False)])

    def write(self, rows: Rows, act: Act | None = None) -> EpisodeBatch:
        """Texts of random play (or of ``act``) to these prompts in textgym's own environment, unseen by the reward."""
        return play(act or random_act(), self._unpaid(), episodes=len(rows), prompt_indices=rows)[0]

    def converse(self, rows: Rows) -> EpisodeBatch:
        """What the oracle says to these prompts in a conversation, turn by turn, unseen by the reward."""
        return speak(self.task.best_turn, self._unpaid(), prompt_indices=rows)[0]

    def _unpaid(self) -> EnvFactory:
        return EnvFactory("TextGen-v0", {"task": self.task.override(reward=_nothing), "split": "all"})

    @cached_property
    def alone(self) -> dict[str, NDArray[np.float64]]:
        """What each of :attr:`texts` is scored where it is scored alone, for each of :attr:`scores`."""
        singly = [self.texts.take([row]) for row in range(len(self.texts))]
        return {
            name: np.concatenate([Scorer(score)(text).values for text in singly]) for name, score in self.scores.items()
        }

    @cached_property
    def tolerance(self) -> float:
        """How far two scores of one text may be apart: 0, but 1e-6 where scores are computed in single precision.

        Two things give that away: a float64 that is also a float32 and no whole number; and a text that scores a little
        differently alone and in a batch, by more than the order of a sum of doubles can do.
        """
        return max(_tolerance(Scorer(score)(self.texts), self.alone[name]) for name, score in self.scores.items())


def _under_other_prompts(texts: EpisodeBatch) -> EpisodeBatch:
    """The same completions, each to the next prompt of the table."""
    table, rows, tokens = texts.prompts, (texts.prompt_indices + 1) % len(texts.prompts), texts.tokens.copy()
    tokens[:, : table.width] = table.ids[rows]
    return EpisodeBatch(
        tokens,
        texts.lengths,
        texts.stop_codes,
        texts.keys,
        rows,
        table,
        texts.tokenizer,
        is_agent=texts.is_agent,
    )


def _tolerance(scores: Scores, alone: NDArray[np.float64]) -> float:
    known = (scores.values, *scores.parts.values())
    single = any((values.astype(np.float32) == values).all() and (values != values.round()).any() for values in known)
    gap = float(distances(scores.values, alone).max())
    return SINGLE_PRECISION if single or DOUBLE_PRECISION < gap <= SINGLE_PRECISION else 0.0


def distances(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far scores are apart, relative to ``max(1, |left|)``."""
    apart: NDArray[np.float64] = np.abs(left - right) / np.maximum(1.0, np.abs(left))
    return apart


def _nothing(batch: EpisodeBatch) -> NDArray[np.float64]:
    return np.zeros(len(batch))


def limits(score: Score) -> tuple[float, float]:
    """The declared range of a score; infinite where it declares none."""
    low, high = getattr(score, "range", (-np.inf, np.inf))
    return float(low), float(high)
