"""What a chat model is told of an environment, and how the texts that it writes become token ids.

The model is sent the task's own sentence, the vocabulary and the budget; then come the prompt and, in conversations,
all turns so far. Its text is what follows the marker on the last line that begins with it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.chat_settings import Conversation
from textgym.legality import read_rules, tabulate
from textgym.task import Task
from textgym.tokenizers import CharTokenizer, WordTokenizer

Turns = Sequence[tuple[str, str]]
"""What was said so far: ("agent" or "partner", text)."""

MOST_LISTED = 2_000
"""Words of a vocabulary that are listed one by one; of larger ones the model is told the size."""

_MOST_PROMPTS = 100_000  # up to which prompts are shown as they were written, and not as they were encoded
_QUOTES = "\"'`“”‘’"
_MOST_CHOICES = 50  # that are named before a text
_NOTHING = "(nothing)"  # endpoints refuse messages without content


@dataclass(frozen=True)
class Reading:
    """What could be read in an answer.

    Attributes:
        ids: The tokens of the text up to its first fault, the end id last if the budget has room for it.
        fault: Why that is not all that the answer says: there is no text in it, a word stands in no vocabulary, or
            it is longer than the budget. Empty where all of it was read.
    """

    ids: tuple[int, ...]
    fault: str = ""


@dataclass(frozen=True)
class Briefing:
    r"""All that is said about a task to a model that cannot see it.

    Args:
        task: The task.
        marker: What stands before the text in an answer; empty where the whole answer is the text.
        instructions: Further sentences for the model.
        system_role: Whether they are a message of their own, or the beginning of the first one.

    Example:
        >>> from textgym.tasks import get
        >>> briefing = Briefing(get("Reviews", "tiny"), marker="Text:")
        >>> briefing.read("Let me see.\nText: was great", 4).fault
        ''
        >>> briefing.read("I would rather not.", 4).fault
        'no text'
    """

    task: Task
    marker: str = "Text:"
    instructions: str = ""
    system_role: bool = True
    _texts: dict[bytes, str | None] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def legal(self) -> NDArray[np.bool_]:
        """``(V,)`` what may be written as far as it does not depend on the text."""
        return read_rules(self.task).fixed_mask

    @cached_property
    def rules(self) -> str:
        """The instructions."""
        form = f"Your last line is '{self.marker} ' and the text, with nothing after it. " if self.marker else ""
        form = form or "Your answer is the text, and nothing else. "
        sentences = [
            f"You play a game of writing. The task: {self.task.summary}",
            *(["It is a conversation: each of your answers is one turn of it."] if self.task.partner else []),
            self._vocabulary(),
            f"{form}No quotation marks, no formatting.",
            self.instructions,
        ]
        return "\n".join(sentence for sentence in sentences if sentence)

    def _vocabulary(self) -> str:
        tokenizer, most = self.task.tokenizer, self.task.turn_tokens
        if not isinstance(tokenizer, CharTokenizer | WordTokenizer):
            return f"The text may have {most} {_plural('token', most)} at most."
        kind = "character" if isinstance(tokenizer, CharTokenizer) else "word"
        listed = [tokenizer.tokens[index] for index in np.flatnonzero(self._used) if index not in tokenizer.eos_ids]
        count = f"The text may have {most} {_plural(kind, most)} at most"
        if len(listed) > MOST_LISTED:
            return f"{count}, all of them from a vocabulary of {len(listed):,} {kind}s."
        shown = " ".join(map(repr, listed) if kind == "character" else listed)
        return f"{count}, and these {kind}s only, spelled as here:\n{shown}"

    @cached_property
    def _used(self) -> NDArray[np.bool_]:
        """``(V,)`` what may be written anywhere in a text, as far as that is known."""
        table = tabulate(read_rules(self.task), self.task.tokenizer)
        return self.legal if table is None else np.asarray(table.masks.any(axis=0))

    def ask(
        self, prompt: str, turns: Turns = (), *, written: str = "", first: NDArray[np.bool_] | None = None
    ) -> Conversation:
        """The messages that ask for the next text.

        Args:
            prompt: The prompt's text.
            turns: What was said so far.
            written: How the text begins that the model is to go on with.
            first: ``(V,)`` what may come first; the model is told where the rules of the task leave few choices.
        """
        said = [("partner", prompt), *turns]
        roles = {"agent": "assistant", "partner": "user"}
        messages = [{"role": roles[side], "content": self._shown(side, text)} for side, text in said]
        hints = [f"Your text begins so: {written}\nGive only what comes after that."] if written else []
        hints += [] if first is None else self._choices(first)
        messages[-1]["content"] = "\n\n".join([messages[-1]["content"], *hints])
        if self.system_role:
            return [{"role": "system", "content": self.rules}, *messages]
        messages[0]["content"] = f"{self.rules}\n\n{messages[0]['content']}"
        return messages

    def _choices(self, first: NDArray[np.bool_]) -> list[str]:
        listed = np.flatnonzero(first & self._used)
        if len(listed) > _MOST_CHOICES or not (self._used & ~first).any():
            return []
        names = [self.task.tokenizer.tokens[index] for index in listed if index not in self.task.tokenizer.eos_ids]
        ends = ["nothing at all"] if len(names) < len(listed) else []
        return [f"The rules allow one of these to come first: {', '.join([*names, *ends])}"]

    def _shown(self, side: str, text: str) -> str:
        return f"{self.marker} {text}".strip() or _NOTHING if side == "agent" else (text.strip() and text) or _NOTHING

    def prompt_of(self, ids: NDArray[np.int32]) -> str:
        """The text of a prompt ``(P,)``, as it was written where that is known; else its tokens."""
        prompts = self.task.prompts
        if not self._texts and not prompts.is_streamed and len(prompts) <= _MOST_PROMPTS:
            for row, text in zip(np.asarray(prompts.ids), prompts.texts, strict=True):
                key = row.tobytes()
                self._texts[key] = text if self._texts.get(key, text) == text else None  # two that look the same
        known = self._texts.get(np.asarray(ids, dtype=prompts.ids.dtype).tobytes())
        return self.decode(ids) if known is None else known

    def decode(self, ids: Any) -> str:
        """Ids as text, padding left out."""
        return self.task.tokenizer.decode([int(index) for index in ids if index < self.task.tokenizer.vocab_size])

    def read(self, answer: str, room: int) -> Reading:
        """The text in an answer, as ids.

        Args:
            answer: What the model said.
            room: How many tokens may be written, the end id included.
        """
        tokenizer = self.task.tokenizer
        end = tokenizer.eos_ids[0]
        text = self._find(answer)
        if text is None:
            return Reading((end,), "no text")
        ids = self._encode(text)
        bad = next((place for place, index in enumerate(ids) if self._is_foreign(index)), None)
        found = ids if bad is None else ids[:bad]
        fault = "too long" if len(found) > room else "" if bad is None else "unknown word"
        return Reading((*found[:room], end)[:room], fault)

    def _find(self, answer: str) -> str | None:
        """What stands behind the last marker; one line, unless the vocabulary has line breaks."""
        if self.marker:
            before = re.compile(rf"^[ \t>#*_`-]*{re.escape(self.marker)}[*_`]*", re.MULTILINE | re.IGNORECASE)
            found = [*before.finditer(answer)]
            if not found:
                return None
            answer = answer[found[-1].end() :]
        elif not answer.strip():  # nothing was said at all
            return None
        text = answer.strip()
        return text if self._has_lines else (text.splitlines() or [""])[0].rstrip()

    @cached_property
    def _has_lines(self) -> bool:
        ids = self._encode("\n")
        return bool(ids) and not any(map(self._is_foreign, ids))

    def _encode(self, text: str) -> list[int]:
        ids = self.task.tokenizer.encode(text)
        quoted = len(text) > 1 and text[0] in _QUOTES and text[-1] in _QUOTES
        return self.task.tokenizer.encode(text[1:-1]) if quoted and any(map(self._is_foreign, ids)) else ids

    def _is_foreign(self, index: int) -> bool:
        """Whether an id is of no text that an agent may write; end ids within a text are none either."""
        return index in self.task.tokenizer.special_ids or index in self.task.tokenizer.eos_ids


def elect(readings: Sequence[Reading]) -> Reading:
    """The commonest text among those that were read whole, of equally common ones the first; else the first.

    Wang et al. (2023), "Self-Consistency Improves Chain of Thought Reasoning in Language Models".

    Example:
        >>> elect([Reading((1, 9)), Reading((2, 9)), Reading((2, 9)), Reading((9,), "no text")]).ids
        (2, 9)
    """
    votes = Counter(reading for reading in readings if not reading.fault)
    return votes.most_common(1)[0][0] if votes else readings[0]


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
