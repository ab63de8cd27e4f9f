"""Rules about seeds: the same one repeats everything, another one nothing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from textgym.checks.comparing import difference
from textgym.checks.recording import compare, record, replay
from textgym.checks.rules import NotApplicableError, rule
from textgym.checks.scores import reward_alone
from textgym.checks.subject import Subject

SEEDS = (*[0] * 6, *range(1, 8))
"""0 again and again: it is the seed that gets lost most easily (``if seed:``), which chance may hide."""

CHAIN = 24


@rule(
    mend="Hand the seed on (super().reset(seed=seed, options=options)) and derive everything random from it",
    needs=(reward_alone,),
)
def same_seed(subject: Subject) -> Iterator[str]:
    """The same seed gives the same episode, in the same environment and in another one."""
    for kind, (make, _) in subject.makers.items():
        first, second = make(), make()
        for seed in SEEDS:
            events, outputs = record(first, 3, subject.rng("same seed"), seed=seed)
            events = events[:2] if outputs[1].get("terminated") is True else events  # the second reset has a rule
            for other in (second, first):
                if found := compare(outputs[: len(events)], replay(other, events)):
                    yield f"seed {seed} twice gave different episodes ({kind}): {found}"


@rule(
    mend="Let reset() without a seed go on with the chain that reset(seed) began, never with fresh entropy",
    needs=(same_seed,),
)
def chains(subject: Subject) -> Iterator[str]:
    """reset(seed) and the resets after it give the same episodes again."""
    for kind, (make, events) in subject.makers.items():
        script = [("reset", {"seed": 4}), *[("reset", {})] * CHAIN]
        if found := compare(replay(make(), script), replay(make(), script)):
            yield f"reset(seed=4) and {CHAIN} resets after it twice gave different prompts ({kind}): {found}"
        played, outputs = record(make(), events, subject.rng("chain"), seed=4)
        if found := compare(outputs, replay(make(), played)):
            yield f"a play over several episodes differs when it is repeated ({kind}): {found}"


@rule(
    mend="Mix the seed before use, as textgym.keys.lane_key does: with seed + episode number neighbours share episodes",
    needs=(chains,),
)
def seeds_differ(subject: Subject) -> Iterator[str]:
    """Different seeds give different chains of episodes, which do not overlap either."""
    if len(subject.task.prompts.rows(subject.config.split)) > 1:
        found = [_prompts_of(subject, seed) for seed in range(4)]
    elif subject.stochastic:
        found = [_rewards_of(subject, seed) for seed in range(4)]
    else:
        raise NotApplicableError("one prompt and a deterministic reward: there is nothing random")
    for seed, (one, other) in enumerate(pairwise(found)):
        for shift in (0, 1, -1):
            left, right = (one, other) if shift <= 0 else (other, one)
            if difference(left[abs(shift) :], right[: len(right) - abs(shift)]) is None:
                yield f"the episodes of the seeds {seed} and {seed + 1} are the same" + (
                    ", shifted by one" if shift else ""
                )


def _prompts_of(subject: Subject, seed: int) -> list[Any]:
    """Their numbers: many prompts may look alike."""
    env, drawn = subject.single(), []
    for number in range(CHAIN):
        env.reset(seed=None if number else seed)
        drawn.append(env.unwrapped.prompt_index)
    return drawn


def _rewards_of(subject: Subject, seed: int) -> list[Any]:
    """What the same short text earns in each episode of a chain."""
    env = subject.single()
    rewards: list[float] = []
    for number in range(CHAIN):
        env.reset(seed=None if number else seed)
        rewards.append(0.0)
        for _ in range(subject.task.budget):
            _, reward, terminated, truncated, _ = env.step(int(np.argmax(env.unwrapped.action_masks())))
            rewards[-1] += reward
            if terminated or truncated:
                break
    return rewards
