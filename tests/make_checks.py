"""Writes the two tables of docs/checks.md: the rules, and which planted faults Gymnasium's own checker catches.

Run ``python tests/make_checks.py`` after a change of the rules or of the zoo; a test compares the page with it.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
from faulty_envs import ZOO
from faulty_tasks import Planted
from gymnasium.utils.env_checker import check_env

from textgym.checks import RULES

PAGE = Path(__file__).resolve().parents[1] / "docs" / "checks.md"


TRIES = 6
"""Gymnasium's checker takes an action at random, and so do some faults."""


def caught_by_gymnasium(planted: Planted) -> bool:
    """Whether Gymnasium's ``check_env`` ever raises or warns."""
    return any(_complains(planted, seed) for seed in range(TRIES))


def _complains(planted: Planted, seed: int) -> bool:
    made = (planted.what, {}) if isinstance(planted.what, str) else ("TextGen-v0", {"task": planted.what})
    env: Any = gym.make(made[0], disable_env_checker=True, **made[1]).unwrapped
    env.action_space.seed(seed)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("error")
        try:
            check_env(env)
        except Exception:  # an assertion, a warning, or whatever the environment itself raises
            return True
    return False


def rules_table() -> str:
    """One row for each rule."""
    rows = [f"| `{rule.name}` | {rule.statement} |" for rule in RULES]
    return "\n".join(["| rule | what must hold |", "|---|---|", *rows])


def faults_table() -> str:
    """One row for each planted fault, and how many of them each checker catches."""
    caught = {fault: caught_by_gymnasium(planted) for fault, planted in ZOO.items()}
    rows = [f"| {fault} | `{planted.rule}` | {'yes' if caught[fault] else 'no'} |" for fault, planted in ZOO.items()]
    count = f"textgym's checker catches {len(ZOO)} of {len(ZOO)} faults, Gymnasium's {sum(caught.values())}."
    head = ["| fault | textgym's rule that catches it | caught by Gymnasium's `check_env` |", "|---|---|---|"]
    return "\n".join([count, "", *head, *rows])


def fill(text: str) -> str:
    """The page with both tables put between their marks."""
    for name, table in {"rules": rules_table(), "faults": faults_table()}.items():
        mark = re.compile(rf"(<!-- {name}: begin -->\n).*(<!-- {name}: end -->)", re.DOTALL)
        text = mark.sub(lambda match, table=table: f"{match[1]}\n{table}\n\n{match[2]}", text)
    return text


if __name__ == "__main__":
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
