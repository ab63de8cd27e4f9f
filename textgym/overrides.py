"""What a task loses when a part of it is replaced: the one place that knows which facts hang on which part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from textgym.episodes import Prompt
from textgym.errors import ConfigurationError, check_names
from textgym.returns import Facts
from textgym.streaming import StreamedPrompts
from textgym.tokenizers import Tokenizer, build_tokenizer, check_tokenizer


def changed_fields(task: Any, given: Mapping[str, Any], max_prompt_tokens: int | None) -> dict[str, Any]:
    """The fields of a task that change when some parts are replaced.

    Args:
        task: A :class:`~textgym.task.Task`.
        given: ``prompts``, ``tokenizer``, ``reward`` and ``max_new_tokens``; None where a part stays.
        max_prompt_tokens: Width of the prompt, or None.

    Returns:
        Field -> new value, None for what no longer holds; empty if nothing was given.
    """
    _check_positive(max_new_tokens=given["max_new_tokens"], max_prompt_tokens=max_prompt_tokens)
    changed = {name: value for name, value in given.items() if value is not None}
    fields: dict[str, Any] = {} if max_prompt_tokens is None else {"max_prompt_tokens": max_prompt_tokens}
    if changed or fields:
        fields["overridden"] = {**task.overridden, **changed}
    if "prompts" in changed:
        fields["make_prompts"] = partial(_constant, _kept(changed["prompts"]))
    if "tokenizer" in changed:
        fields["make_tokenizer"] = partial(_constant, _read_tokenizer(task, changed))
    for name in ("reward", "max_new_tokens"):
        if name in changed:
            fields["make_reward" if name == "reward" else name] = partial(_constant, changed[name])
    return {**fields, **_lost(task, set(changed))}


def changed_options(task: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a task that change under arguments of its own.

    Args:
        task: A :class:`~textgym.task.Task`.
        given: Option -> value.

    Returns:
        Field -> new value; empty where the settings stay what they were.

    Raises:
        UnknownNameError: for an option that the task has not.
    """
    check_names(f"option of the task {task.name}", given, task.options)
    levels = {level: replace(settings, **given) for level, settings in task.levels.items()} if given else task.levels
    if levels == task.levels:
        return {}
    adapted = task.adapt(levels[task.level]) if task.adapt else {}
    return {"levels": levels, "make_facts": None, "overridden": {**task.overridden, **given}, **adapted}


def _lost(task: Any, changed: set[str]) -> dict[str, Any]:
    """The facts that hang on a part that is gone."""
    lost: dict[str, Any] = {}
    if "tokenizer" in changed:
        lost |= dict.fromkeys(["make_constraints", "make_stop", "make_partner", "max_turns"])
    if {"prompts", "tokenizer", "max_new_tokens"} & changed:
        lost |= dict.fromkeys(["make_oracle", "make_facts"])
    if {"prompts", "tokenizer"} & changed:
        lost |= dict.fromkeys(["make_gold", "make_success", "make_demonstration"])
    elif "reward" in changed and task.make_facts and "max_new_tokens" not in changed:
        lost["make_facts"] = partial(_only_gold, task.make_facts)
    if "reward" in changed and task.make_gold is None:
        lost["make_oracle"] = None  # it wrote the best text under the reward that is gone
    return lost


def _read_tokenizer(task: Any, changed: Mapping[str, Any]) -> Tokenizer:
    tokenizer = changed["tokenizer"]
    if not isinstance(tokenizer, str | dict):
        return check_tokenizer(tokenizer)
    known: Sequence[Prompt] = changed["prompts"] if "prompts" in changed else task.make_prompts(task.settings)
    if isinstance(known, StreamedPrompts):
        return known.build_tokenizer(tokenizer)
    return build_tokenizer(tokenizer, [text for prompt in known for text in (prompt.text, *prompt.references)])


def _kept(prompts: Sequence[Prompt]) -> Sequence[Prompt]:
    return prompts if isinstance(prompts, StreamedPrompts) else tuple(prompts)


def _constant(value: Any, settings: Any) -> Any:
    return value


def _only_gold(make_facts: Callable[[Any], Facts], settings: Any) -> Facts:
    facts = make_facts(settings)
    return {split: {"gold": kinds["gold"]} for split, kinds in facts.items() if "gold" in kinds}


def _check_positive(**values: int | None) -> None:
    for name, value in values.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ConfigurationError(f"{name}={value!r}: expected a whole number of at least 1")
