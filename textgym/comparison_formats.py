"""Comparisons as rows of the formats that others use, and back: pure functions, no files.

========  =============================================================================================================
jsonl     Everything a :class:`~textgym.comparisons.Comparison` has, under the names of its fields.
trl       TRL's preference format: ``prompt``, ``chosen``, ``rejected``; with ``_messages``, as lists of messages.
unpaired  TRL's unpaired preference format: ``prompt``, ``completion``, ``label``; the same.
arena     The columns of the arena data sets of LMSYS: ``model_a``, ``model_b``, ``prompt``, ``response_a``,
          ``response_b``, ``winner_model_a``, ``winner_model_b``, ``winner_tie``; with ``_winner``, ``winner`` for
          the last three. Text a stood on the left.
========  =============================================================================================================
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from textgym.comparison_records import REQUIRED, Row, from_record, need, text_of, to_record, wrong_value
from textgym.comparisons import Comparison
from textgym.errors import ConfigurationError

Rows = Sequence[tuple[Row, str]]
"""Rows with the place where each was read, for errors."""

DECIDED = ("left", "right")
WINNERS = {"model_a": "left", "model_b": "right", "tie": "tie", "tie (bothbad)": "both_bad"}
ARENA_VOTES = {"left": "winner_model_a", "right": "winner_model_b", "tie": "winner_tie", "both_bad": "winner_tie"}
VOTES = ("winner_model_a", "winner_model_b", "winner_tie")
ARENA = ("id", "model_a", "model_b", "prompt", "response_a", "response_b")
MESSAGES = "prompt_messages"
"""Metadata: the messages of a prompt that has more than one."""


@dataclass(frozen=True)
class Format:
    """One way to write comparisons down.

    Attributes:
        name: What it is called.
        columns: By which its rows are recognised.
        header: The columns of a CSV file; empty for formats that are written as JSON lines.
        choices: Which comparisons it can hold; the others are left out.
        to_rows: Comparisons, of those choices alone, as rows.
        from_rows: Rows as comparisons, and how many rows no comparison could be made of, by reason.
    """

    name: str
    columns: tuple[str, ...]
    header: tuple[str, ...]
    choices: tuple[str, ...]
    to_rows: Callable[[Sequence[Comparison]], list[dict[str, Any]]]
    from_rows: Callable[[Rows], tuple[list[Comparison], dict[str, int]]]

    @property
    def suffix(self) -> str:
        """How the name of a file ends."""
        return ".csv" if self.header else ".jsonl"


# ---- jsonl --------------------------------------------------------------------------------------------------------


def _full_rows(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    return [to_record(item) for item in comparisons]


def _from_full_rows(rows: Rows) -> tuple[list[Comparison], dict[str, int]]:
    return [from_record(row, where) for row, where in rows], {}


# ---- trl ----------------------------------------------------------------------------------------------------------


def _preference_rows(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    return [{"prompt": item.prompt, "chosen": item.chosen, "rejected": item.rejected} for item in comparisons]


def _preference_messages(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    return [
        {
            "prompt": _prompt_messages(item),
            "chosen": [{"role": "assistant", "content": item.chosen}],
            "rejected": [{"role": "assistant", "content": item.rejected}],
        }
        for item in comparisons
    ]


def _prompt_messages(comparison: Comparison) -> list[Any]:
    messages = comparison.metadata.get(MESSAGES)
    return messages if isinstance(messages, list) else [{"role": "user", "content": comparison.prompt}]


def _from_preference_rows(rows: Rows) -> tuple[list[Comparison], dict[str, int]]:
    return [_preference(row, where) for row, where in rows], {}


def _preference(row: Row, where: str) -> Comparison:
    if "prompt" not in row and all(isinstance(need(row, name, where), list) for name in ("chosen", "rejected")):
        row = _with_prompt(row)
    prompt, messages = _asked(row, where)
    more = {name: value for name, value in row.items() if name not in ("prompt", "chosen", "rejected")}
    return _decided(prompt, _said(row, "chosen", where), _said(row, "rejected", where), {**more, **messages})


def _with_prompt(row: Row) -> Row:
    """The row with the messages that both conversations begin with as its prompt."""
    chosen, rejected = row["chosen"], row["rejected"]
    same = 0
    while same < min(len(chosen), len(rejected)) - 1 and chosen[same] == rejected[same]:
        same += 1
    return {**row, "prompt": chosen[:same], "chosen": chosen[same:], "rejected": rejected[same:]}


def _asked(row: Row, where: str) -> tuple[str, dict[str, Any]]:
    """The prompt as text and, where it has more than one message, those as metadata."""
    value = need(row, "prompt", where)
    if not isinstance(value, list) or len(value) < 2:
        return _said(row, "prompt", where), {}
    lines = [f"{message.get('role')}: {message.get('content')}" for message in value if isinstance(message, dict)]
    if len(lines) < len(value):
        raise wrong_value(where, "prompt", value, 'a text, or a list of messages {"role": ..., "content": ...}')
    return "\n".join(lines), {MESSAGES: value}


def _said(row: Row, column: str, where: str) -> str:
    """The text of a column that holds a text or a single message."""
    value = need(row, column, where)
    if not isinstance(value, list):
        return text_of(row, column, where)
    if len(value) != 1 or not isinstance(value[0], dict) or not isinstance(value[0].get("content"), str):
        raise wrong_value(where, column, value, 'a text, or a list of one message {"role": ..., "content": ...}')
    content: str = value[0]["content"]
    return content


def _decided(prompt: str, chosen: str, rejected: str, more: Mapping[str, Any]) -> Comparison:
    """A comparison whose sides nobody knows: they are a hash of the texts, so that no side wins more often."""
    if sha256(repr((prompt, chosen, rejected)).encode()).digest()[0] & 1:
        return Comparison(prompt=prompt, left=chosen, right=rejected, choice="left", metadata=more)
    return Comparison(prompt=prompt, left=rejected, right=chosen, choice="right", metadata=more)


# ---- unpaired -----------------------------------------------------------------------------------------------------


def _unpaired_rows(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    return [
        {"prompt": item.prompt, "completion": completion, "label": label}
        for item in comparisons
        for completion, label in ((item.chosen, True), (item.rejected, False))
    ]


def _unpaired_messages(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    return [
        {
            "prompt": _prompt_messages(item),
            "completion": [{"role": "assistant", "content": row["completion"]}],
            "label": row["label"],
        }
        for item in comparisons
        for row in _unpaired_rows([item])
    ]


def _from_unpaired_rows(rows: Rows) -> tuple[list[Comparison], dict[str, int]]:
    """The first good text of a prompt against its first bad one, and so on."""
    waiting: defaultdict[tuple[str, bool], list[str]] = defaultdict(list)
    found = []
    for row, where in rows:
        prompt, messages = _asked(row, where)
        text, label = _said(row, "completion", where), _label(row, where)
        if others := waiting[prompt, not label]:
            other = others.pop(0)
            found.append(_decided(prompt, *((text, other) if label else (other, text)), messages))
        else:
            waiting[prompt, label].append(text)
    alone = sum(map(len, waiting.values()))
    return found, {"texts without one of the other label": alone} if alone else {}


def _label(row: Row, where: str) -> bool:
    value = need(row, "label", where)
    known = {"true": True, "1": True, "false": False, "0": False}
    if str(value).lower() not in known:
        raise wrong_value(where, "label", value, "true or false")
    return known[str(value).lower()]


# ---- arena --------------------------------------------------------------------------------------------------------


def _arena_rows(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    return [
        {**row, **{vote: int(ARENA_VOTES[item.choice] == vote) for vote in VOTES}}
        for row, item in zip(_arena_texts(comparisons), comparisons, strict=True)
    ]


def _arena_winners(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    names = {choice: winner for winner, choice in WINNERS.items()}
    return [
        {**row, "winner": names[item.choice]} for row, item in zip(_arena_texts(comparisons), comparisons, strict=True)
    ]


def _arena_texts(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """What all arena rows have in common; a is left. Texts that look like lists of turns become lists of one."""
    as_lists = bool(comparisons) and all(_turns(item.prompt) is not None for item in comparisons)
    rows = []
    for number, item in enumerate(comparisons):
        texts = [json.dumps([text]) if as_lists else text for text in (item.prompt, item.left, item.right)]
        models = [item.metadata.get(name, item.policy or "unknown") for name in ("model_a", "model_b")]
        models = models[::-1] if item.swapped else models
        rows.append(dict(zip(ARENA, (item.pair or number, *models, *texts), strict=True)))
    return rows


def _from_arena_rows(rows: Rows) -> tuple[list[Comparison], dict[str, int]]:
    as_lists = bool(rows) and all(_turns(text_of(row, "prompt", where)) is not None for row, where in rows)
    found, longer = [], 0
    for row, where in rows:
        texts: list[str] = [text_of(row, name, where) for name in ("prompt", "response_a", "response_b")]
        if as_lists:
            turns = [_turns(text) for text in texts]
            if any(turn is None or len(turn) != 1 for turn in turns):
                longer += 1
                continue
            texts = [turn[0] for turn in turns if turn]
        found.append(_arena(row, texts, where))
    return found, {"conversations of more than one turn, or without an answer": longer} if longer else {}


def _turns(text: str) -> list[str] | None:
    """The turns of a conversation, where a text is a JSON list of them, as the arena data have it."""
    if not text.startswith("["):
        return None
    try:
        turns = json.loads(text)
    except json.JSONDecodeError:
        return None
    is_list = isinstance(turns, list) and bool(turns) and all(isinstance(turn, str | None) for turn in turns)
    return [turn or "" for turn in turns] if is_list else None


def _arena(row: Row, texts: Sequence[str], where: str) -> Comparison:
    models = [str(row.get(name, "")) for name in ("model_a", "model_b")]
    policies = list(dict.fromkeys(name for name in models if name))
    return Comparison(
        prompt=texts[0],
        left=texts[1],
        right=texts[2],
        choice=_winner(row, where),  # type: ignore[arg-type]
        pair=str(row.get("id", "")),
        policy=" and ".join(policies),
        metadata={"model_a": models[0], "model_b": models[1]} if len(policies) > 1 else {},
    )


def _winner(row: Row, where: str) -> str:
    if "winner" in row:
        if row["winner"] not in WINNERS:
            raise wrong_value(where, "winner", row["winner"], ", ".join(map(repr, WINNERS)))
        return WINNERS[row["winner"]]
    given = {"left": "winner_model_a", "right": "winner_model_b", "tie": "winner_tie"}
    votes = {choice: str(need(row, column, where)) for choice, column in given.items()}
    if sorted(votes.values()) != ["0", "0", "1"]:
        raise ConfigurationError(
            f"{where}, columns {', '.join(map(repr, given.values()))}: {', '.join(votes.values())}; expected a single 1"
        )
    return next(choice for choice, vote in votes.items() if vote == "1")


_FORMATS = (
    Format("jsonl", REQUIRED, (), (*DECIDED, "tie", "both_bad", "skip"), _full_rows, _from_full_rows),
    Format("trl", ("chosen", "rejected"), (), DECIDED, _preference_rows, _from_preference_rows),
    Format("trl_messages", ("chosen", "rejected"), (), DECIDED, _preference_messages, _from_preference_rows),
    Format("unpaired", ("completion", "label"), (), DECIDED, _unpaired_rows, _from_unpaired_rows),
    Format("unpaired_messages", ("completion", "label"), (), DECIDED, _unpaired_messages, _from_unpaired_rows),
    Format("arena", ("response_a", "response_b"), (*ARENA, *VOTES), tuple(ARENA_VOTES), _arena_rows, _from_arena_rows),
    Format(
        "arena_winner",
        ("response_a", "response_b"),
        (*ARENA, "winner"),
        tuple(ARENA_VOTES),
        _arena_winners,
        _from_arena_rows,
    ),
)
FORMATS = {entry.name: entry for entry in _FORMATS}
"""All formats by name; where columns are of several, the first is the one that is read."""
