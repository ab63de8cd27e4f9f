"""Observations: pure functions from token ids to what an agent sees, and their spaces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from textgym.core import GenerationCore
from textgym.errors import ConfigurationError
from textgym.task import Task

Rows = NDArray[np.int64] | slice
ALL = slice(None)


def one_hot(tokens: NDArray[np.int32], vocab_size: int) -> NDArray[np.float32]:
    """One float per position and id, the pad id V included.

    Args:
        tokens: ``(B, W)`` ids from 0 to V.
        vocab_size: V.

    Returns:
        ``(B, W * (V + 1))`` zeros and ones.
    """
    batch, width = tokens.shape
    out = np.zeros((batch, width * (vocab_size + 1)), dtype=np.float32)
    positions = np.arange(width, dtype=np.int64) * (vocab_size + 1) + tokens
    np.put_along_axis(out, positions, np.float32(1.0), axis=1)
    return out


def last_tokens(tokens: NDArray[np.int32], count: int, *, prompt_width: int, vocab_size: int) -> NDArray[np.int32]:
    """The newest ``count`` ids of prompt and completion, left-padded with V: a window for short memories.

    Args:
        tokens: ``(B, P + T)`` buffer with the prompt right-aligned in the first P columns.
        count: Size of the window.
        prompt_width: P.
        vocab_size: V.

    Returns:
        ``(B, count)`` int32.
    """
    lengths = (tokens[:, prompt_width:] != vocab_size).sum(axis=1)
    columns = (prompt_width + lengths)[:, None] + np.arange(-count, 0)
    window = np.take_along_axis(tokens, np.maximum(columns, 0), axis=1)
    window[columns < 0] = vocab_size
    return window


def prefix_index(tokens: NDArray[np.int32], prompt_indices: NDArray[np.int64], task: Task) -> NDArray[np.int64]:
    """Numbers every (prompt, prefix): a number with base V + 1 whose highest digit is the prompt.

    Args:
        tokens: ``(B, P + T)`` buffer.
        prompt_indices: ``(B,)`` rows of the task's prompts.
        task: Says V, P and T.

    Returns:
        ``(B,)`` int64 below ``prefix_count(task)``.
    """
    index = prompt_indices.astype(np.int64)
    for column in tokens[:, task.prompts.width :].T:
        index = index * (task.tokenizer.vocab_size + 1) + column
    return index


def prefix_count(task: Task) -> int:
    """How many numbers :func:`prefix_index` may return."""
    return len(task.prompts) * (task.tokenizer.vocab_size + 1) ** task.budget


def texts(tokens: NDArray[np.int32], prompt_indices: NDArray[np.int64], task: Task) -> tuple[str, ...]:
    """The prompt as the user wrote it, a space, and the completion so far, for each row of ``(B, P + T)`` ids."""
    prompts, decode, pad = task.prompts.texts, task.tokenizer.decode, task.tokenizer.vocab_size
    rows = tokens[:, task.prompts.width :].tolist()
    completions = [decode([token for token in ids if token != pad]) for ids in rows]
    pairs = zip([prompts[index] for index in prompt_indices.tolist()], completions, strict=True)
    return tuple(f"{prompt} {completion}" if completion else prompt for prompt, completion in pairs)


@dataclass(frozen=True)
class Observation:
    """One way to see the state.

    Attributes:
        space: The space of one environment's observation.
        observe: ``(core, rows) -> batch of observations``, always fresh arrays.
        first: Takes the single observation out of a batch of one.
    """

    space: spaces.Space[Any]
    observe: Callable[[GenerationCore, Rows], Any]
    first: Callable[[Any], Any]


def make_observation(kind: str, core: GenerationCore, *, include_mask: bool) -> Observation:
    """Builds the observation of a kind ("tokens", "dict", "one_hot", "text") for this core."""
    if kind == "tokens":
        return Observation(tokens_space(core.width, core.vocab_size), _observe_tokens, _first_row)
    if kind == "one_hot":
        return Observation(one_hot_space(core.task), _observe_one_hot, _first_row)
    if kind == "dict":
        space_with_mask = dict_space(core.width, core.vocab_size, include_mask=include_mask)
        return Observation(space_with_mask, _observe_dict if include_mask else _observe_dict_unmasked, _first_of_each)
    return Observation(text_space(core.task), _observe_text, _first_row)


def tokens_space(width: int, vocab_size: int) -> spaces.MultiDiscrete:
    """``MultiDiscrete([V + 1] * width)``; the pad id V is a value like any other."""
    return spaces.MultiDiscrete(np.full(width, vocab_size + 1), dtype=np.int32)  # type: ignore[arg-type]


def one_hot_space(task: Task) -> spaces.Box:
    """The space of :func:`one_hot`."""
    return spaces.Box(0.0, 1.0, ((task.prompts.width + task.budget) * (task.tokenizer.vocab_size + 1),), np.float32)


def last_tokens_space(count: int, task: Task) -> spaces.MultiDiscrete:
    """The space of :func:`last_tokens`."""
    longest = task.prompts.width + task.budget
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= longest:
        raise ConfigurationError(f"a window of {count!r} tokens: expected 1 to {longest}")
    return tokens_space(count, task.tokenizer.vocab_size)


def prefix_space(task: Task) -> spaces.Discrete:
    """The space of :func:`prefix_index`, refused where 64 bits cannot number the prefixes."""
    count = prefix_count(task)
    if count >= 2**63:
        raise ConfigurationError(
            f"{count:.1e} prefixes are too many to number; lower max_new_tokens or use another view"
        )
    return spaces.Discrete(count)


def task_of(env: Any) -> Task:
    """The task of an environment whose observations are tokens, as the wrappers need it."""
    space = getattr(env, "single_observation_space", env.observation_space)
    task = getattr(env.unwrapped, "task", None)
    if not isinstance(task, Task) or not isinstance(space, spaces.MultiDiscrete):
        raise ConfigurationError(
            f"{env} has observations {space}; wrap a textgym environment with observation='tokens'"
        )
    return task


def base_task(env: Any) -> Task:
    """The task of an environment with any observations, as the wrappers for actions and rewards need it."""
    task = getattr(env.unwrapped, "task", None)
    if not isinstance(task, Task):
        raise ConfigurationError(f"{env} has no task; wrap a textgym environment")
    return task


def check_no_mask(space: spaces.Space[Any]) -> None:
    """Refuses observations with a mask over all V ids, which would not fit to other actions."""
    if isinstance(space, spaces.Dict) and "action_mask" in space.spaces:
        raise ConfigurationError(
            "the observations hold a mask over all ids, but the actions are others; make the environment with "
            "include_mask=False"
        )


def dict_space(width: int, vocab_size: int, *, include_mask: bool) -> spaces.Dict:
    """A flat Dict of integer Boxes: tokens, attention_mask and, unless left out, action_mask."""
    parts: dict[str, spaces.Space[Any]] = {
        "tokens": spaces.Box(0, vocab_size, (width,), np.int32),
        "attention_mask": spaces.Box(0, 1, (width,), np.int8),
    }
    if include_mask:
        parts["action_mask"] = spaces.Box(0, 1, (vocab_size,), np.int8)
    return spaces.Dict(parts)


def text_space(task: Task) -> spaces.Text:
    """The space of :func:`texts`; vocabularies of bytes have no such alphabet and are refused."""
    tokenizer = task.tokenizer
    if any(token.startswith(("<0x", "Ġ")) for token in tokenizer.tokens):
        raise ConfigurationError(
            f"text observations need tokens that are text, not bytes as in {tokenizer!r}; use 'tokens'"
        )
    alphabet = {" "}.union(task.prompts.characters, *tokenizer.tokens)
    longest = max(len(token) for token in tokenizer.tokens) + 1
    size = task.prompts.longest + 1 + task.budget * longest
    # Sorted, since Gymnasium before 1.4 numbers the characters of a set in hash order.
    return spaces.Text(size, min_length=0, charset="".join(sorted(alphabet)))


def _observe_tokens(core: GenerationCore, rows: Rows = ALL) -> NDArray[np.int32]:
    return core.tokens[rows].copy() if isinstance(rows, slice) else core.tokens[rows]


def _observe_one_hot(core: GenerationCore, rows: Rows = ALL) -> NDArray[np.float32]:
    return one_hot(core.tokens[rows], core.vocab_size)


def _observe_dict_unmasked(core: GenerationCore, rows: Rows = ALL) -> dict[str, NDArray[Any]]:
    tokens = _observe_tokens(core, rows)
    return {"tokens": tokens, "attention_mask": (tokens != core.vocab_size).astype(np.int8)}


def _observe_dict(core: GenerationCore, rows: Rows = ALL) -> dict[str, NDArray[Any]]:
    return {**_observe_dict_unmasked(core, rows), "action_mask": core.masks(rows).view(np.int8)}


def _observe_text(core: GenerationCore, rows: Rows = ALL) -> tuple[str, ...]:
    return texts(core.tokens[rows], core.prompt_indices[rows], core.task)


def _first_row(batch: Any) -> Any:
    return batch[0]


def _first_of_each(batch: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name: values[0] for name, values in batch.items()}
