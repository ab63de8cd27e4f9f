"""``textgym list``."""

from __future__ import annotations

import typer


def list_envs() -> None:
    """List the environment ids with the levels and tags of their tasks."""
    from textgym import registration, tasks

    for env_id in registration.env_ids():
        listing = tasks.TASKS[registration.task_name(env_id)]
        typer.echo(f"{env_id:<24} levels: {', '.join(listing.levels)}; tags: {', '.join(listing.tags)}")
