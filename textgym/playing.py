"""Playing: one text in each lane, whoever writes it.

Episode i is the first episode of lane i, so that short texts are not favoured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from inspect import signature
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import ConfigurationError
from textgym.factory import EnvFactory, as_factory
from textgym.writers import ask, is_writer, next_actions

Act = Callable[..., NDArray[np.int64]]
Play = Callable[[Any, int, "NDArray[np.int64] | None"], "tuple[EpisodeBatch, NDArray[np.float64]]"]

LANES = 256


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
        agent_or_act: An agent with ``act``, or such a function itself; or one with ``write(envs, prompt_indices)``,
            which returns the token ids of whole texts, and what it spends it spends in environments of ``env``.
        env: An env id or factory.
        episodes: Number of texts.
        seed: Lane i is seeded with seed + i; an agent's ``seed_sampling(seed)`` is called where it has one, and before
            that ``meet(factory)``.
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
    factory = as_factory(env, **kwargs)
    if is_writer(agent_or_act):
        write: Play = partial(_written_episodes, agent_or_act, factory)
        plain = EnvFactory(factory.env_id, factory.kwargs)  # where the texts are shown, nothing is spent
    else:
        rest = getattr(agent_or_act, "rest", None)
        write, plain = partial(_first_episodes, act_of(agent_or_act), deterministic, rest), factory
    if hasattr(agent_or_act, "meet"):
        agent_or_act.meet(factory)
    if hasattr(agent_or_act, "seed_sampling"):
        agent_or_act.seed_sampling(seed)
    batches, returns = [], []
    for start in range(0, episodes, LANES):
        size = min(LANES, episodes - start)
        chosen = None if prompt_indices is None else np.asarray(prompt_indices[start : start + size])
        envs = plain.vector(size, autoreset_mode=AutoresetMode.NEXT_STEP)
        try:
            batch, earned = write(envs, seed + start, chosen)
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


def _written_episodes(
    writer: Any, factory: EnvFactory, envs: Any, seed: int, prompts: NDArray[np.int64] | None
) -> tuple[EpisodeBatch, NDArray[np.float64]]:
    """Steps through what a writer has written to the prompts that the environment drew."""
    base = envs.unwrapped
    envs.reset(seed=seed, options=None if prompts is None else {"prompt_index": prompts})
    texts = ask(writer, factory, base.present_episodes.prompt_indices)
    places, first = np.zeros(envs.num_envs, dtype=np.int64), FirstEpisodes(envs.num_envs)
    while first.waiting.any():
        envs.step(np.array(next_actions(texts, places, first.waiting)))
        places += 1
        first.collect(base)
    return first.result()


def _first_episodes(
    act: Act,
    deterministic: bool,
    rest: Callable[[NDArray[np.bool_]], None] | None,
    envs: Any,
    seed: int,
    prompts: NDArray[np.int64] | None,
) -> tuple[EpisodeBatch, NDArray[np.float64]]:
    base = envs.unwrapped
    observations, _ = envs.reset(seed=seed, options=None if prompts is None else {"prompt_index": prompts})
    starts, first = np.ones(envs.num_envs, dtype=bool), FirstEpisodes(envs.num_envs)
    while first.waiting.any():
        if rest is not None:
            rest(~first.waiting)
        actions = act(observations, base.action_masks(), deterministic=deterministic, episode_starts=starts)
        observations, _, terminations, truncations, _ = envs.step(_check_actions(actions, envs.num_envs))
        starts = terminations | truncations
        first.collect(base)
    return first.result()


def act_of(agent: Any) -> Act:
    """The function that chooses actions: ``agent.act``, the agent itself, or the ``predict`` of an SB3 model.

    Raises:
        ConfigurationError: for what is no agent, with the signature that a function must have.
    """
    if isinstance(agent, type | str):
        raise ConfigurationError(f"{agent!r} is no agent yet; make one, for example with make_agent('q_learning')")
    if hasattr(agent, "act"):
        return _checked(agent.act)
    if hasattr(agent, "predict"):

        def predict(observations: Any, masks: Any, *, deterministic: bool, episode_starts: Any) -> NDArray[np.int64]:
            return agent.predict(observations, deterministic=deterministic)[0]

        return predict
    if not callable(agent):
        raise ConfigurationError(
            f"{agent!r}: expected an agent with act(observations, action_masks, *, deterministic, episode_starts), "
            "such a function, or a stable-baselines3 model"
        )
    return _checked(agent)


def _checked(act: Any) -> Act:
    """The function, if it can be called as agents are."""
    try:
        signature(act).bind(None, None, deterministic=True, episode_starts=None)
    except TypeError as error:
        raise ConfigurationError(
            f"{getattr(act, '__name__', act)} cannot be called as an agent ({error}); expected "
            "def act(observations, action_masks, *, deterministic, episode_starts), which returns an id for each row"
        ) from None
    except ValueError:  # compiled functions may not tell their signature
        pass
    chosen: Act = act
    return chosen


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
    sides = None if first.is_agent is None else [batch.is_agent for batch in batches if batch.is_agent is not None]
    return EpisodeBatch(
        np.concatenate([batch.tokens for batch in batches]),
        np.concatenate([batch.lengths for batch in batches]),
        np.concatenate([batch.stop_codes for batch in batches]),
        np.concatenate([batch.keys for batch in batches]),
        np.concatenate([batch.prompt_indices for batch in batches]),
        first.prompts,
        first.tokenizer,
        is_agent=None if sides is None else np.concatenate(sides),
        gold=first._gold,
        success=first._success,
    )


def speak(
    speaker: Callable[[Prompt, list[tuple[str, str]]], str],
    env: str | EnvFactory,
    *,
    prompt_indices: Sequence[int] | NDArray[np.int64],
    seed: int = 0,
    **kwargs: Any,
) -> tuple[EpisodeBatch, NDArray[np.float64]]:
    """Lets somebody who writes whole texts or turns write one episode to each prompt.

    Args:
        speaker: ``(prompt, turns so far) -> text of the next turn``, such as a task's ``best_turn``.
        env: An env id or factory.
        prompt_indices: The prompt of each episode.
        seed: Seed of lane 0.
        **kwargs: Further arguments of the environment.

    Returns:
        The finished texts and their returns ``(N,)``.

    Example:
        >>> from textgym.tasks import get
        >>> task = get("Reviews", "tiny")
        >>> speak(task.best_turn, "TextGen-v0", prompt_indices=[0], level="tiny")[0].completions
        ['was very great']
    """
    envs: Any = as_factory(env, **kwargs).vector(len(prompt_indices)).unwrapped
    envs.reset(seed=seed, options={"prompt_index": np.asarray(prompt_indices)})
    task, first = envs.task, FirstEpisodes(envs.num_envs)
    prompts = [task.prompts.prompts[int(row)] for row in prompt_indices]
    queues: list[list[int]] = [[] for _ in prompts]
    while first.waiting.any():
        present = envs.present_episodes
        for lane in np.flatnonzero(first.waiting).tolist():
            if not queues[lane]:
                said = task.tokenizer.encode(speaker(prompts[lane], present.dialogue(lane)))
                queues[lane] = [*said, envs.eos_id][: task.turn_tokens]
        envs.step(np.array([queue.pop(0) if queue else envs.eos_id for queue in queues]))
        first.collect(envs)
    envs.close()
    return first.result()


def random_act(seed: int = 0) -> Act:
    """Random play as an ``act`` function: every legal id is equally likely.

    Example:
        >>> batch, returns = play(random_act(1), "TextGen-v0", episodes=3)
        >>> returns.shape
        (3,)
    """
    rng = np.random.default_rng(seed)

    def act(observations: Any, action_masks: NDArray[np.bool_], **_: Any) -> NDArray[np.int64]:
        order = rng.random(action_masks.shape)
        order[~action_masks] = -1.0
        return order.argmax(axis=1)

    return act


def describe(batch: EpisodeBatch, returns: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Each text as a dict with its prompt, completion, reward and gold (None where there is none)."""
    golds = batch.gold()
    scores: list[float | None] = [None] * len(batch) if golds is None else golds.tolist()
    rows = zip(batch.prompt_texts, batch.completions, returns.tolist(), scores, strict=True)
    return [{"prompt": p, "completion": c, "reward": reward, "gold": gold} for p, c, reward, gold in rows]
