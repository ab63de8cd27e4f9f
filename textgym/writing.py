"""Writing texts: scoring given ones as the environment would, and letting an agent write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch
from textgym.errors import ActionError, ConfigurationError, PromptError
from textgym.factory import EnvFactory, as_factory
from textgym.playing import FirstEpisodes, describe, play
from textgym.task import Task


def score(
    env: str | EnvFactory, prompts: Sequence[str], completions: Sequence[str | Sequence[int]], **kwargs: Any
) -> NDArray[np.float64]:
    """The rewards that stepping through these completions would earn.

    Args:
        env: An env id or factory.
        prompts: One of the task's prompts (any split) for each completion.
        completions: Texts, or token ids; a text stands for its tokens and, if the budget has room, the end id.
        **kwargs: Further arguments of the environment.

    Returns:
        ``(B,)`` rewards; an illegal id ends the text there, as it would in the environment.

    Raises:
        ActionError: for ids that are no whole numbers or outside the vocabulary.
        PromptError: for a prompt that the task has not, a text outside the vocabulary or longer than the
            budget, and ids that do not end or go on after the end.

    Example:
        >>> bool(score("TextGen-v0", ["praise the movie"], ["was great"])[0] > 0)
        True
    """
    factory = as_factory(env, **{**kwargs, "split": "all"})
    if isinstance(prompts, str) or isinstance(completions, str):
        raise ConfigurationError("prompts and completions: expected a list of each, got a single string")
    if len(prompts) != len(completions):
        raise ConfigurationError(f"{len(prompts)} prompts and {len(completions)} completions: expected as many of each")
    if not len(prompts):
        return np.zeros(0)
    task = factory.task()
    rows = [task.prompts.index_of(prompt) for prompt in prompts]
    ids = [_ids(task, completion) for completion in completions]
    _charge(factory, ids)
    # The ids are written under a reward that costs nothing; the real one is then asked once, about these texts only.
    free = EnvFactory(factory.env_id, {**factory.kwargs, "reward": _nothing})
    envs: Any = free.vector(len(prompts), autoreset_mode=AutoresetMode.NEXT_STEP).unwrapped
    config = factory.single().unwrapped.config  # type: ignore[attr-defined]
    returns: NDArray[np.float64] = config.scorer()(_write(envs, rows, ids)).values
    return returns


def _charge(factory: EnvFactory, completions: list[list[int]]) -> None:
    """Scoring is not free in metered environments: it costs the texts' tokens and a reward call for each."""
    meter = getattr(factory, "meter", None)
    if meter is not None:
        meter.spend(sum(map(len, completions)))
        meter.scored_apart += len(completions)


def _nothing(batch: EpisodeBatch) -> NDArray[np.float64]:
    return np.zeros(len(batch))


def _ids(task: Task, completion: str | Sequence[int]) -> list[int]:
    """The ids of a completion, checked as far as the vocabulary and the budget go."""
    if not isinstance(completion, str):
        ids = [_integer(token) for token in completion]
        ends = [position for position, token in enumerate(ids) if token in task.tokenizer.eos_ids]
        length = min([ends[0] + 1 if ends else task.budget, task.budget])
        if len(ids) > length:
            raise PromptError(f"completion {ids} goes on after its end, which comes after {length} tokens")
        return ids
    tokens = task.tokenizer.encode(completion)
    if len(tokens) > task.budget:
        raise PromptError(f"completion {completion!r} has {len(tokens)} tokens; the budget is {task.budget}")
    if task.tokenizer.special_ids.intersection(tokens):
        raise PromptError(f"completion {completion!r} has text outside the vocabulary, which nobody can write here")
    return task.encode_completion(completion)


def _integer(token: Any) -> int:
    if isinstance(token, bool) or not isinstance(token, int | np.integer):
        raise ActionError(f"token id {token!r}: expected whole numbers, not {type(token).__name__}")
    return int(token)


def _write(envs: Any, prompts: list[int], completions: list[list[int]]) -> EpisodeBatch:
    """Writes the ids lane by lane; lanes whose text has ended write anything."""
    envs.reset(seed=0, options={"prompt_index": np.array(prompts)})
    first = FirstEpisodes(len(completions))
    for position in range(envs.task.budget):
        for lane in np.flatnonzero(first.waiting).tolist():
            if position >= len(completions[lane]):
                raise PromptError(
                    f"completion {lane} ({completions[lane]}) does not end: it needs an end id or "
                    f"{envs.task.budget} tokens"
                )
        going = zip(completions, first.waiting.tolist(), strict=True)
        envs.step(np.array([ids[position] if goes_on else envs.eos_id for ids, goes_on in going]))
        first.collect(envs)
    return first.result()[0]


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
        seed: Seed of lane 0, and of the sampling of agents that offer ``seed_sampling``.
        deterministic: Greedy play; by default the agent samples.
        **kwargs: Further arguments of the environment.

    Raises:
        PromptError: for a prompt that the task has not.

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
    if isinstance(prompts, str):
        raise ConfigurationError(f"prompts={prompts!r}: expected a list of prompts, such as [{prompts!r}]")
    if n < 1:
        raise ConfigurationError(f"n={n!r}: expected at least 1")
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
