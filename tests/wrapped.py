"""What the tests of the action and reward wrappers share: references, environments, and the comparison of twins."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from playing import assert_same
from toys import EOS, TOYS, WORDS, A, B, C, D, E

from textgym.env import TextGenerationEnv
from textgym.language_models import NGramLanguageModel
from textgym.vector_env import TextGenerationVectorEnv

TEXTS = [[A, B, EOS], [A, C, B, EOS], [B, A, D, A, E], [A, EOS]]
MODEL = NGramLanguageModel.fit(TEXTS, vocab_size=WORDS.vocab_size, order=2)
MODES = list(AutoresetMode)
TASKS = ["plain", "combined", "ruled", "stopping", "one token", "talking"]

Choose = Callable[[Any, np.random.Generator], Any]


class Table:
    """A language model that says the same whatever stands before."""

    def __init__(self, *probabilities: float) -> None:
        with np.errstate(divide="ignore"):
            self.row = np.log(np.array(probabilities))

    def log_probs(self, tokens: Any, action_masks: Any = None) -> Any:
        return np.repeat(self.row[None], len(tokens), axis=0)


def assert_twins(
    single: Callable[[Any], Any],
    vector: Callable[[Any], Any],
    mode: AutoresetMode,
    *,
    task: str,
    choose: Choose,
    steps: int = 60,
    **kwargs: Any,
) -> int:
    """Plays Gymnasium's vector of single environments beside the native one; returns how many texts ended."""
    lanes = 5
    envs = vector(TextGenerationVectorEnv(TOYS[task], num_envs=lanes, autoreset_mode=mode, text_infos=True, **kwargs))
    makers = [partial(_build, single, task, kwargs)] * lanes
    sync = SyncVectorEnv(makers, autoreset_mode=mode)
    assert envs.action_space == sync.action_space
    assert envs.observation_space == sync.observation_space
    assert_same(envs.reset(seed=3), sync.reset(seed=3))
    rng, ended = np.random.default_rng(0), 0
    for _ in range(steps):
        actions = choose(envs, rng)
        ours = envs.step(actions)
        assert_same(ours, sync.step(actions))
        ended += int(ours[2].sum())
        if mode is AutoresetMode.DISABLED and ours[2].any():
            assert_same(*(one.reset(options={"reset_mask": ours[2].copy()}) for one in (envs, sync)))
    return ended


def _build(wrap: Callable[[Any], Any], task: str, kwargs: dict[str, Any]) -> Any:
    return wrap(TextGenerationEnv(TOYS[task], **kwargs))
