"""``textgym lab handout`` and ``report``: an hour in which a class is the annotator, before and after it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from textgym.cli.options import Seed, make_folder, one_thread, read_pairs


def handout(
    db: Annotated[
        Path | None, typer.Argument(metavar="[DB]", help="Label database, for the class code and the guidelines.")
    ] = None,
    public_url: Annotated[
        str | None, typer.Option(help="Address that the class types, as for `label serve`; else a line to write it on.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The page.")] = Path("handout.html"),
) -> None:
    """Write the handout of a lab hour: one page of A4 to print, with address, class code and QR picture."""
    from textgym.atomic import write_whole
    from textgym.course.lab_handout import draw_handout

    url = _read_address(public_url)
    code, guidelines = ("", "") if db is None else _read_project(db)
    write_whole(out, draw_handout(url, code, guidelines))
    typer.echo(f"saved to {out}; open it in a browser and print it")


def report(
    db: Annotated[Path, typer.Argument(metavar="DB", help="The label database of the hour.")],
    groups: Annotated[
        Path | None,
        typer.Option(help="CSV file with the columns name and group; else names such as `blue: Ann` tell."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the results; the same command goes on.")] = Path("lab"),
    model: Annotated[str, typer.Option(help="Reward models: ngram, mlp, gru, transformer, or a folder.")] = "ngram",
    algo: Annotated[str, typer.Option(help="Agents: a name from `textgym agents`.")] = "q_learning",
    steps: Annotated[int, typer.Option(min=1, help="Tokens that each agent may write.")] = 100_000,
    option: Annotated[
        list[str] | None, typer.Option("--option", help="Option of the agents as KEY=VALUE; repeatable.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Make of an hour of labels: the agreement sheet, a reward model for each group, an agent trained on each."""
    from textgym.course.lab import run_lab
    from textgym.course.lab_page import write_lab
    from textgym.rlhf import Plan

    plan = Plan(model=model, algo=algo, steps=steps, config=read_pairs(option), seed=seed)
    make_folder(out)
    one_thread()
    lab = run_lab(db, out, plan, groups=groups, tell=typer.echo)
    typer.echo(f"report: {write_lab(lab, out)}")


def _read_address(public_url: str | None) -> str:
    """The address as the label server will know it; a wrong one is an error before it is printed thirty times."""
    from textgym.feedback.security import Addresses

    return "" if public_url is None else Addresses.of(0, public_url).public


def _read_project(db: Path) -> tuple[str, str]:
    """The class code, made now if there is none, and the guidelines."""
    from textgym.feedback.joining import Joining
    from textgym.feedback.store import Store

    with Store(db) as store:
        code = Joining(store).open_unless_closed()
        if not code:
            typer.echo("the join page is closed, so the class code is left blank")
        return code, store.project.guidelines
