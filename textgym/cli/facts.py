"""What ``textgym info`` and the pages of the documentation say of an environment, as plain data."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from gymnasium import spaces

from textgym.configuration import EnvConfig
from textgym.env import TextGenerationEnv
from textgym.episodes import Prompt, Score
from textgym.errors import ConfigurationError, RewardError, TaskError, TextGymError
from textgym.exact import solve
from textgym.factory import EnvFactory
from textgym.keys import spawn_seed
from textgym.playing import speak
from textgym.task import Task

SECONDS = 5.0
"""The most that a solution may take where a task does not state its returns."""


def open_env(factory: EnvFactory) -> TextGenerationEnv:
    """One environment without its wrappers.

    Raises:
        ConfigurationError: for an id that is not one of textgym's.
    """
    base = factory.single().unwrapped
    if not isinstance(base, TextGenerationEnv):
        raise ConfigurationError(f"{factory.env_id!r} is not a textgym environment; `textgym list` shows which are")
    return base


def describe(factory: EnvFactory, *, max_seconds: float = SECONDS) -> dict[str, Any]:
    """All that is worth knowing of an environment; nothing but what JSON can hold.

    Args:
        factory: Makes it.
        max_seconds: Most time for the exact solution of what the task does not state.
    """
    env = open_env(factory)
    config, task = env.config, env.config.task
    solver = _Solver(env, max_seconds)
    return {
        "id": factory.env_id,
        "task": task.name,
        "summary": task.summary,
        "level": task.level,
        "levels": list(task.levels),
        "tags": list(task.tags),
        "overridden": sorted(task.overridden),
        "action_space": describe_space(env.action_space),
        "observation": config.observation,
        "observation_space": describe_space(env.observation_space),
        "vocabulary": task.tokenizer.vocab_size,
        "prompt_tokens": task.prompts.width,
        "max_new_tokens": task.budget,
        "mask": _describe_mask(env),
        "split": config.split,
        "prompts": {split: len(task.prompts.rows(split)) for split in task.prompts.splits},
        "reward": {**_describe_score(task.reward), "timing": config.reward_timing},
        "gold": None if task.gold is None else _describe_score(task.gold),
        "success": task.success is not None,
        "illegal_reward": config.scorer().illegal_reward,
        "turns": task.turns,
        "ends": [*(["eos"] if task.partner is None else []), *(["stop"] if task.stop else []), "length", "illegal"],
        **_describe_returns(config, solver),
        **_describe_examples(env, solver),
    }


def describe_space(space: spaces.Space[Any]) -> str:
    """A space in one short line.

    Example:
        >>> describe_space(spaces.MultiDiscrete([5] * 7)), describe_space(spaces.Discrete(3))
        ('MultiDiscrete([5] * 7)', 'Discrete(3)')
    """
    if isinstance(space, spaces.MultiDiscrete) and len(set(space.nvec.tolist())) == 1:
        return f"MultiDiscrete([{space.nvec[0]}] * {len(space.nvec)})"
    if isinstance(space, spaces.Dict):
        return f"Dict({', '.join(f'{name}: {describe_space(part)}' for name, part in space.items())})"
    if isinstance(space, spaces.Text):
        return f"Text({space.min_length} to {space.max_length} of {len(space.character_set)} characters)"
    return str(space)


def step_through(env: TextGenerationEnv, prompt_index: int, text: str) -> dict[str, Any]:
    """Steps a text through an environment: what it earns, token by token, and its true score where there is one."""
    return _play(env, prompt_index, partial(next, iter(env.task.encode_completion(text))))


def converse(env: TextGenerationEnv, prompt_index: int) -> dict[str, Any]:
    """Lets the oracle have a conversation, turn by turn, and says the same of it as :func:`step_through`."""
    talk = EnvFactory("TextGen-v0", {"task": env.task, "split": env.config.split})
    batch, _ = speak(env.task.best_turn, talk, prompt_indices=[prompt_index])
    assert batch.is_agent is not None
    said = batch.completion_ids[0, batch.is_agent[0]].tolist()
    return _play(env, prompt_index, partial(next, iter(said)))


def _play(env: TextGenerationEnv, prompt_index: int, choose: Callable[[], int]) -> dict[str, Any]:
    env.reset(seed=0, options={"prompt_index": prompt_index})
    rewards: list[float] = []
    over = False
    while not over:
        _, reward, over, _, info = env.step(choose())
        replied = int(env.present_episodes.lengths[0]) - len(rewards) - 1
        rewards += [reward, *[0.0] * replied]  # a partner's tokens earn nothing
    batch: Any = env.last_episodes
    gold = batch.gold()
    return {
        "prompt": info["prompt"],
        "text": info["completion"],
        "tokens": [env.task.tokenizer.tokens[token] for token in batch.ids(0)],
        "token_rewards": rewards,
        "reward": sum(rewards),
        "gold": None if gold is None else float(gold[0]),
        "stop_reason": info["stop_reason"],
    }


def _describe_mask(env: TextGenerationEnv) -> dict[str, Any]:
    env.reset(seed=0)
    return {
        "legal_at_first": int(env.action_masks().sum()),
        "fixed": all(rule.static for rule in env.task.constraints),
        "in_info": env.config.include_mask,
    }


def _describe_score(score: Score) -> dict[str, Any]:
    """A score's name and the ends of its range, None where it is not bounded."""
    low, high = getattr(score, "range", (-math.inf, math.inf))
    named = getattr(score, "f", score)  # PerText(f) goes by the name of its function
    return {
        "name": str(getattr(named, "__name__", type(score).__name__)),
        "range": [float(end) if math.isfinite(end) else None for end in (low, high)],
        "stochastic": bool(getattr(score, "stochastic", False)),
    }


class _Solver:
    """Solves an environment for reward or gold when somebody asks, once; remembers why it cannot."""

    def __init__(self, env: TextGenerationEnv, max_seconds: float) -> None:
        self.env, self.max_seconds = env, max_seconds
        self._answers: dict[str, Any] = {}

    def __call__(self, kind: str) -> Any:
        """The solution, or a TextGymError that says why there is none."""
        if kind not in self._answers:
            try:
                self._answers[kind] = solve(self.env, kind=kind, max_seconds=self.max_seconds)
            except TextGymError as error:
                self._answers[kind] = error
        return self._answers[kind]


def _describe_returns(config: EnvConfig, solver: _Solver) -> dict[str, Any]:
    """Random, blind and best return of each split and kind as far as they are known, else the reasons."""
    task = config.task
    known: list[dict[str, Any]] = []
    unknown: dict[str, str] = {}
    for kind in ("reward", "gold") if task.gold is not None else ("reward",):
        for split in dict.fromkeys([config.split, *task.prompts.splits]):
            try:
                returns = task.returns(split, kind)
            except TaskError as error:
                if split == config.split:
                    found, reason = _solved_returns(solver(kind))
                    known += [{"split": split, "kind": kind, **found}] if found else []
                    unknown |= {kind: f"{error}; {reason}"} if reason else {}
                continue
            values = {name: getattr(returns, name) for name in ("random", "blind", "best")}
            known.append({"split": split, "kind": kind, **values, "inexact": list(returns.inexact)})
    return {"returns": known, "unknown_returns": unknown}


def _solved_returns(solution: Any) -> tuple[dict[str, Any] | None, str | None]:
    """What a solution says of the returns, and what it cannot say."""
    if isinstance(solution, TextGymError):
        return None, str(solution)
    try:
        returns = solution.returns
    except TextGymError as error:  # an automaton knows the best alone
        return {"random": None, "blind": None, "best": solution.optimal_return, "inexact": []}, str(error)
    return {"random": returns.random, "blind": returns.blind, "best": returns.best, "inexact": []}, None


def _describe_examples(env: TextGenerationEnv, solver: _Solver) -> dict[str, Any]:
    """An example prompt, a best text for it, and a demonstration; None where there is no such text."""
    task, row = env.task, int(env.task.prompts.rows(env.config.split)[0])
    prompt, demonstration = task.prompts.prompts[row], None
    if task.partner is not None:
        best_talk = None if task.make_oracle is None else converse(env, row)
        kind = "reward" if task.gold is None else "gold"
        return {"example": {"prompt": prompt.text, "best_under": kind, "best": best_talk, "demonstration": None}}
    kind, best = _find_best(task, prompt, solver)
    if task.make_demonstration is not None:
        rng = np.random.default_rng(spawn_seed(0, "demonstration", task.name, task.level))
        demonstration = task.demonstrate(prompt, rng)
    texts = {"best": best, "demonstration": demonstration}
    written = {what: None if text is None else _attempt(env, row, text) for what, text in texts.items()}
    return {"example": {"prompt": prompt.text, "best_under": kind, **written}}


def _find_best(task: Task, prompt: Prompt, solver: _Solver) -> tuple[str, str | None]:
    """The best text under gold, else under the reward: which of them, and the text as far as it is known."""
    kinds = ["reward"] if task.gold is None else ["gold", "reward"]
    if task.make_oracle is not None:
        return kinds[0], task.best_text(prompt)
    for kind in kinds:
        solution = solver(kind)
        if not isinstance(solution, TextGymError):
            return kind, solution.optimal_texts[prompt.text][0]
    return kinds[0], None


def _attempt(env: TextGenerationEnv, prompt_index: int, text: str) -> dict[str, Any] | None:
    try:
        return step_through(env, prompt_index, text)
    except RewardError:  # why it fails is said where the returns are
        return None
