"""``textgym zoo``: programs with a silent bug, to be found, explained and mended."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from textgym.course.zoo.bug import Bug, Findings

Name = Annotated[str, typer.Argument(help="Name of an exhibit, such as hamster; `textgym zoo list` has them all.")]
NOT_MENDED = 1
WIDTH = 100


def list_zoo() -> None:
    """List the exhibits: what each program does."""
    from textgym.course.zoo.running import NAMES, blurb

    for name in NAMES:
        typer.echo(f"{name:<11} {blurb(name).partition(': ')[2]}")
    typer.echo("\ntextgym zoo show NAME prints a program, textgym zoo run NAME runs it")


def show(
    name: Name,
    spoiler: Annotated[bool, typer.Option("--spoiler", help="Say what is wrong, and show it mended.")] = False,
) -> None:
    """Print the program of an exhibit; redirect it to a file to mend it there."""
    from textgym.course.zoo.running import cure, get, source

    if not spoiler:
        typer.echo(source(name), nl=False)
        return
    bug = get(name)
    explanation = textwrap.fill(bug.explanation, WIDTH, break_long_words=False)
    typer.echo(f"{bug.name}, in {bug.faulty}\n\n{explanation}\n\n{cure(name)}", nl=False)


def run(
    name: Name,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is random in it.")] = 0,
    mended: Annotated[bool, typer.Option("--mended", help="Also run it mended, and put both side by side.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the picture to this file (SVG).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> None:
    """Run an exhibit: its numbers, and the picture that gives it away."""
    from textgym.course.zoo.drawing import draw
    from textgym.course.zoo.running import get
    from textgym.course.zoo.running import run as run_exhibit

    bug = get(name)
    runs = {"as it is": run_exhibit(name, seed)}
    if mended:
        runs["mended"] = run_exhibit(name, seed, mended=True)
    if out is not None:
        from textgym.atomic import write_whole

        write_whole(out, draw(bug, f"The {name}", runs))
    if as_json:
        typer.echo(json.dumps(runs))
    else:
        _tell(bug, runs)
    if out is not None:
        typer.echo(f"written: {out}", err=as_json)


def _tell(bug: Bug, runs: dict[str, Findings]) -> None:
    """The numbers, a column for each run, with a mark at the one to look at."""
    typer.echo(f"{bug.symptom}\n")
    numbers = [key for key, value in next(iter(runs.values())).items() if not isinstance(value, list)]
    wide = max(map(len, numbers)) + 2
    typer.echo(" " * wide + "".join(f"{title:>12}" for title in runs))
    for number in numbers:
        cells = "".join(f"{found[number]:>12.3f}" for found in runs.values())
        mark = "  <- look at this one" if number == bug.tell.number else ""
        typer.echo(f"{number:<{wide}}{cells}{mark}")
    low, high = bug.tell.sound
    typer.echo(f"\n{bug.tell.number}: {bug.tell.meaning}. When all is well it lies from {low:g} to {high:g}.")


def check(
    name: Name,
    submission: Annotated[Path, typer.Option(help="Your file: the program mended, or only the mended function.")],
    confine: Annotated[
        bool | None,
        typer.Option(
            "--confine/--no-confine",
            help="Insist on confining files and network, or do without; default where the system can.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
) -> None:
    """Run an exhibit with your functions in place of its own; exit status 1 where it is still ill."""
    from dataclasses import asdict

    from textgym.course.zoo.checking import check as check_submission

    verdict = check_submission(name, _read(submission), confine=confine)
    if as_json:
        typer.echo(json.dumps(asdict(verdict)))
    else:
        for sentence in verdict.sentences:
            typer.echo(sentence)
    if not verdict.mended:
        raise typer.Exit(NOT_MENDED)


def _read(file: Path) -> str:
    from textgym.errors import ConfigurationError

    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the submission {str(file)!r} cannot be read ({error}); `textgym zoo show NAME > {file.name}` writes one "
            "to begin with"
        ) from None
