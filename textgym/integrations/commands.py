"""Admissible commands as a tree over token ids: which token may come next, and where a command is complete."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from textgym.errors import TokenizerError
from textgym.tokenizers import Tokenizer


@dataclass
class CommandNode:
    """All commands that begin with the same ids.

    Attributes:
        children: The next id -> the commands that go on with it.
        command: The command that is complete here, as the environment spelt it, or None.
    """

    children: dict[int, CommandNode] = field(default_factory=dict)
    command: str | None = None


def command_tree(commands: Iterable[str], tokenizer: Tokenizer, max_tokens: int) -> CommandNode:
    """Builds the tree of all commands; its root has no ids yet.

    A command that is reached through the tree is sent as the environment spelt it, so that nothing is lost
    between text and ids.

    Args:
        commands: What may be said; the same command may stand there twice.
        tokenizer: The vocabulary.
        max_tokens: The most ids of one command.

    Raises:
        TokenizerError: for a command with words outside the vocabulary, one that is too long, or two different ones
            with the same ids, since an agent could not write them.

    Example:
        >>> from textgym.tokenizers import WordTokenizer
        >>> tree = command_tree(["go north", "go south", "go"], WordTokenizer(["go", "north", "south"]), 4)
        >>> sorted(tree.children), sorted(tree.children[0].children), tree.children[0].command
        ([0], [1, 2], 'go')
    """
    root = CommandNode()
    for command in dict.fromkeys(commands):
        node = root
        for token in _ids(command, tokenizer, max_tokens):
            node = node.children.setdefault(token, CommandNode())
        if node.command is not None:
            raise TokenizerError(
                f"the commands {node.command!r} and {command!r} have the same token ids in {tokenizer!r}, so no agent "
                "could choose between them; use a tokenizer that keeps them apart, such as CharTokenizer"
            )
        node.command = command
    return root


def _ids(command: str, tokenizer: Tokenizer, max_tokens: int) -> list[int]:
    ids = tokenizer.encode(command)
    forbidden = set(ids) & {*tokenizer.special_ids, *tokenizer.eos_ids}
    if forbidden:
        raise TokenizerError(
            f"the admissible command {command!r} has words that the vocabulary has not: it becomes "
            f"{[tokenizer.tokens[token] for token in ids]}; add them to the tokenizer"
        )
    if len(ids) > max_tokens:
        raise TokenizerError(
            f"the admissible command {command!r} has {len(ids)} tokens, and max_new_tokens={max_tokens}; raise it"
        )
    return ids
