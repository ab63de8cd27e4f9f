"""``textgym audit``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from textgym.cli.options import EnvConfigFile, Seed, Settings, read_settings

if TYPE_CHECKING:
    from rich.table import Table

    from textgym.audit import Audit, Row

TABLE_WIDTH = 80
"""A narrower terminal breaks the lines of the table itself: rich would cut the numbers."""

PLAIN_WIDTH = 200
"""Where there is no terminal, lines are as wide as they need to be, up to here."""


def audit(
    env_id: Annotated[str, typer.Argument(help="Environment id, e.g. TextGen-v0.")],
    split: Annotated[str | None, typer.Option(help="train, test or all; default the environment's own.")] = None,
    settings: Settings = None,
    env_config: EnvConfigFile = None,
    n: Annotated[int, typer.Option("-n", min=2, help="Texts for each prompt where something is random.")] = 20,
    max_texts: Annotated[
        int, typer.Option(min=1, help="The most texts that a search over tokens may write; lower it for slow rewards.")
    ] = 200_000,
    seed: Seed = 0,
) -> None:
    """Score degenerate writers (empty, one token, random, ...) under reward and gold, before any training."""
    from rich.console import Console

    from textgym.audit import audit as run
    from textgym.factory import EnvFactory

    factory = EnvFactory(env_id, read_settings(settings, env_config))
    found = run(factory, split=split, seed=seed, n=n, max_texts=max_texts)
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False, markup=False, emoji=False)
    console.width = max(console.width, TABLE_WIDTH)
    console.print(f"{found.env_id}, split {found.split!r}, prompts: {found.prompts}\n", soft_wrap=True)
    console.print(_table(found))
    console.print(f"\nwritten to {found.prompt!r}:", soft_wrap=True)
    for line in _texts(found):
        console.print(f"  {line}", soft_wrap=True)
    console.print(f"\n{found.verdict}", soft_wrap=True)


def _table(found: Audit) -> Table:
    from rich.table import Table
    from rich.text import Text

    scores = ("reward", "gold") if found.has_gold else ("reward",)
    table = Table(box=None, pad_edge=False)
    table.add_column("writer", no_wrap=True)
    for title in (name for kind in scores for name in (kind, "norm.")):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("above oracle in")
    for row in found.rows:
        cells = [cell for kind in scores for cell in _cells(row, kind)]
        above = ", ".join(kind for kind in scores if getattr(row, f"beats_oracle_{kind}"))
        style = "bold" if row in found.hacks or row in found.oracle_beaten else ""
        table.add_row(*(Text(cell, style=style) for cell in (row.writer, *cells, above)))
    return table


def _cells(row: Row, kind: str) -> tuple[str, str]:
    """A score with its error, and the score on the scale of random and best play where that is known."""
    value, error = getattr(row, kind), getattr(row, f"{kind}_error")
    scaled = row.normalized if kind == "reward" else row.normalized_gold
    return _number(value) + (f" ± {error:.3f}" if error else ""), "" if scaled is None else _number(scaled)


def _number(value: float) -> str:
    return f"{round(value, 3) + 0.0:.3f}"  # + 0.0 makes zero of minus zero


def _texts(found: Audit) -> Iterator[str]:
    """What each writer wrote, what is to be said of it, and who did not write."""
    for row in found.rows:
        yield f"{row.writer}: {row.example!r}" + (f" ({row.note})" if row.note else "")
    for writer, reason in found.skipped.items():
        yield f"{writer}: not tried, {reason}"
