"""Playing environments, single or vector, so that a play can be repeated and compared."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import NDArray

from textgym.checks.comparing import difference, snapshot
from textgym.episodes import EpisodeBatch

ILLEGAL_SHARE = 0.1

Event = tuple[str, Any]
"""``("reset", kwargs)`` or ``("step", action or actions)``."""

Output = dict[str, Any]
"""What reset or step returned, by name."""

Look = Callable[[Any], Output]
"""What else is to be seen of an environment after an event."""

_NAMES = {"reset": ("observation", "info"), "step": ("observation", "reward", "terminated", "truncated", "info")}


def apply(env: Any, event: Event) -> Output:
    """Resets or steps, and returns the environment's own objects by name."""
    kind, argument = event
    returned = env.reset(**deepcopy(argument)) if kind == "reset" else env.step(argument)
    names = _NAMES[kind]
    if not isinstance(returned, tuple) or len(returned) != len(names):
        what = f"{len(returned)} values" if isinstance(returned, tuple) else type(returned).__name__
        raise TypeError(f"{kind}() returned {what}, expected a tuple of {', '.join(names)}")
    return dict(zip(names, returned, strict=True))


def choose(env: Any, last: Output | None, rng: np.random.Generator, *, seed: int) -> Event:
    """The next event of a play: a seeded reset first, later resets where something ended, else a step."""
    if last is None:
        return "reset", {"seed": seed}
    masks = env.unwrapped.action_masks()
    ended = np.asarray(last.get("terminated", False)) | np.asarray(last.get("truncated", False))
    if isinstance(env, VectorEnv):
        if env.metadata["autoreset_mode"] is AutoresetMode.DISABLED and ended.any():
            return "reset", {"options": {"reset_mask": ended}}
        return "step", np.array([pick(mask, rng) for mask in masks])
    return ("reset", {}) if ended else ("step", pick(masks, rng))


def pick(mask: NDArray[np.bool_], rng: np.random.Generator, *, illegal: float = ILLEGAL_SHARE) -> int:
    """A legal id, or with some probability an illegal one where there is any; any id where the mask is empty."""
    wild = not mask.any() or (rng.random() < illegal and not mask.all())
    choices = np.flatnonzero(~mask if wild else mask)
    return int(choices[rng.integers(len(choices))])


def record(
    env: Any, count: int, rng: np.random.Generator, *, seed: int, look: Look = lambda env: {}
) -> tuple[list[Event], list[Output]]:
    """Plays ``count`` events; the outputs, and what ``look`` finds, are copied at once."""
    events: list[Event] = []
    outputs: list[Output] = []
    for _ in range(count):
        events.append(choose(env, outputs[-1] if outputs else None, rng, seed=seed))
        outputs += replay(env, events[-1:], look=look)
    return events, outputs


def replay(env: Any, events: Sequence[Event], *, look: Look = lambda env: {}) -> list[Output]:
    """The outputs of the same events, and what ``look`` finds, copied at once."""
    return [snapshot({**apply(env, event), **look(env)}) for event in events]


def look_at_masks(env: Any) -> Output:
    """``action_masks()`` of an environment, or of those in a SyncVectorEnv."""
    if isinstance(env, SyncVectorEnv):
        return {"action_masks()": np.stack([one.unwrapped.action_masks() for one in env.envs])}  # type: ignore[attr-defined]
    return {"action_masks()": env.unwrapped.action_masks()}


def compare(expected: Sequence[Output], outputs: Sequence[Output], *, tolerance: float = 0.0) -> str | None:
    """The first difference between two plays of the same events, as text."""
    for number, (one, other) in enumerate(zip(expected, outputs, strict=True)):
        if found := difference(one, other, tolerance=tolerance):
            return f"event {number}, {found}"
    return None


def through_pickle(thing: Any) -> Any:
    """What comes out of a pickle of this thing."""
    return pickle.Unpickler(io.BytesIO(pickle.dumps(thing))).load()  # noqa: S301 - written a moment ago, right here


def quote(texts: EpisodeBatch, row: int | np.int64) -> str:
    """A text of a batch, for messages: the completion and its prompt."""
    one = texts.take([int(row)])
    return f"{one.completions[0]!r} (to {one.prompt_texts[0]!r})"


# ---- single episodes ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One step: the mask before it ``(V,)``, the action, and what came back, copied at once."""

    mask: NDArray[np.bool_]
    action: int
    output: Output


@dataclass(frozen=True)
class Episode:
    """One episode of a single environment.

    Attributes:
        prompt_index: The row of the prompt.
        start: What reset returned.
        steps: At most one more than the budget allows.
        text: The environment's own ``last_episodes`` after the end.
    """

    prompt_index: int
    start: Output
    steps: list[Step]
    text: EpisodeBatch | None

    @property
    def actions(self) -> list[int]:
        """The ids written."""
        return [step.action for step in self.steps]

    @property
    def outputs(self) -> Iterator[Output]:
        """What reset and the steps returned."""
        yield self.start
        yield from (step.output for step in self.steps)

    @property
    def last(self) -> Step:
        """The ending step."""
        return self.steps[-1]

    @property
    def legal(self) -> bool:
        """Whether every action was legal when it was taken."""
        return all(step.mask[step.action] for step in self.steps)


STYLES = ("mixed", "long", "mixed", "long, then the end")


def play_episode(env: Any, style: str, rng: np.random.Generator, *, seed: int | None) -> Episode:
    """Plays one episode; the style "long" avoids the end ids while there is another legal id."""
    base = env.unwrapped
    start = snapshot(apply(env, ("reset", {"seed": seed})))
    budget, ends = base.task.budget, np.array(base.task.tokenizer.eos_ids)
    index: int = base.prompt_index
    steps: list[Step] = []
    while len(steps) <= budget and not (steps and _is_over(steps[-1].output)):
        mask = np.array(base.action_masks())
        final = style == "long, then the end" and len(steps) == budget - 1
        action = _act(style, mask, ends, rng, final=final)
        steps.append(Step(mask, action, snapshot(apply(env, ("step", action)))))
    return Episode(index, start, steps, base.last_episodes)


def _is_over(output: Output) -> bool:
    return bool(output["terminated"] or output["truncated"])


def _act(style: str, mask: NDArray[np.bool_], ends: NDArray[np.int64], rng: np.random.Generator, *, final: bool) -> int:
    if style == "mixed" or not mask.any():
        return pick(mask, rng)
    wanted = np.isin(np.arange(len(mask)), ends) == final
    return pick(mask & wanted if (mask & wanted).any() else mask, rng, illegal=0.0)
