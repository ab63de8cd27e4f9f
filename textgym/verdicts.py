"""What a judge's answer says: a rating, a yes or no, or the better of two; None wherever that is in doubt."""

from __future__ import annotations

import re

LOWEST, HIGHEST = 0.0, 10.0

_NUMBER = re.compile(r"(?<![\w.,%-])-?\d+(?:[.,]\d+)?(?!\w|[.,-]\d|\s{0,3}%)", re.ASCII)
_OUT_OF = re.compile(r"\s{0,3}(?:/|out of)\s{0,3}10(?:\.0)?(?![\d.]\d|\d)", re.ASCII | re.IGNORECASE)
_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_FILLERS = {"text", "answer", "option"}


def read_rating(answer: str) -> float | None:
    r"""The rating in an answer, or None where there is none, there are several, or it is not from 0 to 10.

    Example:
        >>> [read_rating(text) for text in ("Rating: 7", "7.5/10", "between 3 and 8", "Rating: 11", "great")]
        [7.0, 7.5, None, None, None]
        >>> read_rating("It has 3 faults.\n**Rating: 6**")
        6.0
    """
    text = _OUT_OF.sub("", _THOUGHT.sub("", answer))
    numbers = {float(number.replace(",", ".")) for number in _NUMBER.findall(_after(text, "rating:") or text)}
    rating = numbers.pop() if len(numbers) == 1 else None
    return rating if rating is not None and LOWEST <= rating <= HIGHEST else None


def read_yes_no(answer: str) -> float | None:
    r"""1.0 for yes, 0.0 for no, and None where an answer says neither or both.

    Example:
        >>> [read_yes_no(text) for text in ("Yes.", "It is not short.\nAnswer: no", "yes and no", "maybe")]
        [1.0, 0.0, None, None]
    """
    text = _THOUGHT.sub("", answer)
    found = {"yes", "no"}.intersection(_words(_after(text, "answer:") or text))
    return float(found == {"yes"}) if len(found) == 1 else None


def read_better(answer: str) -> str | None:
    r"""``"a"``, ``"b"`` or ``"tie"``, and None where an answer says none or several of them.

    Example:
        >>> [read_better(text) for text in ("Better: A", "Text B.", "A is a fine text.\nBetter: tie", "It is a text")]
        ['a', 'b', 'tie', None]
    """
    text = _THOUGHT.sub("", answer)
    said = _words(_after(text, "better:"))[:1] or [word for word in _words(text) if word not in _FILLERS]
    return said[0] if len(said) == 1 and said[0] in ("a", "b", "tie") else None  # more words: "a" may be an article


def _after(text: str, mark: str) -> str:
    """The rest of the line behind the last mark, or nothing."""
    _, found, last = text.lower().rpartition(mark)
    return last.strip().partition("\n")[0] if found else ""


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())
