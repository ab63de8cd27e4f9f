"""Rules about observations: that they lie in their space and show what has been written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from gymnasium import spaces as gym_spaces

from textgym.checks.basics import BASE
from textgym.checks.comparing import difference
from textgym.checks.recording import record
from textgym.checks.rules import NotApplicableError, rule
from textgym.checks.subject import Subject
from textgym.core import GenerationCore
from textgym.observations import ALL, make_observation


@rule(
    mend="Make the spaces and the observations from the same numbers: V ids and the pad id V, prompt width and budget",
    needs=BASE,
)
def spaces(subject: Subject) -> Iterator[str]:
    """Every observation lies in the declared space, which is the same for all splits, and actions are Discrete(V)."""
    env = subject.single()
    size = subject.task.tokenizer.vocab_size
    if env.action_space != gym_spaces.Discrete(size):
        yield f"the action space is {env.action_space}, expected Discrete({size})"
    for episode in subject.episodes:
        for output in episode.outputs:
            yield from _outside(env.observation_space, output["observation"])
    for split in ("all", *subject.task.prompts.splits):
        other = subject.single(split=split).observation_space
        if other != env.observation_space:
            yield f"the observation space is {other} for split={split!r} and {env.observation_space} otherwise"
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


@rule(
    mend="Observe after the id has been written, as textgym.observations does: prompt, completion so far, pad ids",
    needs=(spaces,),
)
def observations(subject: Subject) -> Iterator[str]:
    """Every observation, the last one too, shows the prompt and all that has been written since."""
    if subject.task.partner is not None:
        raise NotApplicableError("the partner of a conversation writes too")
    config, space = subject.config, subject.single().observation_space
    core = GenerationCore(subject.task, 1, split=config.split, scorer=subject.scorer)
    view = make_observation(config.observation, core, include_mask=config.include_mask)
    if view.space != space:
        raise NotApplicableError(f"{space} is none of textgym's own observation spaces")
    for episode in subject.episodes:
        for count, output in enumerate(episode.outputs):
            ids = episode.actions[:count]
            core.place(np.array([episode.prompt_index]), np.array([ids], dtype=np.int32), np.zeros(1))
            if found := difference(output["observation"], view.first(view.observe(core, ALL))):
                yield f"after the ids {ids} the observation is wrong: {found}"
