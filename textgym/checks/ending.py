"""Rules about what the ending step says of the text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from textgym.checks.basics import BASE
from textgym.checks.comparing import difference
from textgym.checks.rules import NotApplicableError, rule
from textgym.checks.subject import Subject
from textgym.checks.transitions import budget, endings, ends_at_once, stops
from textgym.episodes import STOP_REASONS

ENDING_KEYS = {"prompt", "completion", "stop_reason", "num_tokens", "reward_parts", "reward_valid"}


@rule(
    mend="Put all of prompt, completion, stop_reason, num_tokens, reward_parts, reward_valid into the last info only",
    needs=(*BASE, endings, budget, ends_at_once),
)
def ending_info(subject: Subject) -> Iterator[str]:
    """The ending step's info has the keys of the contract, other infos have none of them, and none holds a NaN."""
    for episode in subject.episodes:
        if missing := ENDING_KEYS - episode.last.output["info"].keys():
            yield f"the info of an ending step lacks {', '.join(sorted(missing))}"
        for output in [episode.start, *(step.output for step in episode.steps[:-1])]:
            if early := ENDING_KEYS & output["info"].keys():
                yield f"an info before the end has {', '.join(sorted(early))}"
        for output in episode.outputs:
            for name, value in output["info"].items():
                if _has_nan(value):
                    yield f"info[{name!r}] is or holds a NaN: {value!r}"


def _has_nan(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_nan, value.values()))
    return isinstance(value, float | np.floating | np.ndarray) and bool(np.any(value != value))


@rule(mend="Decode all ids that were written at once, without special ids, and count every one", needs=(ending_info,))
def what_was_written(subject: Subject) -> Iterator[str]:
    """Prompt, completion and num_tokens in the last info say what was asked and written."""
    _refuse_conversations(subject)
    for episode in subject.episodes:
        info = episode.last.output["info"]
        expected = {
            "prompt": subject.task.prompts.texts[episode.prompt_index],
            "completion": subject.task.tokenizer.decode(episode.actions),
            "num_tokens": len(episode.actions),
        }
        if found := difference({name: info[name] for name in expected}, expected):
            yield f"after the ids {episode.actions} info is wrong, {found}"


@rule(
    mend="Set exactly one of 'eos', 'stop', 'length' and 'illegal'; the end id wins over stop, and stop over length",
    needs=(ending_info,),
)
def stop_reason(subject: Subject) -> Iterator[str]:
    """Every ended text has exactly one stop reason, the right one."""
    _refuse_conversations(subject)
    ends = set(subject.task.tokenizer.eos_ids)
    for episode in subject.episodes:
        found = episode.last.output["info"]["stop_reason"]
        if found not in STOP_REASONS[1:]:
            yield f"stop_reason is {found!r}, expected one of {', '.join(map(str, STOP_REASONS[1:]))}"
        if not episode.legal or found == "illegal":
            continue  # the masks have a rule of their own
        expected = "stop" if stops(subject, episode.actions) else "length"
        expected = "eos" if episode.actions[-1] in ends else expected
        if found != expected:
            yield f"stop_reason is {found!r} after the ids {episode.actions}, expected {expected!r}"


def _refuse_conversations(subject: Subject) -> None:
    if subject.task.partner is not None:
        raise NotApplicableError("the partner of a conversation writes too")
