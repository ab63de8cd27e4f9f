"""Tokenizers: text to token ids and back.

Token ids are the actions of an environment, so a tokenizer here says more than usual: how many ids
there are, which of them end a text, and which of them an agent may never write.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from textgym.errors import ConfigurationError, TokenizerError, UnknownNameError, unknown_name
from textgym.huggingface import HuggingFaceTokenizer

__all__ = [
    "ByteTokenizer",
    "CharTokenizer",
    "HuggingFaceTokenizer",
    "Tokenizer",
    "WordTokenizer",
    "build_tokenizer",
    "fingerprint",
    "join_words",
    "split_words",
]

EOS_TOKEN = "<eos>"
UNK_TOKEN = "<unk>"
_OPTIONS = ("path_or_name", "revision", "chat_template", "system")


@runtime_checkable
class Tokenizer(Protocol):
    """What an environment asks of a tokenizer; any object with these members will do."""

    @property
    def vocab_size(self) -> int:
        """Number of token ids; ids are ``0 .. vocab_size - 1``."""
        ...

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """The ids that end a text; the first is the one that an oracle writes."""
        ...

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids that an agent may not write (unknown, padding, ...), end ids excluded."""
        ...

    @property
    def unk_id(self) -> int | None:
        """The id of text outside the vocabulary, or None if there is no such text."""
        ...

    @property
    def tokens(self) -> tuple[str, ...]:
        """What each id looks like on its own, for pictures: ``len(tokens) == vocab_size``."""
        ...

    def encode(self, text: str) -> list[int]:
        """Turns text into ids, without end ids."""
        ...

    def decode(self, ids: Iterable[int]) -> str:
        """Turns a whole id sequence into text; special and end ids leave no trace."""
        ...


def fingerprint(tokenizer: Tokenizer) -> str:
    """A short hash of a vocabulary: learned rewards are bound to it.

    Example:
        >>> fingerprint(CharTokenizer("ab")) == fingerprint(CharTokenizer("ba"))
        False
    """
    parts = [type(tokenizer).__name__, repr(tokenizer.eos_ids), *tokenizer.tokens]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


class _ListTokenizer:
    """A vocabulary given as a list of strings, to which ``<eos>`` and ``<unk>`` are appended."""

    def __init__(self, pieces: Iterable[str], kind: str) -> None:
        known = tuple(pieces)
        repeated = [piece for piece, count in Counter((*known, EOS_TOKEN, UNK_TOKEN)).items() if count > 1]
        if repeated:
            raise TokenizerError(f"the {kind} {repeated[0]!r} stands twice in the vocabulary; list each {kind} once")
        if not known:
            raise TokenizerError(f"an empty vocabulary: expected at least one {kind}")
        self.tokens: tuple[str, ...] = (*known, EOS_TOKEN, UNK_TOKEN)
        self.vocab_size = len(self.tokens)
        self.eos_ids: tuple[int, ...] = (len(known),)
        self.unk_id: int | None = len(known) + 1
        self.special_ids: frozenset[int] = frozenset({len(known) + 1})

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {piece: index for index, piece in enumerate(self.tokens[:-2])}

    def _encode_pieces(self, pieces: Iterable[str]) -> list[int]:
        unknown = self.vocab_size - 1
        return [self._ids.get(piece, unknown) for piece in pieces]

    def _visible(self, ids: Iterable[int]) -> list[str]:
        size = self.vocab_size - 2
        return [self.tokens[index] for index in ids if 0 <= index < size]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.vocab_size} ids)"


class CharTokenizer(_ListTokenizer):
    """One character (Unicode code point) per token.

    Args:
        alphabet: The characters, in id order; ``<eos>`` and ``<unk>`` are appended.

    Example:
        >>> tokenizer = CharTokenizer("abc")
        >>> tokenizer.encode("cab!"), tokenizer.decode([2, 0, 1, 3])
        ([2, 0, 1, 4], 'cab')
    """

    def __init__(self, alphabet: Iterable[str]) -> None:
        characters = tuple(alphabet)
        long = [piece for piece in characters if len(piece) != 1]
        if long:
            raise TokenizerError(f"{long[0]!r} is not one character; use WordTokenizer for words")
        super().__init__(characters, "character")

    def encode(self, text: str) -> list[int]:
        """Turns each character into its id, or into ``<unk>``."""
        return self._encode_pieces(text)

    def decode(self, ids: Iterable[int]) -> str:
        """Joins the characters; special and end ids leave no trace."""
        return "".join(self._visible(ids))


# Chinese and Japanese write no spaces: each such character is a word of its own.
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\u3000-\u303f\U00020000-\U0003134f"
WORD_PATTERN = rf"[{_CJK}]|[^\W{_CJK}]+(?:['’-][^\W{_CJK}]+)*|[^\w\s]"
NO_SPACE_BEFORE_PATTERN = rf"[{_CJK}.,;:!?%)\]}}…]"
NO_SPACE_AFTER_PATTERN = rf"[{_CJK}(\[{{]"
_WORD = re.compile(WORD_PATTERN)
_NO_SPACE_BEFORE = re.compile(NO_SPACE_BEFORE_PATTERN)
_NO_SPACE_AFTER = re.compile(NO_SPACE_AFTER_PATTERN)


def split_words(text: str) -> list[str]:
    """Splits text into words, punctuation marks and single CJK characters.

    Example:
        >>> split_words("It isn't bad, 好看!")
        ['It', "isn't", 'bad', ',', '好', '看', '!']
    """
    return _WORD.findall(text)


def join_words(words: Sequence[str]) -> str:
    """Joins words with spaces, but none before punctuation or beside CJK characters.

    Example:
        >>> join_words(["It", "is", "好", "看", "!"])
        'It is好看!'
    """
    text = ""
    for word in words:
        glued = not text or _NO_SPACE_BEFORE.match(word[:1]) or _NO_SPACE_AFTER.match(text[-1])
        text += word if glued else f" {word}"
    return text


class WordTokenizer(_ListTokenizer):
    """One word per token, as :func:`split_words` finds them.

    Args:
        words: The vocabulary, in id order; ``<eos>`` and ``<unk>`` are appended.

    Raises:
        TokenizerError: for a word that :func:`split_words` never finds, since no prompt could hold it.

    Example:
        >>> tokenizer = WordTokenizer(["was", "great"])
        >>> tokenizer.encode("was really great"), tokenizer.decode([0, 1, 2])
        ([0, 3, 1], 'was great')
    """

    def __init__(self, words: Iterable[str]) -> None:
        if isinstance(words, str):  # would be taken letter by letter
            raise TokenizerError(f"WordTokenizer({words!r}): expected a list of words, such as split_words({words!r})")
        super().__init__(words, "word")
        for word in self.tokens[:-2]:
            if not _WORD.fullmatch(word):
                raise TokenizerError(
                    f"{word!r} is not one word, so no text could ever hold it: split_words gives {split_words(word)}"
                )
        self._needs_rules = any(_NO_SPACE_BEFORE.match(w[:1]) or _NO_SPACE_AFTER.match(w[-1:]) for w in self.tokens)

    def encode(self, text: str) -> list[int]:
        """Turns each word into its id, or into ``<unk>``."""
        return self._encode_pieces(split_words(text))

    def decode(self, ids: Iterable[int]) -> str:
        """Joins the words; special and end ids leave no trace."""
        words = self._visible(ids)
        return join_words(words) if self._needs_rules else " ".join(words)


class ByteTokenizer:
    """One UTF-8 byte per token: 256 ids and ``<eos>``; nothing is ever unknown.

    Example:
        >>> ByteTokenizer().encode("é"), ByteTokenizer().decode([195, 169, 256])
        ([195, 169], 'é')
    """

    vocab_size = 257
    eos_ids: tuple[int, ...] = (256,)
    special_ids: frozenset[int] = frozenset()
    unk_id: int | None = None

    @cached_property
    def tokens(self) -> tuple[str, ...]:
        """Printable ASCII as itself, other bytes as ``<0xNN>``."""
        shown = (chr(value) if 32 <= value < 127 else f"<0x{value:02X}>" for value in range(256))
        return (*shown, EOS_TOKEN)

    def encode(self, text: str) -> list[int]:
        """The UTF-8 bytes of the text."""
        return list(text.encode("utf-8"))

    def decode(self, ids: Iterable[int]) -> str:
        """Decodes the bytes as UTF-8; broken sequences become U+FFFD."""
        return bytes(index for index in ids if 0 <= index < 256).decode("utf-8", errors="replace")

    def __repr__(self) -> str:
        return "ByteTokenizer()"


def _by_frequency(pieces: Iterable[str]) -> list[str]:
    counts = Counter(pieces)
    return sorted(counts, key=lambda piece: (-counts[piece], piece))


def build_tokenizer(name: str | dict[str, Any], texts: Iterable[str]) -> Tokenizer:
    """Builds the tokenizer that a name stands for.

    Args:
        name: ``"char"``, ``"word"``, ``"byte"``, a folder with ``tokenizer.json``, or
            ``{"path_or_name": ..., "chat_template": True, "system": ...}``, the arguments of
            :class:`HuggingFaceTokenizer` (a hub name is only ever taken in this form).
        texts: All prompts and references; "char" and "word" take their vocabulary from them,
            by frequency, then by code point.

    Raises:
        UnknownNameError: for a name that is none of these.
    """
    options = dict(name) if isinstance(name, dict) else {"name": name}
    kind = options.pop("name", "huggingface" if "path_or_name" in options else None)
    if kind == "char" and not options:
        return CharTokenizer(_by_frequency(character for text in texts for character in text))
    if kind == "word" and not options:
        return WordTokenizer(_by_frequency(word for text in texts for word in split_words(text)))
    if kind == "byte" and not options:
        return ByteTokenizer()
    if kind == "huggingface" and "path_or_name" in options and options.keys() <= set(_OPTIONS):
        return HuggingFaceTokenizer(**options)
    if isinstance(kind, str) and kind and not options and Path(kind).exists():
        return HuggingFaceTokenizer(kind)
    if kind in ("char", "word", "byte", "huggingface"):
        expected = ", ".join(_OPTIONS) if kind == "huggingface" else "no further options"
        raise ConfigurationError(f"tokenizer {kind!r} takes {expected}, not {sorted(options) or 'nothing'}")
    error = unknown_name("tokenizer (and no such folder)", kind, ["char", "word", "byte", "huggingface"])
    raise UnknownNameError(f"{error} A tokenizer of the hub is asked for as {{'path_or_name': {kind!r}}}.")


def check_tokenizer(tokenizer: Any) -> Tokenizer:
    """Refuses what is no tokenizer, naming what it lacks."""
    missing = [
        name
        for name in ("vocab_size", "eos_ids", "special_ids", "tokens", "encode", "decode", "unk_id")
        if not hasattr(tokenizer, name)
    ]
    if missing:
        raise ConfigurationError(
            f"tokenizer={tokenizer!r} lacks {', '.join(missing)}; expected a textgym tokenizer, 'word', 'char', 'byte' "
            "or a folder with tokenizer.json"
        )
    if not tokenizer.eos_ids:
        raise ConfigurationError(f"tokenizer={tokenizer!r} has no end-of-text id, so no text could ever end by itself")
    checked: Tokenizer = tokenizer
    return checked
