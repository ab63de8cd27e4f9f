"""Keeps the order of the pairs up to date while judgements come in, for strategies that learn from them."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from textgym.feedback.assignment import RandomOrder, Strategy
from textgym.feedback.projects import StoreError
from textgym.feedback.store import Store

PAUSE = 5.0
"""Seconds between two looks."""


async def keep_order(store: Store, strategy: Strategy, *, pause: float = PAUSE) -> None:
    """Ranks the open pairs anew whenever judgements have come in, beside the requests; ends when it is cancelled.

    Args:
        store: The open database.
        strategy: Which pairs come first. A random order never changes, so nothing is done for it.
        pause: Seconds between two looks.
    """
    known = -1
    while not isinstance(strategy, RandomOrder):
        with suppress(StoreError):  # a database that is busy now is asked again at the next look
            if (revision := store.revision) != known:
                await asyncio.to_thread(store.rerank, strategy)
                known = revision
        await asyncio.sleep(pause)
