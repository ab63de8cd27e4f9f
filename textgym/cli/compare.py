"""``textgym bench compare`` and ``textgym bench stats``: two agents against each other, and how good that is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    left: Annotated[str, typer.Argument(help="A folder of `textgym bench run`, or an agent of it: runs/demo/ppo.")],
    right: Annotated[str, typer.Argument(help="Another.")],
    folder: Annotated[Path | None, typer.Option(help="LEFT and RIGHT are agents of this folder.")] = None,
    replicates: Annotated[int, typer.Option(min=100, help="Bootstrap resamples.")] = 20_000,
) -> None:
    """Compare two agents, paired by task and seed: what differs, how surely, how many seeds it would take."""
    from textgym.benchmarks.comparing_text import lines
    from textgym.benchmarks.comparing_two import compare_all, find_sides

    for line in lines(compare_all(find_sides(left, right, folder=folder), replicates=replicates)):
        typer.echo(line)


def stats(
    coverage: Annotated[
        int, typer.Option(min=0, help="Simulations of each case, to see how often intervals hold the truth.")
    ] = 0,
    page: Annotated[Path | None, typer.Option(help="Renew the table in this page, such as docs/statistics.md.")] = None,
) -> None:
    """Measure how long the bootstrap takes, and with --coverage how often its intervals hold the truth."""
    from textgym.benchmarks.pages import renew_page
    from textgym.benchmarks.stats_coverage import TABLE, markdown, report

    if page is not None:
        renew_page(page, TABLE, markdown(simulations=coverage or 1000))
        typer.echo(f"renewed: {page}")
        return
    lines = markdown(simulations=coverage) if coverage else report()
    for line in lines:
        typer.echo(line)
