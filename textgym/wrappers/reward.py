"""Other rewards for single environments; what counts is what they add to a step.

Scores that the harness reports (:func:`textgym.evaluate`, gold) stay those of the task: these wrappers change what a
learner is paid, not what it is measured by.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch
from textgym.language_models import LanguageModel
from textgym.observations import base_task
from textgym.reference_models import reference_over, token_log_probs
from textgym.shaping import Potential, check_number, shaped

_ONE = np.ones(1, dtype=bool)


class _Paying(gym.Wrapper[Any, Any, Any, Any], ABC):
    """Passes the reward of each step through :meth:`pay`, as a batch of one."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Steps the environment below."""
        base: Any = self.unwrapped
        before, masks = base.present_episodes, base.action_masks()[None]
        observation, reward, terminated, truncated, info = self.env.step(action)
        paid = self.pay(np.array([float(reward)]), before, masks, base.present_episodes, np.array([terminated]))
        return observation, float(paid[0]), terminated, truncated, info

    @abstractmethod
    def pay(
        self,
        rewards: NDArray[np.float64],
        before: EpisodeBatch,
        masks: NDArray[np.bool_],
        after: EpisodeBatch,
        ended: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        """Turns the rewards of a step into others, all ``(1,)``.

        Args:
            rewards: What the environment below paid.
            before: The text before the step.
            masks: ``(1, V)`` what was legal then.
            after: The text after the step.
            ended: Whether the step ended it.
        """


class ReferenceLogProb(_Paying, RecordConstructorArgs):
    """Adds ``beta * log pi_ref(token)`` to the reward of every token: the price of leaving the reference.

    pi_ref is the reference's distribution over the legal tokens. With an entropy bonus of the same beta in the learner
    (as maximum-entropy methods have it, one for every step of the text) the objective becomes the expected score minus
    beta times the divergence KL(policy || reference), which is what is commonly maximised when language models learn
    from rewards; ``textgym.exact.solve(env, temperature=beta, reference=...)`` knows its optimum. Without the bonus
    the best policy always writes the one text with the greatest sum. An illegal token adds nothing: ``illegal_reward``
    is its price.

    Args:
        env: A textgym environment.
        reference: A language model over the environment's vocabulary, a ``.safetensors`` file of an n-gram model, or
            the folder or hub name of a transformers model.
        beta: Reward for each nat.

    Raises:
        ConfigurationError: for a reference of another vocabulary, or a beta that is not a finite number.
        RewardError: at a step, if the reference gives a legal token no probability.

    Example:
        >>> import textgym
        >>> from textgym.language_models import NGramLanguageModel
        >>> env = gym.make("TextGen-v0", level="tiny")
        >>> reference = NGramLanguageModel.fit([[0, 1]], vocab_size=env.unwrapped.task.tokenizer.vocab_size, order=1)
        >>> env = ReferenceLogProb(env, reference, beta=0.1)
        >>> _ = env.reset(seed=0)
        >>> round(env.step(0)[1], 3)  # 0.1 * log pi_ref(id 0)
        -0.102
    """

    def __init__(self, env: gym.Env[Any, Any], reference: LanguageModel | str | Path, beta: float) -> None:
        RecordConstructorArgs.__init__(self, reference=reference, beta=beta)
        super().__init__(env)
        self._model = reference_over(reference, base_task(env).tokenizer.vocab_size)
        self._beta = check_number("beta", beta)

    def pay(
        self,
        rewards: NDArray[np.float64],
        before: EpisodeBatch,
        masks: NDArray[np.bool_],
        after: EpisodeBatch,
        ended: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        """Adds beta times the token's log-probability."""
        column = before.prompts.width + before.lengths
        chosen = after.tokens[np.arange(1), column].astype(np.int64)
        return rewards + self._beta * token_log_probs(self._model, before.tokens, masks, chosen)


class PotentialShaping(_Paying, RecordConstructorArgs):
    """Adds ``discount * potential(text after) - potential(text before)`` to every step; an ended text has potential 0.

    Ng, Harada and Russell (1999): so the learner is told on the way how it is doing, and yet the optimal policy for
    this discount stays what it was, whatever the potential. All that is added to a text comes, discounted, to minus the
    potential of the empty text.

    Args:
        env: A textgym environment.
        potential: A function of texts in any form that ``gym.make`` takes as ``reward=``: a reward, a plain function
            with a parameter ``completion``, or a name. It is asked of texts that are not finished, the empty one too.
        discount: The learner's own discount, from 0 to 1.

    Raises:
        ConfigurationError: for what is no function of texts, a stochastic one, or another discount.
        RewardError: at a step, if the potential returns other than a finite number.

    Example:
        >>> import textgym
        >>> def hope(completion: str) -> float:
        ...     return completion.count("great")
        >>> env = PotentialShaping(gym.make("TextGen-v0", level="tiny"), hope, discount=1.0)
        >>> _ = env.reset(seed=0)
        >>> env.step(env.unwrapped.task.tokenizer.encode("great")[0])[1]
        1.0
    """

    def __init__(self, env: gym.Env[Any, Any], potential: Any, discount: float) -> None:
        RecordConstructorArgs.__init__(self, potential=potential, discount=discount)
        super().__init__(env)
        self._potential = Potential(potential, base_task(env).level)
        self._discount = check_number("discount", discount, least=0.0, greatest=1.0)

    def pay(
        self,
        rewards: NDArray[np.float64],
        before: EpisodeBatch,
        masks: NDArray[np.bool_],
        after: EpisodeBatch,
        ended: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        """Adds the difference of the potentials."""
        then = self._potential(before, _ONE)
        return shaped(rewards, then, self._potential(after, ~ended), discount=self._discount)


class TokenCost(_Paying, RecordConstructorArgs):
    """Takes a fixed cost off the reward of every token that the agent writes, end ids and illegal ones too.

    Args:
        env: A textgym environment.
        cost: What a token costs; a negative one is a bonus.

    Raises:
        ConfigurationError: for a cost that is not a finite number.

    Example:
        >>> import textgym
        >>> env = TokenCost(gym.make("TextGen-v0", level="tiny"), cost=0.05)
        >>> _ = env.reset(seed=0)
        >>> env.step(0)[1]
        -0.05
    """

    def __init__(self, env: gym.Env[Any, Any], cost: float) -> None:
        RecordConstructorArgs.__init__(self, cost=cost)
        super().__init__(env)
        base_task(env)
        self._cost = check_number("cost", cost)

    def pay(
        self,
        rewards: NDArray[np.float64],
        before: EpisodeBatch,
        masks: NDArray[np.bool_],
        after: EpisodeBatch,
        ended: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        """Takes off the cost."""
        return rewards - self._cost
