"""Task: everything an environment needs to know about one problem.

A task holds functions of its level's settings; what they build (prompts, weights, tables) is built on
first use and kept. Tasks are immutable: :meth:`Task.at` and :meth:`Task.override` return other tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.automata import Automaton
from textgym.constraints import Constraint
from textgym.demands import check_count, check_fields, check_part
from textgym.episodes import Prompt, Score
from textgym.errors import TaskError, unknown_name
from textgym.keys import spawn_seed
from textgym.language_models import NGramLanguageModel
from textgym.overrides import changed_fields, changed_options
from textgym.partners import Partner
from textgym.prompts import PromptTable
from textgym.returns import Facts, Returns
from textgym.tokenizers import Tokenizer

__all__ = ["Facts", "Returns", "StopRule", "Task"]

DEMONSTRATIONS = 2_000  # that the language model of a task is fitted to

StopRule = Callable[[NDArray[np.int32], NDArray[np.int64]], NDArray[np.bool_]]
"""``(completions (B, T), lengths (B,)) -> (B,)``: whether the task itself ends the text here."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Task:
    """One problem at one level. Every ``make_*`` function takes the settings of the level.

    Attributes:
        name: The name in the registry, as in ``TextGen/<name>-v0``.
        summary: What the agent has to write, in one sentence.
        levels: Level name -> settings, whatever type the task's functions take.
        level: The level of this task object.
        tags: Skills that the task asks for.
        options: Arguments of its own, besides those of every environment: fields of its levels' settings.
        adapt: Settings that options have changed -> further fields of the task that change with them.
        make_prompts: The prompts of all splits, or any other source that an override names.
        make_tokenizer: The vocabulary.
        make_reward: What the agent is paid.
        make_gold: The true score, where it differs from the reward.
        make_success: Whether a text solves the task.
        make_constraints: Rules on the next token.
        make_stop: The task's own end of a text.
        make_partner: The other side of a conversation.
        max_turns: Turns of the agent in a conversation.
        make_oracle: Prompt -> the best text under gold; in a conversation (prompt, turns so far) -> the best next turn.
        make_demonstration: (prompt, generator) -> a typical text of mixed quality.
        make_facts: Random, blind and best return for each split.
        max_new_tokens: Token budget of a text; in a conversation, of a turn.
        max_prompt_tokens: Width of the prompt; by default the longest prompt's.
        overridden: Which parts differ from the registered task.
    """

    name: str
    summary: str
    levels: Mapping[str, Any]
    level: str
    make_prompts: Callable[[Any], Sequence[Prompt]]
    make_tokenizer: Callable[[Any], Tokenizer]
    make_reward: Callable[[Any], Score]
    max_new_tokens: Callable[[Any], int]
    tags: tuple[str, ...] = ()
    make_gold: Callable[[Any], Score] | None = None
    make_success: Callable[[Any], Score] | None = None
    make_constraints: Callable[[Any], tuple[Constraint, ...]] | None = None
    make_stop: Callable[[Any], StopRule] | None = None
    make_partner: Callable[[Any], Partner] | None = None
    max_turns: Callable[[Any], int] | None = None
    make_oracle: Callable[[Any], Callable[..., str]] | None = None
    make_demonstration: Callable[[Any], Callable[[Prompt, np.random.Generator], str]] | None = None
    make_facts: Callable[[Any], Facts] | None = None
    max_prompt_tokens: int | None = None
    options: tuple[str, ...] = ()
    adapt: Callable[[Any], Mapping[str, Any]] | None = None
    registered: bool = False
    overridden: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self.name, self.level, self.__dict__)

    def at(self, level: str | None) -> Task:
        """The same task at another level; the same object for its own level or None."""
        if level is None or level == self.level:
            return self
        if level not in self.levels:
            raise unknown_name(f"level of the task {self.name}", level, self.levels)
        return replace(self, level=level)

    @property
    def settings(self) -> Any:
        """The settings of this level."""
        return self.levels[self.level]

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The vocabulary of this level."""
        tokenizer: Tokenizer = check_part(self.name, "tokenizer", self.make_tokenizer(self.settings))
        return tokenizer

    @cached_property
    def prompts(self) -> PromptTable:
        """The encoded prompts of all splits."""
        return PromptTable(self.make_prompts(self.settings), self.tokenizer, self.max_prompt_tokens)

    @cached_property
    def reward(self) -> Score:
        """What the agent is paid."""
        reward: Score = check_part(self.name, "reward", self.make_reward(self.settings))
        return reward

    @cached_property
    def gold(self) -> Score | None:
        """The true score, or None."""
        return self.make_gold(self.settings) if self.make_gold else None

    @cached_property
    def success(self) -> Score | None:
        """Whether a text solves the task, or None where that is not defined."""
        return self.make_success(self.settings) if self.make_success else None

    @cached_property
    def constraints(self) -> tuple[Constraint, ...]:
        """Rules on the next token, all of which must agree."""
        rules = self.make_constraints(self.settings) if self.make_constraints else ()
        return tuple(check_part(self.name, "constraints", rules))

    @cached_property
    def stop(self) -> StopRule | None:
        """The task's own end of a text, or None."""
        return self.make_stop(self.settings) if self.make_stop else None

    @cached_property
    def partner(self) -> Partner | None:
        """The other side of a conversation, or None."""
        return check_part(self.name, "partner", self.make_partner(self.settings)) if self.make_partner else None

    @cached_property
    def turn_tokens(self) -> int:
        """The most tokens of one turn of the agent, its end id included."""
        return check_count(self.name, "max_new_tokens", self.max_new_tokens(self.settings))

    @cached_property
    def turns(self) -> int:
        """How many turns the agent has."""
        return check_count(self.name, "max_turns", self.max_turns(self.settings)) if self.max_turns else 1

    @cached_property
    def budget(self) -> int:
        """T, the most tokens a text may have, end ids and the partner's replies included."""
        reply = self.partner.max_reply_tokens if self.partner is not None else 0
        return self.turns * (self.turn_tokens + reply)

    @cached_property
    def facts(self) -> Facts:
        """Random, blind and best return for each split, as far as they are known."""
        return self.make_facts(self.settings) if self.make_facts else {}

    @property
    def default_split(self) -> str:
        """``"train"`` where the prompts declare splits, else ``"all"``."""
        return "train" if self.prompts.has_splits else "all"

    def returns(self, split: str | None = None, kind: str = "reward") -> Returns:
        """Random, blind and best return on a split.

        Args:
            split: By default the one that environments use.
            kind: ``"reward"`` or ``"gold"``.

        Raises:
            TaskError: if they are not known, saying why.
        """
        split = split or self.default_split
        if split not in self.facts or kind not in self.facts[split]:
            changed = ", ".join(sorted(self.overridden))
            verb = "was" if len(self.overridden) == 1 else "were"
            reason = f"{changed} {verb} overridden" if changed else f"the task states none for split {split!r}"
            raise TaskError(f"the random and best {kind} of {self.name} ({self.level}) are not known: {reason}")
        return self.facts[split][kind]

    @property
    def random_return(self) -> float:
        """Expected reward of random play on the default split; :meth:`returns` has the other splits and gold."""
        return self.returns().random

    @property
    def blind_return(self) -> float:
        """Best reward of one fixed text for all prompts of the default split; see :meth:`returns` for the rest."""
        return self.returns().blind

    @property
    def max_return(self) -> float:
        """Best reward on the default split, a lower bound where ``returns().is_exact("best")`` says no."""
        return self.returns().best

    @cached_property
    def language_model(self) -> NGramLanguageModel | None:
        """A trigram model of 2,000 demonstrations for the training prompts; None where the task has none."""
        if self.make_demonstration is None:
            return None
        rng = np.random.default_rng(spawn_seed(0, "language model", self.name, self.level))
        rows = np.resize(self.prompts.rows(self.prompts.splits[0]), DEMONSTRATIONS).tolist()
        texts = [self.encode_completion(self.demonstrate(self.prompts.prompts[row], rng)) for row in rows]
        contexts = self.prompts.ids[rows].tolist()
        return NGramLanguageModel.fit(texts, contexts=contexts, vocab_size=self.tokenizer.vocab_size)

    def automaton(self, prompt_index: int, kind: str = "reward") -> Automaton | None:
        """The reward (or gold) of a prompt as a finite machine, where it offers one (:mod:`textgym.automata`)."""
        make = getattr(self.gold if kind == "gold" else self.reward, "automaton", None)
        return None if make is None else make(self.prompts, prompt_index, self.tokenizer)

    def best_text(self, prompt: Prompt | str) -> str:
        """The best text under gold for this prompt (the oracle's answer)."""
        if self.make_oracle is None:
            raise TaskError(f"the task {self.name} has no oracle" + (" once overridden" if self.overridden else ""))
        if self.partner is not None:
            raise TaskError(f"{self.name} is a conversation: best_turn says what to write next, given the turns so far")
        return self.make_oracle(self.settings)(self._prompt(prompt))

    def best_turn(self, prompt: Prompt | str, turns: Sequence[tuple[str, str]] = ()) -> str:
        """What the oracle writes next after these turns, each ``("agent" or "partner", text)``; else the best text."""
        if self.partner is None or self.make_oracle is None:
            return self.best_text(prompt)
        return self.make_oracle(self.settings)(self._prompt(prompt), tuple(turns))

    def demonstrate(self, prompt: Prompt | str, rng: np.random.Generator) -> str:
        """A typical text of mixed quality for this prompt, as people might write it."""
        if self.make_demonstration is None:
            raise TaskError(
                f"the task {self.name} has no demonstrations" + (" once overridden" if self.overridden else "")
            )
        return self.make_demonstration(self.settings)(self._prompt(prompt), rng)

    def encode_completion(self, text: str) -> list[int]:
        """The ids that write this text: its tokens, then the end id if the budget has room for it."""
        ids = [*self.tokenizer.encode(text), self.tokenizer.eos_ids[0]]
        return ids[: self.budget]

    def _prompt(self, prompt: Prompt | str) -> Prompt:
        return prompt if isinstance(prompt, Prompt) else self.prompts.prompts[self.prompts.index_of(prompt)]

    def override(
        self,
        *,
        prompts: Sequence[Prompt] | None = None,
        tokenizer: Tokenizer | str | dict[str, Any] | None = None,
        reward: Score | None = None,
        max_new_tokens: int | None = None,
        max_prompt_tokens: int | None = None,
    ) -> Task:
        """The task with some parts replaced; every fact that depends on them is dropped."""
        given = {"prompts": prompts, "tokenizer": tokenizer, "reward": reward, "max_new_tokens": max_new_tokens}
        fields = changed_fields(self, given, max_prompt_tokens)
        return replace(self, **fields) if fields else self

    def with_options(self, given: Mapping[str, Any]) -> Task:
        """The task under arguments of its own, on all levels; without its facts if that changes anything.

        Args:
            given: Values of some of :attr:`options`.
        """
        fields = changed_options(self, given)
        return replace(self, **fields) if fields else self

    def __getstate__(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}

    def __reduce__(self) -> str | tuple[Any, ...]:
        if self.registered and _look_up(self.name, self.level).__getstate__() == self.__getstate__():
            return _look_up, (self.name, self.level)  # the other process builds tables and weights once
        return super().__reduce__()

    def __deepcopy__(self, memo: dict[int, Any]) -> Task:
        return self

    def __repr__(self) -> str:
        changed = f", {', '.join(self.overridden)} overridden" if self.overridden else ""
        return f"Task({self.name!r}, level={self.level!r}{changed})"


def _look_up(name: str, level: str) -> Task:
    """A registered task, found again by its name; the list of tasks stands above this module, so it is not imported."""
    task: Task = import_module("textgym.tasks").get(name, level)
    return task
