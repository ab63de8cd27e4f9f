"""The one module that touches the global generators of Python and NumPy: it keeps them from what others do to them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def guarded(seed: int) -> Iterator[None]:
    """Inside, the global generators start from a seed; afterwards they are what they were before.

    Args:
        seed: A whole number below 2**32.

    Example:
        >>> def draw():
        ...     with guarded(7):
        ...         return random.random()
        >>> before = random.getstate()
        >>> draw() == draw(), random.getstate() == before
        (True, True)
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - here, and nowhere else
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
