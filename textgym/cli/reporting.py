"""``textgym bench report``, ``leaderboard``, ``archive``, ``verify``: what finished runs say and whether it is true."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from textgym.benchmarks.verification import Check

Folder = Annotated[Path, typer.Argument(help="Folder that `textgym bench run` wrote.")]
_SIGNS = {"verified": "ok", "flagged": "FLAGGED", "unverified": "not replayed"}


def report(
    folder: Folder,
    files: Annotated[
        Path | None,
        typer.Option(help="Also write tables (Markdown, CSV, LaTeX) and pictures (SVG, PDF) into this folder."),
    ] = None,
    cite: Annotated[
        bool, typer.Option("--cite", help="Print what a paper should cite, as BibTeX, and no more.")
    ] = False,
) -> None:
    """Build the report again from the runs that are finished."""
    from textgym.benchmarks.report_files import citations, write_report_files
    from textgym.benchmarks.summary import summarize
    from textgym.cli.options import make_folder

    if cite:
        typer.echo("\n\n".join(citations(summarize(folder))))
        return
    if files is not None:
        make_folder(files)
    tell_report(folder)
    if files is not None:
        written = write_report_files(folder, files)
        typer.echo(f"files: {len(written)} in {files}")


def leaderboard(
    folders: Annotated[
        list[Path], typer.Argument(help="Folders that `textgym bench run` wrote, single runs, or archives.")
    ],
    out: Annotated[Path | None, typer.Option(help="Write the page as HTML here.")] = None,
    page: Annotated[
        Path | None, typer.Option(help="Renew the tables in this page, such as docs/leaderboard.md.")
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(help="Between which marks of that page: <!-- TABLE: begin --> and end. [default: leaderboard]"),
    ] = None,
    title: Annotated[str, typer.Option(help="Headline of the HTML page.")] = "Leaderboard",
) -> None:
    """Rank the agents of several folders, from their run folders alone; what is not verified is marked."""
    from textgym.atomic import write_whole
    from textgym.benchmarks.exports import markdown
    from textgym.benchmarks.leaderboard import build_leaderboard, tables
    from textgym.benchmarks.pages import renew_page
    from textgym.benchmarks.report import render

    if table is not None and page is None:
        raise typer.BadParameter("--table names a table of a page; add --page")
    found = build_leaderboard(folders, title=title)
    lines = [line for part in tables(found) for line in (*markdown(part), "")][:-1]
    if out is not None:
        write_whole(out, render(found.summary, marks=found.marks))
        typer.echo(f"page: {out}")
    if page is not None:
        renew_page(page, table or "leaderboard", lines)
        typer.echo(f"renewed: {page}")
    if out is None and page is None:
        for line in lines:
            typer.echo(line)


def archive(
    folders: Annotated[list[Path], typer.Argument(help="Folders that `textgym bench run` wrote, or single runs.")],
    out: Annotated[Path, typer.Option(help="The file, such as core.jsonl.gz.")],
) -> None:
    """Write the records of finished runs as one small file, which `leaderboard` reads like their folders."""
    from textgym.benchmarks.found_runs import find_runs, write_archive
    from textgym.benchmarks.verification import VERIFIED

    count = write_archive(folders, out)
    verified = sum(run.verdict == VERIFIED for run in find_runs([out]))
    kilobytes = out.stat().st_size / 1000
    typer.echo(f"{count:,} run{'s'[: count != 1]}: {out}, {kilobytes:,.0f} kB; {verified:,} verified")


def verify(
    folder: Folder,
    quick: Annotated[bool, typer.Option("--quick", help="Check files and numbers only, replay no policy.")] = False,
    trust: Annotated[
        bool, typer.Option("--trust", help="Also load agents from outside textgym, which runs their code.")
    ] = False,
) -> None:
    """Replay the saved policies and say what in the records is edited, missing or impossible; exit 1 if anything is."""
    from textgym.benchmarks.verification import FLAGGED, UNVERIFIED, VERIFIED
    from textgym.benchmarks.verification import verify as verify_folder
    from textgym.cli.options import one_thread

    one_thread()
    found = verify_folder(folder, replay=not quick, trust=trust, on_check=_tell_check)
    for problem in found.problems:
        typer.echo(f"FLAGGED: {problem}")
    counts = {name: sum(check.verdict == name for check in found.checks) for name in (VERIFIED, FLAGGED, UNVERIFIED)}
    typer.echo(", ".join(f"{count} {name}" for name, count in counts.items() if count) or "no run has finished")
    if not found.ok:
        raise typer.Exit(1)


def tell_report(folder: Path) -> None:
    """Prints the table of a comparison and where its report is, which is built anew."""
    from textgym.benchmarks.ledger import read_problems
    from textgym.benchmarks.report import build_report, table_lines

    for line in table_lines(folder):
        typer.echo(line)
    for problem in read_problems(folder):
        typer.echo(f"! {problem}; it is left out")
    typer.echo(f"report: {build_report(folder)}")


def _tell_check(check: Check) -> None:
    typer.echo(f"{_SIGNS[check.verdict]}: {check.name} ({check.folder})")
    for problem in check.problems:
        typer.echo(f"  {problem}")
    for note in check.notes:
        typer.echo(f"  note: {note}")
