"""Other actions than all tokens, for single environments."""

from __future__ import annotations

from operator import index as as_integer
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from textgym.errors import ActionError
from textgym.language_models import LanguageModel
from textgym.observations import base_task, check_no_mask
from textgym.reference_models import Candidates, check_count, reference_over

_GOING, _OVER = np.zeros(1, dtype=bool), np.ones(1, dtype=bool)


class CandidateActions(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """``Discrete(k)``: action i writes the token that a language model finds i-th likeliest here.

    The candidates change with every step; ``info["candidates"]``, ``(k,)``, says which ids they are, the likeliest
    first. So a vocabulary of 50,000 tokens has as few actions as an arcade game, for tables, DQN and the like. What the
    model never ranks among the first k cannot be written; with the end id it is the same, so that some texts can only
    end at the budget.

    Where fewer than k tokens are legal, the last candidates are illegal ones, False in :meth:`action_masks` and 0 in
    ``info["action_mask"]``, both of length k. Where a text has ended, all candidates are the end id.

    Args:
        env: A textgym environment; ``observation="dict"`` only with ``include_mask=False``.
        reference: A language model over the environment's vocabulary, a ``.safetensors`` file of an n-gram model, or
            the folder or hub name of a transformers model.
        k: How many, from 1 to V.

    Raises:
        ConfigurationError: for another number, a reference of another vocabulary, or an observation with a mask of V.

    Example:
        >>> import textgym
        >>> from textgym.language_models import NGramLanguageModel
        >>> env = gym.make("TextGen-v0", level="tiny")
        >>> tokenizer = env.unwrapped.task.tokenizer
        >>> texts = [tokenizer.encode("was great") + [env.unwrapped.eos_id]]
        >>> reference = NGramLanguageModel.fit(texts, vocab_size=tokenizer.vocab_size)
        >>> env = CandidateActions(env, reference, k=2)
        >>> _, info = env.reset(seed=0)
        >>> tokenizer.decode(info["candidates"][:1]), env.action_space
        ('was', Discrete(2))
        >>> _, _, _, _, info = env.step(0)
        >>> tokenizer.decode(info["candidates"][:1])
        'great'
    """

    def __init__(self, env: gym.Env[Any, Any], reference: LanguageModel | str | Path, k: int) -> None:
        RecordConstructorArgs.__init__(self, reference=reference, k=k)
        super().__init__(env)
        task = base_task(env)
        check_no_mask(env.observation_space)
        vocab_size = task.tokenizer.vocab_size
        model = reference_over(reference, vocab_size)
        self.action_space = spaces.Discrete(check_count(k, vocab_size))
        self._candidates = Candidates(model, k=int(k), eos_id=task.tokenizer.eos_ids[0])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Resets the environment below."""
        observation, info = self.env.reset(seed=seed, options=options)
        return observation, self._told(info)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Writes the candidate of this number.

        Raises:
            ActionError: for other than a whole number from 0 to k - 1.
        """
        chosen = self._number(action)
        self._update()
        observation, reward, terminated, truncated, info = self.env.step(int(self._candidates.ids[0, chosen]))
        return observation, reward, terminated, truncated, self._told(info)

    def action_masks(self) -> NDArray[np.bool_]:
        """``(k,)`` a fresh array, True where the candidate may be written."""
        self._update()
        return self._candidates.masks[0].copy()

    def _number(self, action: Any) -> int:
        k = self._candidates.k
        try:
            number = as_integer(action)
        except TypeError:
            raise ActionError(f"action {action!r}: expected a whole number, not {type(action).__name__}") from None
        if not 0 <= number < k:
            raise ActionError(f"action {number} is outside the action space: expected 0 to {k - 1}")
        return number

    def _update(self) -> None:
        base: Any = self.unwrapped
        over = _GOING if base.last_episodes is None else _OVER
        self._candidates.update(base.present_episodes.tokens, base.action_masks()[None], over)

    def _told(self, info: dict[str, Any]) -> dict[str, Any]:
        self._update()
        return {**info, **{name: values[0] for name, values in self._candidates.info().items()}}
