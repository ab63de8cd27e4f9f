"""``textgym bench compatibility``: what works with which library, tried."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compatibility(
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 if a library here fails at what is claimed.")
    ] = False,
    page: Annotated[
        Path | None, typer.Option(help="Renew the table in this page, such as docs/compatibility.md.")
    ] = None,
) -> None:
    """Try every library that is installed with every format of observations, and print what works."""
    from textgym.benchmarks.compatibility import markdown, table_name, try_all
    from textgym.benchmarks.pages import renew_page
    from textgym.cli.options import one_thread

    one_thread()
    outcomes = list(try_all())
    if page is not None:
        renew_page(page, table_name(), markdown(outcomes))
        typer.echo(f"renewed: {page}")
    else:
        for line in markdown(outcomes):
            typer.echo(line)
    broken = [sentence for outcome in outcomes for sentence in outcome.broken]
    for sentence in broken:
        typer.echo(f"BROKEN: {sentence}", err=True)
    if check and broken:
        raise typer.Exit(1)
