"""A new labelling project: its texts are written, paired and put into a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textgym.errors import ConfigurationError, check_names
from textgym.factory import EnvFactory
from textgym.feedback.pairs import mark_best, sample_pairs
from textgym.feedback.projects import Project
from textgym.feedback.queries import STRATEGIES
from textgym.feedback.store import Store


def found_project(
    path: str | Path, envs: EnvFactory, policy: Any, *, pairs: int = 200, checks: int = 0, **settings: Any
) -> Store:
    """Makes a label database with pairs of texts to be judged.

    Args:
        path: The file, which must not exist.
        envs: Where the texts are written.
        policy: Who writes them, as in :func:`~textgym.feedback.pairs.sample_pairs`.
        pairs: How many pairs are to be judged.
        checks: How many attention checks to add: pairs whose gold scores differ most.
        settings: Of the :class:`~textgym.feedback.projects.Project`.

    Raises:
        ConfigurationError: for a file that exists, for checks in a task without a gold score, and for settings that
            cannot be.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> file = Path(folder.name) / "labels.sqlite"
        >>> with found_project(file, EnvFactory("TextGen-v0"), "mixed", pairs=8, checks=2, overlap=2) as store:
        ...     progress = store.progress()
        ...     progress.pairs, progress.checks, progress.places
        (8, 2, 16)
        >>> folder.cleanup()
    """
    if Path(path).exists():
        raise ConfigurationError(f"{str(path)!r} exists already; open it, or choose another name")
    if checks < 0:
        raise ConfigurationError(f"checks={checks!r}: expected a number of at least 0")
    project = Project(env_id=envs.env_id, env_kwargs=dict(envs.kwargs), **settings)
    check_names("query strategy", [project.strategy], STRATEGIES)
    found = sample_pairs(envs, policy, pairs + checks, seed=project.seed)
    if checks:
        found = mark_best(envs.task(), found, checks)
    store = Store.create(path, project)
    try:
        store.add_pairs(found)
    except BaseException:
        store.close()
        Path(path).unlink(missing_ok=True)
        raise
    return store
