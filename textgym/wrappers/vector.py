"""The twins of all wrappers for vector environments, in every autoreset mode.

What each does is said at the wrapper for single environments: :mod:`textgym.wrappers.observation`,
:mod:`textgym.wrappers.action`, :mod:`textgym.wrappers.reward`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from textgym.actions import check_actions
from textgym.episodes import EpisodeBatch
from textgym.language_models import LanguageModel
from textgym.observations import (
    base_task,
    check_no_mask,
    last_tokens,
    last_tokens_space,
    one_hot,
    one_hot_space,
    prefix_index,
    prefix_space,
    task_of,
    text_space,
    texts,
)
from textgym.reference_models import Candidates, check_count, reference_over, token_log_probs
from textgym.shaping import Potential, check_number, shaped
from textgym.vector_wrapper import AnyVectorWrapper


class _TokenView(AnyVectorWrapper, ABC):
    """Applies a pure function to token observations, final observations of SAME_STEP included."""

    def __init__(self, env: VectorEnv[Any, Any, Any], space: spaces.Space[Any]) -> None:
        super().__init__(env)
        self._task = task_of(env)
        self._base: Any = env.unwrapped
        self.single_observation_space = space
        self.observation_space = batch_space(space, env.num_envs)

    @abstractmethod
    def view(self, tokens: NDArray[np.int32], prompt_indices: NDArray[np.int64]) -> Any:
        """Turns ``(B, P + T)`` ids into a batch of observations."""

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Resets the environment below."""
        tokens, infos = self.env.reset(seed=seed, options=options)
        return self.view(tokens, self._base.prompt_indices), infos

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Steps the environment below."""
        tokens, rewards, terminations, truncations, infos = self.env.step(actions)
        if "final_obs" in infos:
            self._view_final(infos)
        return self.view(tokens, self._base.prompt_indices), rewards, terminations, truncations, infos

    def _view_final(self, infos: dict[str, Any]) -> None:
        ended = self._base.last_episodes
        last = self.view(np.stack(list(infos["final_obs"][infos["_final_obs"]])), ended.prompt_indices)
        for row, observation in zip(self._base.last_rows.tolist(), last, strict=True):
            infos["final_obs"][row] = observation


class OneHotTokens(_TokenView):
    """Tokens as flat float vectors of zeros and ones, ``(N, (P + T) * (V + 1))``."""

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        super().__init__(env, one_hot_space(task_of(env)))

    def view(self, tokens: NDArray[np.int32], prompt_indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """One float per position and id."""
        return one_hot(tokens, self._task.tokenizer.vocab_size)


class LastTokens(_TokenView):
    """Only the newest ``n`` tokens of prompt and text, ``(N, n)``."""

    def __init__(self, env: VectorEnv[Any, Any, Any], n: int) -> None:
        self._n = n
        super().__init__(env, last_tokens_space(n, task_of(env)))

    def view(self, tokens: NDArray[np.int32], prompt_indices: NDArray[np.int64]) -> NDArray[np.int32]:
        """The windows, left-padded with V."""
        width, size = self._task.prompts.width, self._task.tokenizer.vocab_size
        return last_tokens(tokens, self._n, prompt_width=width, vocab_size=size)


class TextObservation(_TokenView):
    """Prompts and completions so far as strings, a tuple of N."""

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        super().__init__(env, text_space(task_of(env)))

    def view(self, tokens: NDArray[np.int32], prompt_indices: NDArray[np.int64]) -> tuple[str, ...]:
        """``prompt + " " + completion`` for each lane."""
        return texts(tokens, prompt_indices, self._task)


class PrefixState(_TokenView):
    """The numbers of the (prompt, prefix) pairs, ``(N,)``: Discrete states for tabular agents."""

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        super().__init__(env, prefix_space(task_of(env)))

    def view(self, tokens: NDArray[np.int32], prompt_indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Whole numbers; equal exactly for equal prompts and prefixes."""
        return prefix_index(tokens, prompt_indices, self._task)


# ---- actions ------------------------------------------------------------------------------------------------------


class CandidateActions(AnyVectorWrapper):
    """``Discrete(k)`` in each lane: action i writes the token that a language model finds i-th likeliest there.

    ``infos["candidates"]``, ``(N, k)``, says which ids they are; ``infos["action_mask"]`` and :meth:`action_masks`
    which of them are legal.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], reference: LanguageModel | str | Path, k: int) -> None:
        super().__init__(env)
        task = base_task(env)
        check_no_mask(env.single_observation_space)
        vocab_size = task.tokenizer.vocab_size
        model = reference_over(reference, vocab_size)
        self.single_action_space = spaces.Discrete(check_count(k, vocab_size))
        self.action_space = batch_space(self.single_action_space, env.num_envs)
        self._candidates = Candidates(model, k=int(k), eos_id=task.tokenizer.eos_ids[0])
        self._base: Any = env.unwrapped
        self._next_step = env.metadata.get("autoreset_mode") is AutoresetMode.NEXT_STEP

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Resets the environment below."""
        observations, infos = self.env.reset(seed=seed, options=options)
        mask = (options or {}).get("reset_mask")
        lanes = np.ones(self.num_envs, dtype=bool) if mask is None else np.asarray(mask)
        self._update()
        return observations, {**infos, **_told(self._candidates.info(), lanes)}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Writes the candidate of this number in each lane.

        Raises:
            ActionError: for actions of a wrong shape, type or range; nothing has changed then.
        """
        self._update()
        restart = np.flatnonzero(self._base.over) if self._next_step else np.zeros(0, dtype=np.int64)
        numbers = check_actions(actions, np.zeros(self.num_envs, dtype=bool), restart, self._candidates.k)
        numbers[restart] = 0
        tokens = self._candidates.ids[np.arange(self.num_envs), numbers]
        observations, rewards, terminations, truncations, infos = self.env.step(tokens)
        self._update()
        infos = {**infos, **_told(self._candidates.info(), np.ones(self.num_envs, dtype=bool))}
        if "final_info" in infos:
            infos["final_info"] = {**infos["final_info"], **self._told_at_the_end(infos["_final_info"])}
        return observations, rewards, terminations, truncations, infos

    def action_masks(self) -> NDArray[np.bool_]:
        """``(N, k)`` a fresh array, True where the candidate may be written."""
        self._update()
        return self._candidates.masks.copy()

    def _update(self) -> None:
        base = self._base
        self._candidates.update(base.present_episodes.tokens, base.action_masks(), base.over)

    def _told_at_the_end(self, ended: NDArray[np.bool_]) -> dict[str, Any]:
        """SAME_STEP: what is said of the texts that have ended, where there is nothing to choose."""
        shape, eos_id = self._candidates.ids.shape, self._candidates.eos_id
        nothing = {"candidates": np.full(shape, eos_id), "action_mask": np.ones(shape, dtype=np.int8)}
        return _told(nothing, ended)


def _told(info: dict[str, NDArray[Any]], lanes: NDArray[np.bool_]) -> dict[str, Any]:
    """The arrays in these lanes, zeros in the others, with Gymnasium's masks."""
    for values in info.values():
        values[~lanes] = 0
    return {**info, **{f"_{name}": lanes.copy() for name in info}}


# ---- rewards ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Step:
    """One step of all N lanes.

    Attributes:
        before: The texts before the step.
        masks: ``(N, V)`` what was legal then.
        after: The texts after the step; of lanes that began anew in the same step the new ones.
        written: ``(N,)`` the ids that were written; V where none was.
        ended: ``(N,)`` whose text ended.
    """

    before: EpisodeBatch
    masks: NDArray[np.bool_]
    after: EpisodeBatch
    written: NDArray[np.int64]
    ended: NDArray[np.bool_]


class _Paying(AnyVectorWrapper, ABC):
    """Passes the rewards of each step through :meth:`pay`, but for lanes that began anew and wrote nothing."""

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        super().__init__(env)
        self._task = base_task(env)
        self._base: Any = env.unwrapped

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Steps the environment below."""
        base = self._base
        before, masks, waiting = base.present_episodes, base.action_masks(), base.over
        observations, rewards, terminations, truncations, infos = self.env.step(actions)
        after = base.present_episodes
        written = np.where(waiting, self._task.tokenizer.vocab_size, self._written(before, after))
        paid = self.pay(rewards, _Step(before, masks, after, written, terminations))
        return observations, np.where(waiting, rewards, paid), terminations, truncations, infos

    def _written(self, before: EpisodeBatch, after: EpisodeBatch) -> NDArray[np.int64]:
        """``(N,)`` the ids in the place where each text went on."""
        columns = np.minimum(before.prompts.width + before.lengths, before.tokens.shape[1] - 1)
        written = after.tokens[np.arange(self.num_envs), columns].astype(np.int64)
        ended: EpisodeBatch | None = self._base.last_episodes
        if ended is not None:  # in SAME_STEP mode other texts stand there by now
            rows = self._base.last_rows
            written[rows] = ended.tokens[np.arange(len(rows)), columns[rows]]
        return written

    @abstractmethod
    def pay(self, rewards: NDArray[np.float64], step: _Step) -> NDArray[np.float64]:
        """Turns the rewards of a step ``(N,)`` into others."""


class ReferenceLogProb(_Paying):
    """Adds ``beta * log pi_ref(token)`` to the reward of every token."""

    def __init__(self, env: VectorEnv[Any, Any, Any], reference: LanguageModel | str | Path, beta: float) -> None:
        super().__init__(env)
        self._model = reference_over(reference, self._task.tokenizer.vocab_size)
        self._beta = check_number("beta", beta)

    def pay(self, rewards: NDArray[np.float64], step: _Step) -> NDArray[np.float64]:
        """Adds beta times the tokens' log-probabilities."""
        rows = np.flatnonzero(step.written < self._task.tokenizer.vocab_size)
        added = np.zeros(self.num_envs)
        if rows.size:
            tokens = step.before.tokens[rows]
            added[rows] = token_log_probs(self._model, tokens, step.masks[rows], step.written[rows])
        return rewards + self._beta * added


class PotentialShaping(_Paying):
    """Adds ``discount * potential(text after) - potential(text before)``; an ended text has potential 0."""

    def __init__(self, env: VectorEnv[Any, Any, Any], potential: Any, discount: float) -> None:
        super().__init__(env)
        self._potential = Potential(potential, self._task.level)
        self._discount = check_number("discount", discount, least=0.0, greatest=1.0)

    def pay(self, rewards: NDArray[np.float64], step: _Step) -> NDArray[np.float64]:
        """Adds the differences of the potentials."""
        before = self._potential(step.before, step.written < self._task.tokenizer.vocab_size)
        return shaped(rewards, before, self._potential(step.after, ~step.ended), discount=self._discount)


class TokenCost(_Paying):
    """Takes a fixed cost off the reward of every token that the agent writes."""

    def __init__(self, env: VectorEnv[Any, Any, Any], cost: float) -> None:
        super().__init__(env)
        self._cost = check_number("cost", cost)

    def pay(self, rewards: NDArray[np.float64], step: _Step) -> NDArray[np.float64]:
        """Takes off the cost."""
        return rewards - self._cost
