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


class _Record:
    """What every step drew and was paid, and of which episode it was a part."""

    def __init__(self) -> None:
        self.rows: list[NDArray[np.int64]] = []
        self.episodes: list[NDArray[np.int64]] = []
        self.places: list[NDArray[np.int64]] = []
        self.log_probs: list[Tensor] = []
        self.values: list[Tensor] = []
        self.rewards: list[NDArray[np.float64]] = []

    def lay_out(self, shape: tuple[int, int]) -> tuple[Floats, Floats, Floats]:
        """``(N, T)`` log-probabilities, values and rewards by episode."""
        rows = np.concatenate(self.rows)
        steps = np.repeat(np.arange(len(self.rows)), [len(part) for part in self.rows])
        at = np.concatenate(self.episodes), np.concatenate(self.places)
        columns = (
            torch.stack(self.log_probs).cpu().numpy(),
            torch.stack(self.values).cpu().numpy(),
            np.stack(self.rewards),
        )
        result = [np.zeros(shape, dtype=np.float32) for _ in columns]
        for column, laid in zip(columns, result, strict=True):
            laid[at] = column[steps, rows]
        return result[0], result[1], result[2]


@torch.inference_mode()
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
    base, lanes = envs.unwrapped, envs.num_envs
    prompts = base.task.prompts
    wanted = np.asarray(prompt_indices, dtype=np.int64)
    policy.eval()
    device = policy.device
    left, budget = np.asarray(prompts.ids[wanted]), base.task.budget
    before = perf_counter()
    writer = Writer(policy, lanes, left, budget, lean=lean)
    masker = None if mask_policy is None else Writer(mask_policy, lanes, left, budget, lean=lean)
    writers = [writer] if masker is None else [writer, masker]
    inside = perf_counter() - before  # weights may have been packed
    begun = 0
    conversation = base.task.partner is not None
    fixed = None if policy.legal.dynamic else torch.from_numpy(policy.legal.fixed).to(device)
    record, finished = _Record(), []
    episode_of = np.full(lanes, -1)
    places = np.zeros(lanes, dtype=np.int64)
    alive = np.zeros(lanes, dtype=bool)

    def restart(rows: NDArray[np.int64]) -> None:
        """Begins the next episodes in the first of these rows."""
        nonlocal begun, inside
        episodes = np.arange(begun, min(begun + len(rows), len(wanted)))
        begun, rows = begun + len(episodes), rows[: len(episodes)]
        if len(rows):
            before = perf_counter()
            for reader in writers:
                reader.begin(rows, episodes)
            inside += perf_counter() - before
            mask, indices = np.zeros(lanes, dtype=bool), np.zeros(lanes, dtype=np.int64)
            mask[rows], indices[rows] = True, wanted[episodes]
            envs.reset(options={"reset_mask": mask, "prompt_index": indices})
            alive[rows], episode_of[rows], places[rows] = True, episodes, 0

    restart(np.arange(lanes))
    while alive.any():
        before = perf_counter()
        legal = torch.from_numpy(base.action_masks()).to(device) if fixed is None else fixed
        log_probs = masked_log_probs(writer.logits, legal, policy.temperature)
        if masker is not None:
            likely = masked_log_probs(masker.logits, legal, policy.temperature)
            log_probs = masked_log_probs(log_probs, top_p_mask(likely, top_p))
        uniforms = torch.rand(lanes, generator=generator).to(device)
        chosen = log_probs.argmax(dim=-1) if greedy else draw(log_probs, uniforms)
        record.log_probs.append(log_probs.gather(-1, chosen[:, None])[:, 0])
        record.values.append(policy.values(writer.hidden))
        actions = chosen.cpu().numpy()
        inside += perf_counter() - before
        actions[~alive] = RESTS
        observations, rewards, terminations, _, _ = envs.step(actions)
        rows = alive.nonzero()[0]
        record.rows.append(rows)
        record.episodes.append(episode_of[rows])
        record.places.append(places[rows])
        record.rewards.append(rewards)
        if base.last_episodes is not None:
            finished.append((episode_of[base.last_rows], base.last_episodes))
        ended = rows[terminations[rows]]
        alive[ended] = False
        if conversation:
            ids, counts = _news(tokens_of(observations), policy.vocab_size, prompts.width, places, alive)
        else:
            ids, counts = np.where(alive, actions, 0)[:, None], alive.astype(np.int64)
        places += counts
        if counts.any():
            before = perf_counter()
            for reader in writers:
                reader.read(ids, counts)
            inside += perf_counter() - before
        if ended.size:
            restart(ended)
    order = np.argsort(np.concatenate([rows for rows, _ in finished]), kind="stable")
    episodes = concatenate([batch for _, batch in finished]).take(order)
    wrote = _wrote(episodes)
    laid = record.lay_out((len(wanted), wrote.shape[1]))
    seconds = perf_counter() - begin
    return Rollout(episodes, wanted, episodes.tokens, wrote, *laid, seconds, seconds - inside)


def _news(
    tokens: NDArray[np.int32], vocab_size: int, prompt_width: int, places: NDArray[np.int64], alive: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What stands in conversations since ``places``: ``(B, Q)`` right-aligned ids and ``(B,)`` their numbers."""
    completions = tokens[:, prompt_width:]
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
