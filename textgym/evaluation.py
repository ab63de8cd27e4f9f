"""Evaluation: what an agent earns, said with all that is needed to believe it.

Episode i of an evaluation is the first episode of lane i, so that short texts are not favoured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from textgym.episodes import STOP_REASONS, EpisodeBatch
from textgym.errors import ConfigurationError, TaskError
from textgym.factory import EnvFactory, as_factory
from textgym.task import Task

Act = Callable[..., NDArray[np.int64]]

LANES = 256


@dataclass(frozen=True)
class Evaluation:
    """What was measured; arrays have one entry an episode.

    Attributes:
        returns: ``(N,)`` returns.
        golds: ``(N,)`` true scores; None where the task has none.
        successes: ``(N,)`` whether the task was solved; None where that is not defined.
        lengths: ``(N,)`` tokens written, end ids included.
        stop_reasons: How many texts ended for which reason.
        texts: For each episode its prompt, completion, reward and gold.
        normalized: Mean return on the scale random = 0, best = 1; None where those are not known.
        normalized_gold: The same for gold.
        why_not_normalized: The reason where ``normalized`` is None.
        regret: Best return minus mean return; None where the best is not known.
        deterministic: Whether the agent played greedily.
    """

    returns: NDArray[np.float64]
    golds: NDArray[np.float64] | None
    successes: NDArray[np.bool_] | None
    lengths: NDArray[np.int64]
    stop_reasons: dict[str, int]
    texts: list[dict[str, Any]]
    normalized: float | None
    normalized_gold: float | None
    why_not_normalized: str | None
    regret: float | None
    deterministic: bool

    @property
    def mean_return(self) -> float:
        """Mean of the returns."""
        return float(self.returns.mean())

    @property
    def standard_error(self) -> float:
        """Standard error of the mean return; 0.0 for a single episode."""
        return _standard_error(self.returns)

    @property
    def mean_gold(self) -> float | None:
        """Mean true score."""
        return None if self.golds is None else float(self.golds.mean())

    @property
    def gold_standard_error(self) -> float | None:
        """Standard error of the mean true score."""
        return None if self.golds is None else _standard_error(self.golds)


def _standard_error(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def play(
    agent_or_act: Any,
    env: str | EnvFactory,
    *,
    episodes: int,
    seed: int = 0,
    deterministic: bool = True,
    prompt_indices: Sequence[int] | NDArray[np.int64] | None = None,
    **kwargs: Any,
) -> tuple[EpisodeBatch, NDArray[np.float64]]:
    """Lets an agent write one text in each of ``episodes`` lanes.

    Args:
        agent_or_act: An agent with ``act``, or such a function itself.
        env: An env id or factory.
        episodes: Number of texts.
        seed: Lane i is seeded with seed + i; an agent's ``seed_sampling(seed)`` is called where it has one.
        deterministic: Greedy play; False samples.
        prompt_indices: The prompt of each episode; by default drawn by the environment.
        **kwargs: Further arguments of the environment, such as ``split="test"``.

    Returns:
        The finished texts and their returns ``(N,)``, in lane order.

    Raises:
        ConfigurationError: for what is no agent, or an action array of a wrong shape or type.
    """
    if isinstance(episodes, bool) or not isinstance(episodes, int | np.integer) or episodes < 1:
        raise ConfigurationError(f"episodes={episodes!r}: expected a whole number of at least 1")
    factory, act = as_factory(env, **kwargs), _act_of(agent_or_act)
    if hasattr(agent_or_act, "seed_sampling"):
        agent_or_act.seed_sampling(seed)
    batches, returns = [], []
    for start in range(0, episodes, LANES):
        size = min(LANES, episodes - start)
        chosen = None if prompt_indices is None else np.asarray(prompt_indices[start : start + size])
        envs = factory.vector(size, autoreset_mode=AutoresetMode.NEXT_STEP)
        try:
            batch, earned = _first_episodes(act, envs, seed + start, deterministic, chosen)
        finally:
            envs.close()
        batches.append(batch)
        returns.append(earned)
    return concatenate(batches), np.concatenate(returns)


class FirstEpisodes:
    """Collects the first episode of each lane.

    Attributes:
        waiting: ``(N,)`` lanes whose first text has not ended yet.
    """

    def __init__(self, lanes: int) -> None:
        self.waiting = np.ones(lanes, dtype=bool)
        self._rows: list[NDArray[np.int64]] = []
        self._batches: list[EpisodeBatch] = []
        self._returns: list[NDArray[np.float64]] = []

    def collect(self, envs: Any) -> None:
        """Takes what ended in the latest step of an unwrapped vector environment."""
        if envs.last_episodes is not None:
            first = self.waiting[envs.last_rows]
            self._rows.append(envs.last_rows[first])
            self._batches.append(envs.last_episodes.take(first))
            self._returns.append(envs.last_returns[first])
            self.waiting[envs.last_rows] = False

    def result(self) -> tuple[EpisodeBatch, NDArray[np.float64]]:
        """The texts and their returns ``(N,)``, in lane order."""
        order = np.argsort(np.concatenate(self._rows), kind="stable")
        return concatenate(self._batches).take(order), np.concatenate(self._returns)[order]


def _first_episodes(
    act: Act, envs: Any, seed: int, deterministic: bool, prompts: NDArray[np.int64] | None
) -> tuple[EpisodeBatch, NDArray[np.float64]]:
    base = envs.unwrapped
    observations, _ = envs.reset(seed=seed, options=None if prompts is None else {"prompt_index": prompts})
    starts, first = np.ones(envs.num_envs, dtype=bool), FirstEpisodes(envs.num_envs)
    while first.waiting.any():
        actions = act(observations, base.action_masks(), deterministic=deterministic, episode_starts=starts)
        observations, _, terminations, truncations, _ = envs.step(_check_actions(actions, envs.num_envs))
        starts = terminations | truncations
        first.collect(base)
    return first.result()


def _act_of(agent: Any) -> Act:
    """The function that chooses actions: ``agent.act``, the agent itself, or the ``predict`` of an SB3 model."""
    if isinstance(agent, type | str):
        raise ConfigurationError(f"{agent!r} is no agent yet; make one, for example with make_agent('q_learning')")
    if hasattr(agent, "act"):
        return agent.act
    if hasattr(agent, "predict"):

        def predict(observations: Any, masks: Any, *, deterministic: bool, episode_starts: Any) -> NDArray[np.int64]:
            return agent.predict(observations, deterministic=deterministic)[0]

        return predict
    if not callable(agent):
        raise ConfigurationError(
            f"{agent!r}: expected an agent with act(observations, action_masks, *, deterministic, episode_starts), "
            "such a function, or a stable-baselines3 model"
        )
    return agent


def _check_actions(actions: Any, count: int) -> NDArray[np.int64]:
    array = np.asarray(actions)
    if array.shape != (count,) or array.dtype.kind not in "iu":
        what = f"shape {array.shape} of type {array.dtype} for {count} observations"
        raise ConfigurationError(f"act() returned {what}; expected one token id each")
    return array


def concatenate(batches: Sequence[EpisodeBatch]) -> EpisodeBatch:
    """One batch of all rows; the batches share a prompt table and a tokenizer."""
    first = batches[0]
    if len(batches) == 1:
        return first
    return EpisodeBatch(
        np.concatenate([batch.tokens for batch in batches]),
        np.concatenate([batch.lengths for batch in batches]),
        np.concatenate([batch.stop_codes for batch in batches]),
        np.concatenate([batch.keys for batch in batches]),
        np.concatenate([batch.prompt_indices for batch in batches]),
        first.prompts,
        first.tokenizer,
        gold=first._gold,
        success=first._success,
    )


def evaluate(
    agent_or_act: Any,
    env: str | EnvFactory,
    *,
    episodes: int = 100,
    seed: int = 0,
    deterministic: bool = True,
    **kwargs: Any,
) -> Evaluation:
    """Measures an agent under reward and, where there is one, the true score.

    Where there are at least as many episodes as prompts, the prompts take turns, so that all weigh the
    same, as they do in the random and best returns; otherwise the environment draws them.

    Args:
        agent_or_act: An agent with ``act``, such a function itself, or a stable-baselines3 model.
        env: An env id or factory.
        episodes: Number of texts; episode i is the first episode of the lane seeded seed + i.
        seed: Seed of lane 0.
        deterministic: Greedy play; False samples.
        **kwargs: Further arguments of the environment, such as ``split="test"``.

    Raises:
        ConfigurationError: for what is no agent, or an action array of a wrong shape or type.

    Example:
        >>> from textgym.agents.registry import make_agent
        >>> evaluate(make_agent("uniform"), "TextGen-v0", episodes=40).lengths.shape
        (40,)
    """
    factory = as_factory(env, **kwargs)
    task = factory.task()
    split = factory.kwargs.get("split")
    rows = task.prompts.rows(split or task.default_split)
    batch, returns = play(
        agent_or_act,
        factory,
        episodes=episodes,
        seed=seed,
        deterministic=deterministic,
        prompt_indices=np.resize(rows, episodes) if episodes >= len(rows) else None,
    )
    golds = batch.gold()
    normalized, why_not = _normalized(task, returns, split, "reward")
    normalized_gold = None if golds is None else _normalized(task, golds, split, "gold")[0]
    return Evaluation(
        returns=returns,
        golds=golds,
        successes=batch.success(),
        lengths=batch.lengths,
        stop_reasons=dict(Counter(str(STOP_REASONS[code]) for code in batch.stop_codes.tolist())),
        texts=describe(batch, returns),
        normalized=normalized,
        normalized_gold=normalized_gold,
        why_not_normalized=why_not,
        regret=None if normalized is None else task.returns(split).best - float(returns.mean()),
        deterministic=deterministic,
    )


def _normalized(
    task: Task, values: NDArray[np.float64], split: str | None, kind: str
) -> tuple[float | None, str | None]:
    try:
        return task.returns(split, kind).normalize(float(values.mean())), None
    except TaskError as error:
        return None, str(error)


def describe(batch: EpisodeBatch, returns: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Each text as a dict with its prompt, completion, reward and gold (None where there is none)."""
    golds = batch.gold()
    scores: list[float | None] = [None] * len(batch) if golds is None else golds.tolist()
    rows = zip(batch.prompt_texts, batch.completions, returns.tolist(), scores, strict=True)
    return [{"prompt": p, "completion": c, "reward": reward, "gold": gold} for p, c, reward, gold in rows]


def normalized_score(env: str | EnvFactory, value: float, **kwargs: Any) -> float:
    """Puts a mean return on the scale where random play is 0 and the best text 1.

    Raises:
        TaskError: where those are not known, saying why.
    """
    factory = as_factory(env, **kwargs)
    return factory.task().returns(factory.kwargs.get("split")).normalize(value)
