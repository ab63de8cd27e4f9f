"""``textgym label create``, ``invite``, ``status``, ``export``, ``import`` and ``merge``: the database of a project."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from textgym.cli.options import EnvConfigFile, EnvId, Seed, Settings, Trust, read_settings

if TYPE_CHECKING:
    from textgym.feedback.projects import Invitation, Progress, Role
    from textgym.feedback.store import Store

Database = Annotated[Path, typer.Argument(metavar="DB", help="A label database, e.g. labels.sqlite.")]
Policy = Annotated[
    str, typer.Option(help="Who writes the texts: uniform, demonstrations, mixed, or the folder of an agent.")
]
Pairs = Annotated[int, typer.Option(min=1, help="Pairs of texts to be judged.")]
Overlap = Annotated[int, typer.Option(min=1, help="Annotators who judge each pair.")]
Checks = Annotated[int, typer.Option(min=0, help="Attention checks: pairs whose better text is known for certain.")]
Guidelines = Annotated[Path | None, typer.Option(help="Text file with what annotators are told before they begin.")]
AskStrength = Annotated[bool, typer.Option("--ask-strength", help="Ask how much better the chosen text is.")]

ADDRESS = "http://127.0.0.1:8000"


def create(
    db: Database,
    env: EnvId = "TextGen-v0",
    policy: Policy = "uniform",
    pairs: Pairs = 200,
    overlap: Overlap = 1,
    checks: Checks = 0,
    guidelines: Guidelines = None,
    ask_strength: AskStrength = False,
    strategy: Annotated[str, typer.Option(help="Which pairs come first.")] = "random",
    seed: Seed = 0,
    settings: Settings = None,
    env_config: EnvConfigFile = None,
    trust: Trust = False,
) -> None:
    """Make a label database: let somebody write pairs of texts, for people to compare."""
    store = make_store(
        db,
        env,
        read_settings(settings, env_config),
        policy,
        trust=trust,
        pairs=pairs,
        checks=checks,
        overlap=overlap,
        guidelines=read_guidelines(guidelines),
        ask_strength=ask_strength,
        strategy=strategy,
        seed=seed,
    )
    with store:
        for line in describe(store.progress()):
            typer.echo(line)
    typer.echo(f"saved to {db}")


def invite(
    db: Database,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Who is to judge.")],
    teacher: Annotated[bool, typer.Option("--teacher", help="Let them look on instead.")] = False,
    renew: Annotated[bool, typer.Option("--renew", help="New links for people who are there already.")] = False,
    url: Annotated[str, typer.Option(help="Address of the label server.")] = ADDRESS,
) -> None:
    """Let people in, and print their personal links; they are shown this one time."""
    from textgym.errors import check_names
    from textgym.feedback.store import Store

    with Store(db) as store, store.together():  # all of them or none
        known = {person.name: person.id for person in store.annotators()}
        if renew:
            check_names("annotator", names, known)
            invitations = [store.renew(known[name]) for name in names]
        else:
            role: Role = "teacher" if teacher else "annotator"
            invitations = [store.add_annotator(name, role=role) for name in names]
    for invitation in invitations:
        typer.echo(f"{invitation.name}  {personal_link(invitation, url)}")


def status(
    db: Database,
    sheet: Annotated[Path | None, typer.Option(help="Folder for the agreement sheet, as Markdown and CSV.")] = None,
) -> None:
    """Say how far a project is and what each annotator has done."""
    from textgym.feedback.store import Store

    with Store(db) as store:
        project, progress, comparisons = store.project, store.progress(), store.comparisons()
    typer.echo(f"{project.env_id}, project {project.id}, seed {project.seed}, strategy {project.strategy}")
    for line in (*describe(progress), *_describe_people(progress)):
        typer.echo(line)
    if sheet is not None:
        from textgym.feedback.sheet import make_sheet

        for path in make_sheet(comparisons).write(sheet):
            typer.echo(f"written: {path}")


def export(
    db: Database,
    out: Annotated[Path, typer.Option(help="The file: .csv for arena formats, .jsonl for others.")],
    form: Annotated[
        str, typer.Option("--format", help="jsonl (everything), trl, trl_messages, unpaired, arena, ...")
    ] = "jsonl",
    everything: Annotated[
        bool, typer.Option("--all", help="Repeats and attention checks too; jsonl always has them.")
    ] = False,
) -> None:
    """Write the judgements in force to a file, for textgym or another program."""
    from textgym.comparison_files import write_comparisons
    from textgym.feedback.store import Store

    with Store(db) as store:
        comparisons = store.comparisons()
    kept = comparisons
    if form != "jsonl" and not everything:
        kept = [item for item in comparisons if not (item.metadata["repeat"] or item.metadata["attention_check"])]
    typer.echo(f"{write_comparisons(out, kept, form=form)}")
    if len(kept) < len(comparisons):
        typer.echo(f"without {len(comparisons) - len(kept)} repeats and attention checks (--all keeps them)")
    typer.echo(f"saved to {out}")


def bring_in(
    db: Database, file: Annotated[Path, typer.Argument(help="Comparisons in any format that `export` writes.")]
) -> None:
    """Add the comparisons of a file to a database, with their pairs and annotators."""
    from textgym.comparison_files import read_comparisons
    from textgym.feedback.restoring import restore
    from textgym.feedback.store import Store

    comparisons = read_comparisons(file)
    with Store(db) as store:
        new = restore(store, comparisons)
    typer.echo(f"{new} of {len(comparisons)} comparisons are new")


def merge(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The database that gets everything; may be new.")],
    sources: Annotated[list[Path], typer.Argument(metavar="DB...", help="Databases of the same project.")],
) -> None:
    """Bring several databases of one project together, for classes whose computers cannot reach each other."""
    from textgym.feedback.merging import merge as run

    merged = run(out, sources)
    typer.echo(
        f"new: {merged.pairs} pairs, {merged.annotators} annotators, {merged.judgements} judgements, "
        f"{merged.undone} undone"
    )
    for conflict in merged.conflicts:
        typer.echo(f"conflict: {conflict}")
    typer.echo(f"saved to {out}")


# ---- what `serve` needs as well -------------------------------------------------------------------------------------


def make_store(db: Path, env: str, kwargs: dict[str, Any], policy: str, *, trust: bool, **settings: Any) -> Store:
    """A new label database, whose texts an agent or one of the named policies writes."""
    from textgym.factory import EnvFactory
    from textgym.feedback.founding import found_project
    from textgym.feedback.text_sources import POLICIES

    writer: Any = policy
    if policy not in POLICIES and Path(policy).is_dir():
        from textgym.agents.base import load_agent

        writer = load_agent(Path(policy), trust=trust)
    return found_project(db, EnvFactory(env, kwargs), writer, **settings)


def read_guidelines(file: Path | None) -> str:
    """What annotators are told, from a text file."""
    from textgym.errors import ConfigurationError

    if file is None:
        return ""
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--guidelines {str(file)!r}: expected a text file in UTF-8 ({error})") from None


def personal_link(invitation: Invitation, url: str) -> str:
    """The link that lets somebody in."""
    return f"{url.rstrip('/')}/a/{invitation.token}"


def describe(progress: Progress) -> Iterator[str]:
    """Lines that say how far a project is."""
    checks = f" and {progress.checks} attention checks" if progress.checks else ""
    yield f"{progress.pairs} pairs{checks}; {progress.complete} complete"
    yield f"{progress.filled} of {progress.places} judgements; {progress.open} tasks open"


def _describe_people(progress: Progress) -> Iterator[str]:
    from textgym.rendering.spelling import visible

    shares = {visible(share.annotator.name): share for share in progress.shares if share.annotator.role == "annotator"}
    width = max(map(len, shares), default=0)
    for name, share in shares.items():
        line = f"  {name:<{width}}  {share.done:>5} answers, {share.skipped} skipped, {share.undone} undone"
        yield line + ("" if share.median_seconds is None else f", {share.median_seconds:.1f} s each")
