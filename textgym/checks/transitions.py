"""Rules about reset and step: that they work, what they return, how and when a text ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
from gymnasium import spaces as gym_spaces
from gymnasium.vector import AutoresetMode

from textgym.checks.recording import apply, choose, record
from textgym.checks.rules import NotApplicableError, rule
from textgym.checks.subject import Subject
from textgym.errors import RewardError
from textgym.scoring import Scorer


@rule(mend="The traceback of the same call outside the checker says where")
def plays(subject: Subject) -> Iterable[str]:
    """Environments can be made, reset and stepped without an error."""
    with suppress(RewardError):  # which has a rule of its own
        _ = subject.episodes
        for make, events in subject.makers.values():
            record(make(), events, subject.rng("plays"), seed=0)
    return ()


@rule(
    mend="Return one finite number for every text, the empty and the longest ones included, and let no exception out",
    needs=(plays,),
)
def reward_finite(subject: Subject) -> Iterator[str]:
    """The reward and gold are one finite number for every text, and the environment pays Python floats."""
    for score in subject.scores.values():
        Scorer(score)(subject.texts)
    for episode in subject.episodes:
        for step in episode.steps:
            paid = step.output["reward"]
            if not isinstance(paid, float) or not np.isfinite(paid):
                yield f"step() paid {paid!r} of type {type(paid).__name__}, expected a finite float"


@rule(
    mend="Leave the end id where nothing else is allowed: an agent must always have something to write",
    needs=(reward_finite,),
)
def masks_leave_a_choice(subject: Subject) -> Iterator[str]:
    """In no state are all ids forbidden."""
    for episode in subject.episodes:
        for number, step in enumerate(episode.steps):
            if not step.mask.any():
                yield f"after {number} tokens {episode.actions[:number]} action_masks() is False for every id"


BASE = (plays, reward_finite, masks_leave_a_choice)


@rule(
    mend="Make the spaces and the observations from the same numbers: V ids and the pad id V, prompt width and budget",
    needs=BASE,
)
def spaces(subject: Subject) -> Iterator[str]:
    """Every observation lies in the declared space, with its dtype and shape, and actions are Discrete(V)."""
    env = subject.single()
    size = subject.task.tokenizer.vocab_size
    if env.action_space != gym_spaces.Discrete(size):
        yield f"the action space is {env.action_space}, expected Discrete({size})"
    for episode in subject.episodes:
        for output in episode.outputs:
            yield from _outside(env.observation_space, output["observation"])
    if subject.has_vector:
        envs = subject.vector()
        for output in record(envs, subject.effort.lane_events, subject.rng("spaces"), seed=1)[1]:
            yield from _outside(envs.observation_space, output["observation"])


def _outside(space: Any, observation: Any) -> Iterator[str]:
    if isinstance(space, gym_spaces.Dict) and isinstance(observation, dict) and space.keys() == observation.keys():
        for name, part in space.items():
            yield from _outside(part, observation[name])
    elif isinstance(observation, np.ndarray) and space.dtype is not None and observation.dtype != space.dtype:
        yield f"an observation has dtype {observation.dtype}, its space {space.dtype}"
    elif observation not in space:
        yield f"the observation {observation!r} is not in {space}"


@rule(mend="Return terminated=True at every end, truncated=False always: the budget is part of the task", needs=BASE)
def endings(subject: Subject) -> Iterator[str]:
    """A text ends by terminated alone: truncated is False, and both are Python's own bool."""
    for episode in subject.episodes:
        for step in episode.steps:
            terminated, truncated = step.output["terminated"], step.output["truncated"]
            if truncated is not False or not isinstance(terminated, bool):
                yield f"step() returned terminated={terminated!r}, truncated={truncated!r}"


@rule(mend="End a text when it has max_new_tokens tokens, the end id included, not before and not after", needs=BASE)
def budget(subject: Subject) -> Iterator[str]:
    """A text that does not end by itself ends after exactly max_new_tokens tokens, and none is longer."""
    limit, ends = subject.task.budget, set(subject.task.tokenizer.eos_ids)
    for episode in subject.episodes:
        count = len(episode.steps)
        if count > limit:
            yield f"a text went on after max_new_tokens={limit} tokens"
        if episode.legal and not ends & set(episode.actions) and count < limit and not stops(subject, episode):
            yield f"a text of {count} legal tokens without an end id was ended; max_new_tokens is {limit}"


def stops(subject: Subject, episode: Any) -> bool:
    """Whether the task's own stop rule ends this text."""
    if subject.task.stop is None:
        return False
    completion = np.full((1, subject.task.budget), subject.task.tokenizer.vocab_size, dtype=np.int32)
    written = episode.actions[: subject.task.budget]
    completion[0, : len(written)] = written
    return bool(subject.task.stop(completion, np.array([len(written)]))[0])


@rule(
    mend="Raise textgym.errors.EpisodeOverError in step() once the text has ended, until reset() is called",
    needs=(*BASE, budget, endings),
)
def after_end(subject: Subject) -> Iterator[str]:
    """A step after the end raises."""
    env = subject.single()
    _play_to_an_end(env, subject)
    if _accepts(partial(env.step, env.unwrapped.eos_id)):
        yield "step() was accepted after terminated=True"
    if subject.has_vector:
        envs = subject.vector(autoreset_mode=AutoresetMode.DISABLED)
        _play_to_an_end(envs, subject)
        if _accepts(partial(envs.step, np.full(envs.num_envs, envs.unwrapped.eos_id))):
            yield "the vector environment accepted a step of an ended lane in the autoreset mode Disabled"


def _play_to_an_end(env: Any, subject: Subject) -> None:
    """Plays until a text has ended, in some lane, which the budget sees to."""
    rng = subject.rng("to an end")
    output = apply(env, ("reset", {"seed": 0}))
    for _ in range(subject.task.budget):
        output = apply(env, choose(env, output, rng, seed=0))
        if np.any(output["terminated"]):
            return


def _accepts(step: Any) -> bool:
    try:
        step()
    except Exception:  # which one is the environment's own affair
        return False
    return True


@rule(
    mend="Draw from task.prompts.rows(split), evenly, and read options['prompt_index'] without changing options",
    needs=BASE,
)
def prompts(subject: Subject) -> Iterator[str]:
    """Reset draws every prompt of the split and no other, unless options={'prompt_index': ...} names one."""
    env, rows = subject.single(), subject.task.prompts.rows(subject.split).tolist()
    if len(rows) > 200:
        raise NotApplicableError(f"{len(rows)} prompts are too many to draw each of them")
    drawn = set()
    for number in range(16 * len(rows) + 1):
        env.reset(seed=0 if number == 0 else None)
        drawn.add(env.unwrapped.prompt_index)
    if drawn != set(rows):
        wrong = sorted(drawn ^ set(rows))
        yield f"the prompts with index {wrong} are {'drawn' if drawn - set(rows) else 'never drawn'}"
    for index in range(min(len(subject.task.prompts), 32)):
        options = {"prompt_index": index}
        env.reset(options=options)
        if env.unwrapped.prompt_index != index or options != {"prompt_index": index}:
            yield f"reset with prompt_index={index} gave {env.unwrapped.prompt_index} and left options={options}"
