"""The rule about which prompts a reset gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from textgym.checks.basics import BASE
from textgym.checks.comparing import difference
from textgym.checks.rules import rule
from textgym.checks.subject import Subject

DRAWS = 32
"""For each prompt: enough to see that one is drawn twice as often as the others."""

MANY = 200
"""Of more prompts than this not every one is waited for."""


@rule(
    mend="Draw from task.prompts.rows(split), evenly, and read options['prompt_index'] without changing options",
    needs=BASE,
)
def prompts(subject: Subject) -> Iterator[str]:
    """Reset draws the prompts of the split, all alike, and no other, unless options={'prompt_index': ...} names one."""
    yield from _draws(subject)
    last = len(subject.task.prompts) - 1
    env = subject.single()
    for index in range(min(last + 1, 32)):
        options = {"prompt_index": index}
        env.reset(options=options)
        if env.unwrapped.prompt_index != index or options != {"prompt_index": index}:
            yield f"reset with prompt_index={index} gave {env.unwrapped.prompt_index} and left options={options}"
    if subject.has_vector:
        envs = subject.vector()
        indices = np.arange(envs.num_envs) % (last + 1)
        for wanted in (indices, last - indices):
            given = {"prompt_index": wanted.copy()}
            envs.reset(options=given)
            found = envs.unwrapped.prompt_indices
            if not np.array_equal(found, wanted) or difference(given, {"prompt_index": wanted}) is not None:
                yield f"a vector reset with prompt_index={wanted} gave {found} and left options={given}"


def _draws(subject: Subject) -> Iterator[str]:
    env, rows = subject.single(), subject.task.prompts.rows(subject.config.split).tolist()
    tries = DRAWS * min(len(rows), MANY)
    drawn: Counter[int] = Counter()
    for number in range(tries):
        env.reset(seed=0 if number == 0 else None)
        drawn[env.unwrapped.prompt_index] += 1
    if wrong := sorted(drawn.keys() - set(rows)):
        yield f"the prompts with index {wrong[:5]} are drawn, which do not belong to split={subject.config.split!r}"
    if len(rows) <= MANY and (missing := sorted(set(rows) - drawn.keys())):
        yield f"the prompts with index {missing[:5]} were never drawn in {tries} resets"
    counts, expected = np.array([drawn[row] for row in rows]), tries / len(rows)
    chi_square = float(((counts - expected) ** 2).sum() / expected)
    if chi_square > len(rows) + 8.0 * np.sqrt(len(rows) * (2.0 + 1.0 / expected)):  # about 8 standard deviations
        often = rows[int(counts.argmax())]
        yield f"of {tries} resets {drawn[often]} drew the prompt with index {often}, expected about {expected:.3g}"
