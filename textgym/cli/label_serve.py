"""``textgym label serve``: the label server, from texts to personal links."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from textgym.cli.label import (
    AskStrength,
    Checks,
    Guidelines,
    Overlap,
    Pairs,
    Policy,
    describe,
    make_store,
    personal_link,
    read_guidelines,
)
from textgym.cli.options import EnvConfigFile, EnvId, Seed, Settings, Trust, one_thread, read_settings

if TYPE_CHECKING:
    import socket

    from textgym.feedback.projects import Invitation
    from textgym.feedback.store import Store
    from textgym.task import Task

LOCAL = "127.0.0.1"
PEOPLE = 5


def serve(
    db: Annotated[Path, typer.Option(help="Label database; made if it is not there.")] = Path("labels.sqlite"),
    env: EnvId = "TextGen-v0",
    policy: Policy = "mixed",
    annotators: Annotated[
        int | None, typer.Option(min=0, help=f"Personal links. Default: {PEOPLE} for a new database.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 for any that is free.")] = 8000,
    pairs: Pairs = 200,
    overlap: Overlap = 2,
    checks: Checks = 0,
    guidelines: Guidelines = None,
    ask_strength: AskStrength = False,
    strategy: Annotated[str, typer.Option(help="Which pairs come first.")] = "random",
    host: Annotated[str, typer.Option(help="0.0.0.0 for a class on one network; needs --public-url.")] = LOCAL,
    public_url: Annotated[
        str | None, typer.Option(help="Address that the class types, e.g. http://192.168.1.5:8000; opens a join page.")
    ] = None,
    new_links: Annotated[
        bool, typer.Option("--new-links", help="New links for everybody; those of before end.")
    ] = False,
    seed: Seed = 0,
    settings: Settings = None,
    env_config: EnvConfigFile = None,
    trust: Trust = False,
) -> None:
    """Have people compare texts in their browsers; `label export` and `rm train` go on from there."""
    from textgym.feedback.server import find_socket
    from textgym.feedback.store import Store

    _check_addresses(host, port, public_url)
    kwargs = read_settings(settings, env_config)
    one_thread()
    with find_socket(host, port) as bound:
        if db.exists():
            store = Store(db)
            typer.echo(f"going on with {db}, as it was made: options about its texts have no effect")
        else:
            told = read_guidelines(guidelines)
            store = make_store(
                db, env, kwargs, policy, trust=trust, pairs=pairs, checks=checks, overlap=overlap, guidelines=told,
                ask_strength=ask_strength, strategy=strategy, seed=seed,
            )  # fmt: skip
        with store:
            for line in describe(store.progress()):
                typer.echo(line)
            _run(store, bound, public_url, annotators, new_links=new_links)
    typer.echo(f"all answers are in {db}; the same command goes on")


def _check_addresses(host: str, port: int, public_url: str | None) -> None:
    """A wrong address is an error now, not after the texts are written."""
    from textgym.errors import ConfigurationError
    from textgym.feedback.security import Addresses

    Addresses.of(port, public_url)
    if host not in (LOCAL, "localhost", "::1") and public_url is None:
        raise ConfigurationError(
            f"host={host!r} lets others in, so say how they reach this machine, such as "
            f"--public-url http://192.168.1.5:{port}; no other host name is answered"
        )


def _run(
    store: Store, bound: socket.socket, public_url: str | None, annotators: int | None, *, new_links: bool
) -> None:
    """Prints the links and serves until Ctrl-C."""
    from textgym.feedback.queries import make_strategy
    from textgym.feedback.security import Addresses
    from textgym.feedback.server import make_app, run_server

    addresses = Addresses.of(bound.getsockname()[1], public_url)
    task = _find_task(store)
    strategy = make_strategy(store.project.strategy, task=task, seed=store.project.seed)
    app = make_app(store, addresses, None if task is None else task.tokenizer, strategy=strategy)
    _print_links(store, addresses.public, annotators, new_links=new_links)
    people = sum(person.role == "annotator" for person in store.annotators())
    if public_url is not None:
        _open_join_page(store, addresses.public)
    elif people < store.project.overlap:
        needed = f"each pair is to be judged by {store.project.overlap} people, and there are {people}"
        typer.echo(f"note: {needed}, so no pair can be complete; `textgym label invite` lets more in")
    with contextlib.suppress(KeyboardInterrupt):
        run_server(app, bound, started=lambda: typer.echo("the label server is running; Ctrl-C ends it"))


def _find_task(store: Store) -> Task | None:
    """The task of the texts, without which there are no token boundaries and no reward model."""
    from textgym.errors import TextGymError
    from textgym.factory import EnvFactory

    project = store.project
    try:
        return EnvFactory(project.env_id, dict(project.env_kwargs)).task()
    except TextGymError as error:
        typer.echo(f"warning: no token boundaries and no reward model on the live page: {error}", err=True)
        return None


def _print_links(store: Store, url: str, annotators: int | None, *, new_links: bool) -> None:
    """Prints the links that are new; the database knows only hashes of those of before."""
    known = store.annotators()
    people = [person for person in known if person.role == "annotator"]
    wanted = (0 if known else PEOPLE) if annotators is None else annotators
    names = {person.name for person in known}
    fresh = [name for number in range(1, wanted + len(known) + 1) if (name := f"annotator {number}") not in names]
    with store.together():  # all of them or none
        links: list[Invitation] = [store.renew(person.id) for person in people] if new_links else []
        links += [store.add_annotator(name) for name in fresh[: max(wanted - len(people), 0)]]
        teachers = [person for person in known if person.role == "teacher"]
        looking = [store.renew(person.id) for person in teachers] if new_links else []
        looking += [] if teachers else [store.add_annotator("teacher", role="teacher")]
    for link in looking:
        typer.echo(f"live page, for you alone: {personal_link(link, url)}")
    for link in links:
        typer.echo(f"{link.name}: {personal_link(link, url)}")
    if known and not new_links:
        typer.echo("links of before go on working; --new-links replaces them all, `textgym label invite --renew` some")


def _open_join_page(store: Store, url: str) -> None:
    from textgym.feedback.joining import Joining

    if url.startswith("http:"):
        typer.echo(
            "warning: whoever is on this network reaches this server, and can read along, since http is not encrypted; "
            "use a network that you trust",
            err=True,
        )
    code = Joining(store).open_unless_closed()
    typer.echo(f"join page: {url}/join with the class code {code}" if code else "the join page is closed")
