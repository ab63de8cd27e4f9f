"""A model's tokenizer beside an environment's: made of it, compared with it, and what stands before a prompt."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from textgym.agents.lm.export import to_transformers
from textgym.errors import ConfigurationError
from textgym.huggingface import HuggingFaceTokenizer
from textgym.task import Task
from textgym.tokenizers import WordTokenizer

CHAT = (
    "{{ bos_token }}{% for message in messages %}{{ message['content'] }}"
    "{{ eos_token if message['role'] == 'assistant' else '$' }}{% endfor %}"
)
"""Prompt and answer as the environment has them, one behind the other; ``$`` stands for what separates words."""

FORBIDDEN = -1e4
"""A logit: small enough for a probability of 0, and a number in half precision too."""


def make_tokenizer(task: Task) -> Any:
    """The tokenizer of a task as one of ``transformers``, with the same ids.

    Textgym's own get a chat template that puts the end token behind answers, and what spells an end token is one.

    Raises:
        ConfigurationError: for a tokenizer of somebody's own, which cannot be written down as one.
    """
    made = to_transformers(task.tokenizer)
    if made is None:
        raise ConfigurationError(
            f"{task.tokenizer!r} cannot be made a tokenizer of transformers; make the environment with "
            "tokenizer='char', 'word', 'byte' or a HuggingFaceTokenizer"
        )
    if not isinstance(task.tokenizer, HuggingFaceTokenizer):
        made.split_special_tokens = False  # other libraries spell the end token to have it encoded
        made.chat_template = CHAT.replace("$", " " if isinstance(task.tokenizer, WordTokenizer) else "")
    return made


def forbid_ids(model: Any, legal: NDArray[np.bool_]) -> None:
    """Gives ids that are illegal everywhere a logit that no text survives, in this process: nothing of it is saved.

    Args:
        model: A causal language model of ``transformers``; its output head is changed.
        legal: ``(V,)``; rows of the head beyond it are illegal.

    Raises:
        ConfigurationError: for a head that has a bias of its own.
    """
    head = model.get_output_embeddings()
    bias = head.weight.new_full((head.weight.shape[0],), FORBIDDEN)
    bias[: len(legal)][torch.from_numpy(legal).to(bias.device)] = 0.0
    if head.bias is not None:
        raise ConfigurationError(f"the output head of {type(model).__name__} has a bias of its own; leave it as it is")
    del head.bias
    head.register_buffer("bias", bias, persistent=False)


def as_asked(task: Task, text: str) -> Any:
    """A prompt as a text, or as messages where the task's tokenizer has a chat template."""
    if getattr(task.tokenizer, "chat_template", None) is None:
        return text
    system = getattr(task.tokenizer, "system", None)
    messages = [] if system is None else [{"role": "system", "content": system}]
    return [*messages, {"role": "user", "content": text}]


def text_of(prompt: Any) -> str:
    """The text of a prompt given as :func:`as_asked` has it."""
    return str(prompt if isinstance(prompt, str) else prompt[-1]["content"])


def same_texts(task: Task) -> dict[str, list[int]]:
    """The rows of every prompt whose text is in the table more than once, by that text; streamed ones are left out."""
    rows = defaultdict[str, list[int]](list)
    for row, text in enumerate(() if task.prompts.is_streamed else task.prompts.texts):
        rows[text].append(row)
    return {text: found for text, found in rows.items() if len(found) > 1}


def find_begin(task: Task, tokenizer: Any) -> int | None:
    """The id that a model's tokenizer puts before a prompt; None where it puts none or a chat template does.

    An empty prompt leaves a model nothing to begin with: where there is one, and nothing else, the end id stands there.

    Raises:
        ConfigurationError: for more than one id.
    """
    if getattr(task.tokenizer, "chat_template", None) is not None:
        return None
    before = list(tokenizer("")["input_ids"])
    if not before and (task.prompts.ids == task.tokenizer.vocab_size).all(axis=1).any():
        before = [tokenizer.eos_token_id]
    if len(before) > 1:
        raise ConfigurationError(
            f"the model's tokenizer puts the ids {before} around prompts; expected one begin token at most, and "
            "nothing behind them"
        )
    return int(before[0]) if before else None


def compare_tokens(task: Task, tokenizer: Any) -> None:
    """Refuses a model's tokenizer whose ids are not the environment's; it may have more of them.

    Raises:
        ConfigurationError: names the first id that differs, or what ends a text.
    """
    own = to_transformers(task.tokenizer)
    theirs = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    size = task.tokenizer.vocab_size
    ours = list(task.tokenizer.tokens) if own is None else own.convert_ids_to_tokens(list(range(size)))
    advice = (
        "build the model for the environment's tokenizer, or make the environment with tokenizer=PATH of the model's"
    )
    for index, token in enumerate(ours):
        other = theirs[index] if index < len(theirs) else None
        if other != token and (token is not None or index < len(theirs)):
            raise ConfigurationError(
                f"a token id of the environment must be a token id of the model: id {index} is {token!r} in the "
                f"environment and {'nothing' if other is None else repr(other)} in the model's tokenizer; {advice}"
            )
    if tokenizer.eos_token_id not in task.tokenizer.eos_ids:
        raise ConfigurationError(
            f"the model's tokenizer ends texts with id {tokenizer.eos_token_id}, the environment with "
            f"{list(task.tokenizer.eos_ids)}; {advice}"
        )
