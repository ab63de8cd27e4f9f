"""What both environments share: what an info says of a text that has ended, and names of autoreset modes."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from textgym.core import Ending
from textgym.episodes import STOP_REASONS
from textgym.errors import unknown_name

_REASONS = np.array(STOP_REASONS, dtype=object)


def describe_ending(ending: Ending, *, gold: bool, texts: bool) -> dict[str, NDArray[Any]]:
    """Name -> ``(K,)`` values, one for each row that ended.

    Args:
        ending: What a step ended.
        gold: Also the true score and success, where the task has them.
        texts: Also prompt and completion as text, which costs more than the rest.
    """
    batch = ending.episodes
    infos: dict[str, NDArray[Any]] = {
        "num_tokens": batch.num_tokens,
        "stop_reason": _REASONS.take(batch.stop_codes),
        "reward_valid": ending.scores.valid,
    }
    if ending.turns is not None:
        infos["turns"] = ending.turns
    true_scores = {"gold": batch.gold(), "success": batch.success()} if gold else {}
    infos.update({name: values for name, values in true_scores.items() if values is not None})
    if texts:
        infos["prompt"] = np.array(batch.prompt_texts, dtype=object)
        infos["completion"] = np.array(batch.completions, dtype=object)
    return infos


def read_autoreset_mode(mode: AutoresetMode | str) -> AutoresetMode:
    """The mode by Gymnasium's value ("SameStep") or name ("SAME_STEP")."""
    names = {known.name: known for known in AutoresetMode} | {known.value: known for known in AutoresetMode}
    if isinstance(mode, AutoresetMode):
        return mode
    if mode not in names:
        raise unknown_name("autoreset_mode", mode, names)
    return names[mode]
