"""Rollouts: a policy writes whole episodes in a vector environment, one new token a row and forward pass.

When the text of a row ends, that row alone begins the next prompt, which has been read ahead with others in one
pass; nobody waits for the longest text. What is written is recorded as it comes and laid out by episode at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textgym.agents.base import tokens_of
from textgym.agents.lm.model import LMPolicy
from textgym.agents.lm.sampling import draw, masked_log_probs, top_p_mask
from textgym.agents.lm.writer import Writer
from textgym.episodes import EpisodeBatch
from textgym.playing import concatenate
from textgym.vector_env import RESTS

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Rollout:
    """N whole episodes.

    Attributes:
        episodes: The texts, in the order of the prompts that were asked for.
        prompt_indices: ``(N,)`` rows of the prompt table.
        tokens: ``(N, P + T)`` int32 rows of the environment.
        wrote: ``(N, T)`` which tokens the agent wrote.
        log_probs: ``(N, T)`` of these tokens, under the masked, tempered distribution that they were drawn from.
        values: ``(N, T)`` of the states before them.
        rewards: ``(N, T)`` paid for them.
        seconds: Time in all.
        environment_seconds: What of it the model and the draws did not take: the environment and the book-keeping.
    """

    episodes: EpisodeBatch
    prompt_indices: NDArray[np.int64]
    tokens: NDArray[np.int32]
    wrote: NDArray[np.bool_]
    log_probs: Floats
    values: Floats
    rewards: Floats
    seconds: float = 0.0
    environment_seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.prompt_indices)

    @property
    def returns(self) -> NDArray[np.float64]:
        """``(N,)`` the sum of each episode's rewards."""
        return self.rewards.sum(axis=1, dtype=np.float64)

    @property
    def steps(self) -> int:
        """Tokens that the agent wrote."""
        return int(self.wrote.sum())


def collect(
    policy: LMPolicy,
    envs: Any,
    prompt_indices: Sequence[int] | NDArray[np.int64],
    *,
    generator: torch.Generator,
    mask_policy: LMPolicy | None = None,
    top_p: float = 1.0,
    greedy: bool = False,
    lean: bool | None = None,
) -> Rollout:
    """Lets a policy write one text for each prompt.

    Args:
        policy: Who writes.
        envs: A vector environment in DISABLED mode with "tokens" or "dict" observations; it may be metered or wrapped.
        prompt_indices: ``(N,)`` rows of the prompt table, any number of times each.
        generator: Of the random numbers, on the CPU.
        mask_policy: Draw only from the tokens that are likeliest under this policy and together have ``top_p``.
        top_p: See ``mask_policy``.
        greedy: Take the likeliest token instead of drawing.
        lean: See :class:`~textgym.agents.lm.writer.Writer`.

    Raises:
        BudgetSpent: if a metered environment has no step left; what was written is lost then.
    """
    begin = perf_counter()
    policy.eval()
    wanted = np.asarray(prompt_indices, dtype=np.int64)
    with torch.inference_mode():
        lanes = _Lanes(policy, envs, wanted, generator=generator, mask_policy=mask_policy, top_p=top_p, lean=lean)
        lanes.restart(np.arange(envs.num_envs))
        while lanes.alive.any():
            lanes.step(lanes.choose(greedy=greedy))
    episodes = lanes.episodes()
    wrote = _wrote(episodes)
    laid = lanes.record.lay_out((len(wanted), wrote.shape[1]))
    seconds = perf_counter() - begin
    return Rollout(episodes, wanted, episodes.tokens, wrote, *laid, seconds, seconds - lanes.clock.seconds)


class _Clock:
    """Adds up the time that is spent inside it."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self._begin = perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += perf_counter() - self._begin


class _Lanes:
    """Which episode stands in which lane of an environment, and how far it has come.

    Attributes:
        alive: ``(B,)`` lanes in which a text is being written; the others rest.
        record: What was drawn and paid so far.
        clock: The time that the model and the draws have taken.
    """

    def __init__(
        self,
        policy: LMPolicy,
        envs: Any,
        wanted: NDArray[np.int64],
        *,
        generator: torch.Generator,
        mask_policy: LMPolicy | None,
        top_p: float,
        lean: bool | None,
    ) -> None:
        self.policy, self.envs, self.base, self.wanted = policy, envs, envs.unwrapped, wanted
        self.generator, self.top_p, size = generator, top_p, envs.num_envs
        prompts, budget = self.base.task.prompts, self.base.task.budget
        self.prompt_width, self.conversation = prompts.width, self.base.task.partner is not None
        self.record, self.clock = _Record(), _Clock()
        with self.clock:  # weights may be packed
            given = np.asarray(prompts.ids[wanted])
            self.writer = Writer(policy, size, given, budget, lean=lean)
            self.masker = None if mask_policy is None else Writer(mask_policy, size, given, budget, lean=lean)
        self.readers = [self.writer] if self.masker is None else [self.writer, self.masker]
        self.fixed = None if policy.legal.dynamic else torch.from_numpy(policy.legal.fixed).to(policy.device)
        self.begun = 0
        self.episode_of = np.full(size, -1)
        self.places = np.zeros(size, dtype=np.int64)
        self.alive = np.zeros(size, dtype=bool)
        self._finished: list[tuple[NDArray[np.int64], EpisodeBatch]] = []

    def restart(self, rows: NDArray[np.int64]) -> None:
        """Begins the next episodes in the first of these rows."""
        episodes = np.arange(self.begun, min(self.begun + len(rows), len(self.wanted)))
        rows = rows[: len(episodes)]
        if not len(rows):
            return
        with self.clock:
            for reader in self.readers:
                reader.begin(rows, episodes)
        mask, indices = np.zeros(len(self.alive), dtype=bool), np.zeros(len(self.alive), dtype=np.int64)
        mask[rows], indices[rows] = True, self.wanted[episodes]
        self.envs.reset(options={"reset_mask": mask, "prompt_index": indices})
        self.alive[rows], self.episode_of[rows], self.places[rows] = True, episodes, 0
        self.begun += len(episodes)

    def choose(self, *, greedy: bool) -> NDArray[np.int64]:
        """``(B,)`` the next token of every lane."""
        with self.clock:
            device, temperature = self.policy.device, self.policy.temperature
            legal = torch.from_numpy(self.base.action_masks()).to(device) if self.fixed is None else self.fixed
            log_probs = masked_log_probs(self.writer.logits, legal, temperature)
            if self.masker is not None:
                likely = masked_log_probs(self.masker.logits, legal, temperature)
                log_probs = masked_log_probs(log_probs, top_p_mask(likely, self.top_p))
            uniforms = torch.rand(len(self.alive), generator=self.generator).to(device)
            chosen = log_probs.argmax(dim=-1) if greedy else draw(log_probs, uniforms)
            self.record.log_probs.append(log_probs.gather(-1, chosen[:, None])[:, 0])
            self.record.values.append(self.policy.values(self.writer.hidden))
            actions: NDArray[np.int64] = chosen.cpu().numpy()
        actions[~self.alive] = RESTS
        return actions

    def step(self, actions: NDArray[np.int64]) -> None:
        """Writes the tokens, reads what has come of it, and begins new episodes where texts have ended."""
        observations, rewards, terminations, _, _ = self.envs.step(actions)
        rows = self.alive.nonzero()[0]
        self.record.add(rows, self.episode_of[rows], self.places[rows], rewards)
        if self.base.last_episodes is not None:
            self._finished.append((self.episode_of[self.base.last_rows], self.base.last_episodes))
        ended = rows[terminations[rows]]
        self.alive[ended] = False
        ids, counts = self._news(actions, observations)
        self.places += counts
        if counts.any():
            with self.clock:
                for reader in self.readers:
                    reader.read(ids, counts)
        if ended.size:
            self.restart(ended)

    def _news(self, actions: NDArray[np.int64], observations: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """What the readers have not read: ``(B, Q)`` right-aligned ids and ``(B,)`` their numbers."""
        if self.conversation:
            completions = tokens_of(observations)[:, self.prompt_width :]
            return _what_is_new(completions, self.policy.vocab_size, self.places, self.alive)
        return np.where(self.alive, actions, 0)[:, None], self.alive.astype(np.int64)

    def episodes(self) -> EpisodeBatch:
        """The finished texts in the order of their prompts."""
        order = np.argsort(np.concatenate([rows for rows, _ in self._finished]), kind="stable")
        return concatenate([batch for _, batch in self._finished]).take(order)


class _Record:
    """What every step drew and was paid, and of which episode it was a part."""

    def __init__(self) -> None:
        self.steps: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = []
        self.log_probs: list[Tensor] = []
        self.values: list[Tensor] = []
        self.rewards: list[NDArray[np.float64]] = []

    def add(
        self,
        rows: NDArray[np.int64],
        episodes: NDArray[np.int64],
        places: NDArray[np.int64],
        rewards: NDArray[np.float64],
    ) -> None:
        """Notes a step: the lanes that wrote, their episodes, the places in these, and the rewards of all lanes."""
        self.steps.append((rows, episodes, places))
        self.rewards.append(rewards)

    def lay_out(self, shape: tuple[int, int]) -> tuple[Floats, Floats, Floats]:
        """``(N, T)`` log-probabilities, values and rewards by episode."""
        rows, episodes, places = (np.concatenate(column) for column in zip(*self.steps, strict=True))
        steps = np.repeat(np.arange(len(self.steps)), [len(step[0]) for step in self.steps])
        columns = (
            torch.stack(self.log_probs).cpu().numpy(),
            torch.stack(self.values).cpu().numpy(),
            np.stack(self.rewards),
        )
        result = [np.zeros(shape, dtype=np.float32) for _ in columns]
        for column, laid in zip(columns, result, strict=True):
            laid[episodes, places] = column[steps, rows]
        return result[0], result[1], result[2]


def _what_is_new(
    completions: NDArray[np.int32], vocab_size: int, places: NDArray[np.int64], alive: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What stands in conversations since ``places``: ``(B, Q)`` right-aligned ids and ``(B,)`` their numbers."""
    lengths = (completions != vocab_size).sum(axis=1)
    counts = np.where(alive, lengths - places, 0)
    width = max(1, int(counts.max()))
    columns = lengths[:, None] + np.arange(-width, 0)
    fresh = columns >= (lengths - counts)[:, None]
    ids = np.take_along_axis(completions, np.where(fresh, columns, 0), axis=1)
    return np.where(fresh, ids, 0).astype(np.int64), counts


def _wrote(episodes: EpisodeBatch) -> NDArray[np.bool_]:
    if episodes.is_agent is not None:
        return episodes.is_agent
    return np.arange(episodes.completion_ids.shape[1]) < episodes.lengths[:, None]
