"""Rules about what must not be shared: arrays with the user, state with other environments and with copies."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode

from textgym.checks.comparing import difference
from textgym.checks.recording import Output, apply, choose, compare, look_at_masks, record, replay, through_pickle
from textgym.checks.rules import rule
from textgym.checks.seeding import chains
from textgym.checks.subject import Subject

WILD = 12


@rule(
    mend="Return copies: a buffer that is used again changes what the user has kept, and the other way round",
    needs=(chains,),
)
def fresh_arrays(subject: Subject) -> Iterator[str]:
    """Observations, infos and masks are the user's own: no step changes them later, writing into them harms nobody."""
    makers = subject.makers
    if subject.has_vector:  # final_obs and final_info are there in this mode only
        make_same_step = partial(subject.vector, autoreset_mode=AutoresetMode.SAME_STEP)
        makers["vector, autoreset mode SameStep"] = make_same_step, subject.effort.lane_events
    for kind, (make, count) in makers.items():
        events, expected = record(make(), count, subject.rng("arrays"), seed=5, look=look_at_masks)
        env = make()
        originals = [{**apply(env, event), **look_at_masks(env)} for event in events]
        if found := compare(expected, originals):
            yield f"what was returned has changed later ({kind}): {found}"
        env = make()
        for event, output in zip(events, expected, strict=True):
            original = {**apply(env, event), **look_at_masks(env)}
            if found := difference(output, original):
                yield f"after writing into what was returned before, the play differs ({kind}): {found}"
            _scribble(original)


def _scribble(value: Any) -> None:
    if isinstance(value, Mapping):
        for item in value.values():
            _scribble(item)
    elif isinstance(value, np.ndarray) and value.dtype == object:
        for item in value.flat:
            _scribble(item)
    elif isinstance(value, np.ndarray) and value.flags.writeable and value.dtype.kind in "biuf":
        value[...] = ~value if value.dtype == bool else 1 - value


@rule(
    mend="Keep all that changes in the instance: no class attributes, module globals or mutable defaults",
    needs=(chains,),
)
def independent(subject: Subject) -> Iterator[str]:
    """Two environments in one process do not disturb each other."""
    for kind, (make, count) in subject.makers.items():
        events, expected = record(make(), count, subject.rng("independent"), seed=6)
        env, other = make(), make()
        others = record(make(), count, subject.rng("the other"), seed=7)[0]
        for event, output, foreign in zip(events, expected, others, strict=True):
            if found := difference(output, apply(env, event)):
                yield f"beside another environment the same play differs ({kind}): {found}"
            apply(other, foreign)


@rule(
    mend="Use module-level functions, functools.partial and frozen dataclasses, no lambdas, closures and handles",
    needs=(independent,),
)
def pickles(subject: Subject) -> Iterator[str]:
    """In mid-episode an environment can be pickled, and what comes out goes on as it would have."""
    yield from _copies_go_on(subject, through_pickle)


@rule(mend="Let deepcopy copy every array and counter that a step changes", needs=(independent,))
def deep_copies(subject: Subject) -> Iterator[str]:
    """In mid-episode a deep copy goes on as the original would have, and neither disturbs the other."""
    yield from _copies_go_on(subject, copy.deepcopy)


def _copies_go_on(subject: Subject, duplicate: Callable[[Any], Any]) -> Iterator[str]:
    for kind, (make, count) in subject.makers.items():
        events, expected = record(make(), count, subject.rng("copies"), seed=8)
        for moment in _moments(subject, count):
            env = make()
            replay(env, events[:moment])
            copies = duplicate(env), duplicate(env)
            _play_wildly(copies[0], expected[moment - 1], subject)
            for name, one in {"original": env, "copy": copies[1]}.items():
                if found := compare(expected[moment:], replay(one, events[moment:])):
                    yield f"the {name} goes on otherwise after {moment} events ({kind}): {found}"


@rule(
    mend="Put copies of all that a step or reset changes into the state, and set every one of them",
    needs=(independent,),
)
def states(subject: Subject) -> Iterator[str]:
    """set_state(get_state()) goes back in mid-episode, in the same environment and in another one."""
    for kind, (make, count) in subject.makers.items():
        events, expected = record(make(), count, subject.rng("states"), seed=9)
        for moment in _moments(subject, count):
            env, other = make(), make()
            replay(env, events[:moment])
            state = env.unwrapped.get_state()
            _play_wildly(env, expected[moment - 1], subject)
            other.reset(seed=10)
            for name, one in {"the same": env, "another": other}.items():
                one.unwrapped.set_state(state)
                if found := compare(expected[moment:], replay(one, events[moment:])):
                    yield f"{name} environment goes on otherwise from the state after {moment} events ({kind}): {found}"


def _moments(subject: Subject, count: int) -> list[int]:
    """Numbers of events after which a copy is taken: after the first reset and spread over the play."""
    return sorted({1, *np.linspace(2, count - 2, subject.effort.copies).astype(int).tolist()})


def _play_wildly(env: Any, last: Output, subject: Subject) -> None:
    """Plays something else from here on, through a reset with a seed."""
    output, rng = last, subject.rng("wild")
    for _ in range(WILD):
        output = apply(env, choose(env, output, rng, seed=0))
    env.reset(seed=11)
