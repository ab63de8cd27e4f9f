"""A loop that people judge in a browser: the label server runs beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from textgym.feedback.people import HumanGatherer
from textgym.feedback.projects import Invitation, Project
from textgym.feedback.security import Addresses
from textgym.feedback.server import LOCAL, find_socket, make_app, run_beside
from textgym.feedback.store import Store
from textgym.rlhf.plan import Plan

DATABASE = "labels.sqlite"


@contextmanager
def label_server(
    plan: Plan, out: Path, *, port: int = 8000, annotators: int = 1, tell: Callable[[str], None] = lambda _: None
) -> Iterator[HumanGatherer]:
    """Serves the loop's pairs on this machine as long as the block lasts, and tells everybody's personal link.

    Args:
        plan: The loop.
        out: Its folder, where the database stands beside the rounds.
        port: 0 for any that is free.
        annotators: How many people judge.
        tell: Told the links.

    Raises:
        ConfigurationError: if the port is taken.
    """
    path = out / DATABASE
    project = Project(env_id=plan.env_id, env_kwargs=dict(plan.env), seed=plan.seed)
    with Store(path) if path.is_file() else Store.create(path, project) as store:
        bound = find_socket(LOCAL, port)
        addresses = Addresses.of(bound.getsockname()[1])
        with run_beside(make_app(store, addresses, plan.factory().task().tokenizer), bound):
            for number in range(1, annotators + 1):
                invitation = _invite(store, f"annotator {number}")
                tell(f"{invitation.name} judges at {invitation.link(addresses.public)}")
            yield HumanGatherer(store, is_closed=True)


def _invite(store: Store, name: str) -> Invitation:
    """A fresh link; an older one of the same person ends."""
    known = {person.name: person.id for person in store.annotators()}
    return store.renew(known[name]) if name in known else store.add_annotator(name)
