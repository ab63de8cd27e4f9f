"""Out of memory, in words that say what to lower."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from textgym.errors import TrainingError


@contextmanager
def explain_memory(doing: str, advice: str) -> Iterator[None]:
    """Turns what torch raises when memory runs out into an error with advice.

    Args:
        doing: What was going on, with its sizes.
        advice: What to lower.

    Raises:
        TrainingError: instead of torch's own error.

    Example:
        >>> with explain_memory("writing 8 texts at a time", "lower lanes"):
        ...     raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        Traceback (most recent call last):
        ...
        textgym.errors.TrainingError: out of memory while writing 8 texts at a time; lower lanes (CUDA out of memory)
    """
    try:
        yield
    except RuntimeError as error:  # on the CPU it has no class of its own
        message = str(error).partition("\n")[0]
        if not isinstance(error, torch.cuda.OutOfMemoryError) and "DefaultCPUAllocator" not in message:
            raise
        raise TrainingError(f"out of memory while {doing}; {advice} ({message})") from error
