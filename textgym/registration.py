"""Gymnasium ids, registered from the lazy list of tasks alone."""

from __future__ import annotations

import gymnasium as gym

from textgym import tasks

ENTRY_POINT = "textgym.env:TextGenerationEnv"
VECTOR_ENTRY_POINT = "textgym.vector_env:TextGenerationVectorEnv"
DEFAULT_ID = "TextGen-v0"
DEFAULT_TASK = "Reviews"


def env_ids() -> list[str]:
    """All ids that textgym registers."""
    return [DEFAULT_ID, *(f"TextGen/{name}-v0" for name in tasks.names())]


def task_name(env_id: str) -> str:
    """The task behind one of :func:`env_ids`."""
    return DEFAULT_TASK if env_id == DEFAULT_ID else env_id.removeprefix("TextGen/").removesuffix("-v0")


def register_all() -> None:
    """Registers every id that is not registered yet; specs hold names only, so they serialise to JSON."""
    for env_id in env_ids():
        if env_id in gym.registry:
            continue
        kwargs = {"task": task_name(env_id)}
        gym.register(env_id, entry_point=ENTRY_POINT, vector_entry_point=VECTOR_ENTRY_POINT, kwargs=kwargs)
