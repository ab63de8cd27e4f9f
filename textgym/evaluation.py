"""Evaluation: what an agent earns, said with all that is needed to believe it.

Episode i of an evaluation is the first episode of lane i, so that short texts are not favoured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

import textgym.registration  # noqa: F401 - ids must be known in worker processes too
from textgym.episodes import STOP_REASONS, EpisodeBatch
from textgym.errors import ConfigurationError, PromptError, TaskError
from textgym.task import Task

Act = Callable[..., NDArray[np.int64]]

LANES = 256


@dataclass(frozen=True)
class EnvFactory:
    """Makes environments of one kind: wherever an env id is accepted, so is a factory.

    Attributes:
        env_id: A registered id.
        kwargs: Arguments for ``gym.make``.

    Example:
        >>> envs = EnvFactory("TextGen-v0", {"level": "tiny"}).vector(4)
        >>> envs.num_envs
        4
    """

    env_id: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def single(self, **extra: Any) -> gym.Env[Any, Any]:
        """One environment; ``extra`` overrides ``kwargs``."""
        return gym.make(self.env_id, **{**self.kwargs, **extra})

    def vector(self, num_envs: int, **extra: Any) -> gym.vector.VectorEnv[Any, Any, Any]:
        """A native vector environment; ``extra`` overrides ``kwargs``."""
        return gym.make_vec(self.env_id, num_envs=num_envs, **{**self.kwargs, **extra})

    def task(self) -> Task:
        """The task with all overrides."""
        task: Task = self.single().unwrapped.task  # type: ignore[attr-defined]
        return task


def as_factory(env: str | EnvFactory, **kwargs: Any) -> EnvFactory:
    """Turns an env id or a factory, with further arguments, into a factory."""
    if isinstance(env, str):
        return EnvFactory(env, kwargs)
    if not hasattr(env, "vector") or not hasattr(env, "kwargs"):
        raise ConfigurationError(f"{env!r}: expected an env id such as 'TextGen-v0', or an EnvFactory")
    return replace(env, kwargs={**env.kwargs, **kwargs}) if kwargs else env


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
        seed: Lane i is seeded with seed + i.
        deterministic: Greedy play; False samples.
        prompt_indices: The prompt of each episode; by default drawn by the environment.
        **kwargs: Further arguments of the environment, such as ``split="test"``.

    Returns:
        The finished texts and their returns ``(N,)``, in lane order.
    """
    if episodes < 1:
        raise ConfigurationError(f"episodes={episodes!r}: expected at least 1")
    factory = as_factory(env, **kwargs)
    batches, returns = [], []
    for start in range(0, episodes, LANES):
        size = min(LANES, episodes - start)
        chosen = None if prompt_indices is None else np.asarray(prompt_indices[start : start + size])
        envs = factory.vector(size, autoreset_mode=AutoresetMode.NEXT_STEP)
        try:
            batch, earned = _first_episodes(agent_or_act, envs, seed + start, deterministic, chosen)
        finally:
            envs.close()
        batches.append(batch)
        returns.append(earned)
    return _concatenate(batches), np.concatenate(returns)


def _first_episodes(
    agent_or_act: Any, envs: Any, seed: int, deterministic: bool, prompts: NDArray[np.int64] | None
) -> tuple[EpisodeBatch, NDArray[np.float64]]:
    act: Act = getattr(agent_or_act, "act", agent_or_act)
    base = envs.unwrapped
    observations, _ = envs.reset(seed=seed, options=None if prompts is None else {"prompt_index": prompts})
    starts = np.ones(envs.num_envs, dtype=bool)
    waiting = np.ones(envs.num_envs, dtype=bool)
    rows, batches, returns = [], [], []
    while waiting.any():
        actions = act(observations, base.action_masks(), deterministic=deterministic, episode_starts=starts)
        actions = _check_actions(actions, envs.num_envs)
        observations, _, terminations, truncations, _ = envs.step(actions)
        starts = terminations | truncations
        if base.last_episodes is not None:
            first = waiting[base.last_rows]
            rows.append(base.last_rows[first])
            batches.append(base.last_episodes.take(first))
            returns.append(base.last_returns[first])
            waiting[base.last_rows] = False
    order = np.argsort(np.concatenate(rows), kind="stable")
    return _concatenate(batches).take(order), np.concatenate(returns)[order]


def _check_actions(actions: Any, count: int) -> NDArray[np.int64]:
    array = np.asarray(actions)
    if array.shape != (count,) or array.dtype.kind not in "iu":
        raise ConfigurationError(
            f"act() returned shape {array.shape} of type {array.dtype} for {count} observations; "
            "expected one token id each"
        )
    return array


def _concatenate(batches: Sequence[EpisodeBatch]) -> EpisodeBatch:
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
        agent_or_act: An agent with ``act``, or such a function itself.
        env: An env id or factory.
        episodes: Number of texts; episode i is the first episode of the lane seeded seed + i.
        seed: Seed of lane 0.
        deterministic: Greedy play; False samples.
        **kwargs: Further arguments of the environment, such as ``split="test"``.
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


def score(
    env: str | EnvFactory, prompts: Sequence[str], completions: Sequence[str | Sequence[int]], **kwargs: Any
) -> NDArray[np.float64]:
    """The rewards that stepping through these completions would earn.

    Args:
        env: An env id or factory.
        prompts: One of the task's prompts (any split) for each completion.
        completions: Texts, or token ids; a text stands for its tokens and the end id, as far as the
            budget has room.
        **kwargs: Further arguments of the environment.

    Returns:
        ``(B,)`` rewards; an illegal id ends the text there, as it would in the environment.

    Example:
        >>> bool(score("TextGen-v0", ["praise the movie"], ["was great"])[0] > 0)
        True
    """
    factory = as_factory(env, **{**kwargs, "split": "all"})
    if len(prompts) != len(completions):
        raise ConfigurationError(f"{len(prompts)} prompts and {len(completions)} completions: expected as many of each")
    if not len(prompts):
        return np.zeros(0)
    # The ids are written under a reward that costs nothing; the real one is then asked once, about these texts only.
    envs: Any = factory.vector(len(prompts), autoreset_mode=AutoresetMode.NEXT_STEP, reward=_nothing).unwrapped
    task: Task = envs.task
    rows = np.array([task.prompts.index_of(prompt) for prompt in prompts])
    ids = [task.encode_completion(text) if isinstance(text, str) else list(text) for text in completions]
    config = factory.single().unwrapped.config  # type: ignore[attr-defined]
    returns: NDArray[np.float64] = config.scorer()(_write(envs, rows, ids)).values
    return returns


def _nothing(batch: EpisodeBatch) -> NDArray[np.float64]:
    return np.zeros(len(batch))


def _write(envs: Any, prompts: NDArray[np.int64], completions: Sequence[Sequence[int]]) -> EpisodeBatch:
    """Writes the ids lane by lane; the texts are the first episodes of the lanes, in lane order."""
    envs.reset(seed=0, options={"prompt_index": prompts})
    waiting = np.ones(len(completions), dtype=bool)
    rows, batches = [], []
    for position in range(envs.task.budget):
        for lane in np.flatnonzero(waiting).tolist():
            if position >= len(completions[lane]):
                raise PromptError(
                    f"completion {lane} ({completions[lane]!r}) does not end: its ids need an end id or "
                    f"{envs.task.budget} tokens"
                )
        going = zip(completions, waiting.tolist(), strict=True)
        envs.step(np.array([row[position] if goes_on else envs.eos_id for row, goes_on in going]))
        if envs.last_episodes is not None:
            first = waiting[envs.last_rows]
            rows.append(envs.last_rows[first])
            batches.append(envs.last_episodes.take(first))
            waiting[envs.last_rows] = False
    return _concatenate(batches).take(np.argsort(np.concatenate(rows), kind="stable"))


def generate(
    agent_or_act: Any,
    env: str | EnvFactory,
    *,
    prompts: Sequence[str] | None = None,
    n: int = 1,
    seed: int = 0,
    deterministic: bool = False,
    **kwargs: Any,
) -> list[str]:
    """Texts that an agent writes.

    Args:
        agent_or_act: An agent with ``act``, or such a function itself.
        env: An env id or factory.
        prompts: Prompts of the task, from any split; by default drawn by the environment.
        n: Texts for each prompt; in all, if no prompts are given.
        seed: Seed of lane 0.
        deterministic: Greedy play; by default the agent samples.
        **kwargs: Further arguments of the environment.

    Returns:
        ``n * len(prompts)`` texts, those of the first prompt first.
    """
    written = evaluate_prompts(
        agent_or_act, env, prompts=prompts, n=n, seed=seed, deterministic=deterministic, **kwargs
    )
    return [text["completion"] for text in written]


def evaluate_prompts(
    agent_or_act: Any,
    env: str | EnvFactory,
    *,
    prompts: Sequence[str] | None = None,
    n: int = 1,
    seed: int = 0,
    deterministic: bool = False,
    **kwargs: Any,
) -> list[dict[str, Any]]:
    """Like :func:`generate`, but each text comes as a dict with prompt, completion, reward and gold."""
    factory = as_factory(env, **kwargs)
    task = factory.task()
    indices = None if prompts is None else [task.prompts.index_of(prompt) for prompt in prompts for _ in range(n)]
    batch, returns = play(
        agent_or_act,
        factory,
        episodes=n if indices is None else len(indices),
        seed=seed,
        deterministic=deterministic,
        prompt_indices=indices,
    )
    return describe(batch, returns)
