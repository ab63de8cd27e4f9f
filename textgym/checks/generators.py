"""The rule that the process's own random numbers are nobody's business."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from textgym.checks.basics import BASE
from textgym.checks.comparing import difference
from textgym.checks.recording import record
from textgym.checks.rules import rule
from textgym.checks.subject import Subject
from textgym.keys import spawn_seed
from textgym.scoring import Scorer

# name -> module, and how the state is read, set, and seeded; torch counts only where it is loaded.
_GENERATORS = {
    "random": ("random", "getstate", "setstate", "seed"),
    "np.random": ("numpy.random", "get_state", "set_state", "seed"),
    "torch": ("torch", "get_rng_state", "set_rng_state", "manual_seed"),
}


@rule(
    mend="Draw from textgym.keys or from a np.random.Generator of your own; seed nothing that belongs to the process",
    needs=BASE,
)
def global_generators(subject: Subject) -> Iterator[str]:
    """The global generators of random, np.random and torch are neither seeded nor used."""
    for name, work in {"a play": _play, "making the task": _make, "gold or the oracle": _judge}.items():
        with _own_states() as read:
            before = read()
            work(subject)
            after = read()
        touched = [module for module, state in before.items() if difference(state, after[module]) is not None]
        if touched:
            yield f"{name} changed the global generator of {', '.join(touched)}"


def _play(subject: Subject) -> None:
    for make, events in subject.makers.values():
        record(make(), events, subject.rng("globals"), seed=3)


def _make(subject: Subject) -> None:
    """Builds again what a task builds on first use."""
    task = replace(subject.task)
    _ = task.tokenizer, task.prompts, task.reward, task.gold, task.constraints, task.stop, task.facts


def _judge(subject: Subject) -> None:
    for score in subject.scores.values():
        Scorer(score)(subject.texts)
    if subject.task.make_oracle is not None:
        subject.task.best_turn(subject.task.prompts.prompts[0])


@contextmanager
def _own_states() -> Iterator[Callable[[], dict[str, Any]]]:
    """Gives the global generators states that nobody else would choose, and at last their old ones.

    Otherwise an environment that always seeds them with the same number would go unnoticed the second time.
    """
    loaded = {
        name: [getattr(sys.modules[module], function) for function in functions]
        for name, (module, *functions) in _GENERATORS.items()
        if module in sys.modules
    }
    old = {name: get() for name, (get, _, _) in loaded.items()}
    try:
        for _, _, seed in loaded.values():
            seed(spawn_seed(0, "checks", "global generators"))
        yield lambda: {name: _plain(get()) for name, (get, _, _) in loaded.items()}
    finally:
        for name, (_, put, _) in loaded.items():
            put(old[name])


def _plain(state: Any) -> Any:
    return state.numpy() if hasattr(state, "numpy") else state  # torch's is a tensor
