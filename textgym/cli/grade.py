"""``textgym grade``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from textgym.course.assignment import Assignment
    from textgym.course.report import Report

PLAIN_WIDTH = 100


def grade(
    week: Annotated[str, typer.Argument(help="The assignment, week1 to week8.")],
    submission: Annotated[Path | None, typer.Option(help="The student's file.")] = None,
    student: Annotated[str | None, typer.Option(help="The student's id, from which the variants are drawn.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say what this student is asked to write.")] = False,
    template: Annotated[Path | None, typer.Option(help="Write the file to fill in, and grade nothing.")] = None,
    results: Annotated[Path | None, typer.Option("--json", help="Also write the results to this file.")] = None,
    form: Annotated[str, typer.Option("--format", help="Form of that file: gradescope or otter.")] = "gradescope",
    confine: Annotated[
        bool | None,
        typer.Option(
            "--confine/--no-confine",
            help="Insist on confining files and network, or do without; default where the system can.",
        ),
    ] = None,
) -> None:
    """Grade a submission of the course against the exact truth, with a sentence for each thing that is wrong."""
    from textgym.course import grading
    from textgym.errors import ConfigurationError, unknown_name

    assignment = grading.get(week)
    if form not in grading.FORMATS:
        raise unknown_name("format", form, grading.FORMATS)
    if template is not None:
        _write_template(assignment, template)
        return
    if student is None:
        raise ConfigurationError("--student is missing: expected the id from which the variants are drawn")
    if explain:
        _explain(assignment, student)
        return
    if submission is None:
        raise ConfigurationError(
            f"--submission is missing: expected a file, such as `textgym grade {week} --template mine.py` writes"
        )
    if results is not None and not results.absolute().parent.is_dir():
        raise ConfigurationError(f"--json {str(results)!r}: there is no folder {str(results.parent)!r}")
    report = grading.grade(assignment, submission, student=student, confine=confine)
    _show(report)
    if results is not None:
        from textgym.atomic import write_whole

        data = report.gradescope() if form == "gradescope" else report.otter()
        write_whole(results, json.dumps(data, indent=2, ensure_ascii=False) + "\n")


def _write_template(assignment: Assignment, file: Path) -> None:
    from textgym.atomic import write_whole
    from textgym.errors import ConfigurationError

    if file.exists():
        raise ConfigurationError(f"{str(file)!r} is there already; choose another name, so that no work is lost")
    write_whole(file, assignment.template)
    typer.echo(f"{file}: fill it in, then `textgym grade {assignment.name} --submission {file} --student ID`")


def _console() -> Console:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False, markup=False, emoji=False)


def _explain(assignment: Assignment, student: str) -> None:
    console = _console()
    console.print(f"{assignment.name}: {assignment.title}", style="bold")
    console.print(f"{assignment.goal}\n")
    for number, part in enumerate(assignment.parts, start=1):
        console.print(f"{number}. {part.name} ({part.points} points)", style="bold")
        console.print(f"{part.explain(assignment.variant(part, student))}\n")
    limits = assignment.limits
    console.print(
        f"Hand in one Python file. It is asked questions in a process of its own, which may use {limits.seconds:g} "
        f"seconds for each and {limits.gigabytes:g} GB, and no network. `textgym grade {assignment.name} --template "
        "FILE` writes a file to begin with."
    )


def _show(report: Report) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from textgym.course.sandbox_limits import printable

    console = _console()
    console.print(f"{report.assignment}, {report.title}, for {report.student}\n", style="bold")
    for part in report.parts:
        style = "green" if part.is_right else "red"
        console.print(Text.assemble((f"{part.points:>3} of {part.possible:<3}", style), (f" {part.name}", "bold")))
        for sentence in part.sentences:
            console.print(Padding(Text(sentence), (0, 0, 0, 11)))
    if report.printed.strip():
        console.print("\nwhat the submission printed:", style="bold")
        for line in report.printed.strip().splitlines()[:10]:
            console.print(Padding(Text(printable(line)[:PLAIN_WIDTH]), (0, 0, 0, 2)))
    for note in report.notes:
        console.print(f"\n{note}")
    console.print(f"\n{report.points} of {report.possible} points", style="bold")
