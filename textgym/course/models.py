"""A problem with its rules worked out: which ids are legal, and what a step does. And the truth about it."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from textgym.constraints import Mask
from textgym.course.problems import REPEATING, Problem
from textgym.course.wire import Served
from textgym.episodes import Prompt
from textgym.errors import ActionError
from textgym.rewards import PerText
from textgym.task import Task
from textgym.tokenizers import Tokenizer, WordTokenizer

State = tuple[int, ...]
"""The ids written so far."""


@dataclass(frozen=True)
class Model(Problem):
    """A problem whose steps can be tried out."""

    def is_over(self, state: State) -> bool:
        """Whether the text has ended."""
        return len(state) >= self.budget or self.eos in state

    def legal(self, state: State) -> list[int]:
        """The ids that may be written next, smallest first; none after the end."""
        if self.is_over(state):
            return []
        ids = [index for index in range(len(self.words)) if state or index != self.booster]
        if state and not self.repeats:
            ids.remove(state[-1])
        return [*ids, self.eos] if len(state) >= self.shortest else ids

    def step(self, state: State, action: int, prompt: str | None = None) -> tuple[State, float, bool]:
        """The next state, the reward, and whether the text has ended; the score is paid when it ends."""
        following = (*state, action)
        over = self.is_over(following)
        return following, self.score(self.text(following), prompt) if over else 0.0, over

    def states(self) -> Iterator[State]:
        """Every state in which something can be written, shorter ones first."""
        level: list[State] = [()]
        while level:
            yield from level
            following = [(*state, action) for state in level for action in self.legal(state)]
            level = [state for state in following if not self.is_over(state)]

    def served(self, prompt: str | None = None) -> Served:
        """The model as submissions get it: ``legal``, ``step``, ``words`` and ``eos``, answered by the grader."""
        methods: dict[str, Callable[..., Any]] = {"legal": self._ask_legal, "step": partial(self._ask_step, prompt)}
        return Served(methods, {"words": list(self.words), "eos": self.eos})

    def _ask_legal(self, state: Any) -> list[int]:
        return self.legal(_as_state(state))

    def _ask_step(self, prompt: str | None, state: Any, action: Any) -> tuple[State, float, bool]:
        where, what = _as_state(state), operator.index(action)
        if what not in self.legal(where):
            raise ActionError(f"action {what} is not legal in the state {where}; legal are {self.legal(where)}")
        return self.step(where, what, prompt)

    def task(self) -> Task:
        """The same problem as a task, for environments and :func:`textgym.exact.solve`."""
        return Task(
            name="Problem",
            summary="Write the text that is worth most.",
            levels={"only": self},
            level="only",
            make_prompts=_prompts,
            make_tokenizer=_tokenizer,
            make_reward=_reward,
            make_constraints=_constraints,
            max_new_tokens=_budget,
        )


def model_of(problem: Problem) -> Model:
    """The model of a problem."""
    return Model(**{field.name: getattr(problem, field.name) for field in dataclasses.fields(Problem)})


def _as_state(state: Any) -> State:
    """What a submission calls a state: a tuple or list of ids."""
    if not isinstance(state, tuple | list | np.ndarray):
        raise ActionError(f"{state!r} is no state: expected a tuple of ids")
    return tuple(operator.index(index) for index in state)


@dataclass(frozen=True)
class Rules:
    """The rules of a problem as a constraint of its task."""

    model: Model
    static: ClassVar[bool] = False

    def __call__(self, tokenizer: Tokenizer, completions: NDArray[np.int32], lengths: NDArray[np.int64]) -> Mask:
        """``(B, V)``, True where an id may come next."""
        mask = np.zeros((len(completions), tokenizer.vocab_size), dtype=bool)
        for row, (ids, length) in enumerate(zip(completions.tolist(), lengths.tolist(), strict=True)):
            mask[row, self.model.legal(tuple(ids[:length]))] = True
        return mask


@dataclass(frozen=True)
class Score:
    """The reward of a problem's task."""

    model: Model

    def __call__(self, completion: str, prompt: str) -> float:
        """The score of one text."""
        return self.model.score(completion, prompt)


def _prompts(model: Model) -> list[Prompt]:
    return [Prompt(text) for text in model.prompts]


def _tokenizer(model: Model) -> WordTokenizer:
    return WordTokenizer(model.vocabulary)


def _reward(model: Model) -> PerText:
    most = model.budget * (2.0 * max(map(abs, model.worths)) + REPEATING)
    return PerText(Score(model), range=(-most, most))


def _constraints(model: Model) -> tuple[Rules, ...]:
    return (Rules(model),)


def _budget(model: Model) -> int:
    return model.budget
