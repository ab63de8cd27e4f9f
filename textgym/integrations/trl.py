"""TRL: prompts as a data set, the environment's reward for token ids, and rollouts that keep to the masks.

Rewards are given for ``completion_ids``: nothing is decoded and encoded again. Rollouts step through the native vector
environment, so that rules on the next token and a partner's replies hold while texts are written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from textgym.errors import ConfigurationError
from textgym.factory import EnvFactory, as_factory
from textgym.integrations._versions import require
from textgym.integrations.replay import Completions, Replay, check_lengths
from textgym.keys import spawn_seed

require("trl", "trl", "1.16", "1.17")

from textgym.agents.lm.model import LegalTokens  # noqa: E402
from textgym.integrations.model_tokens import (  # noqa: E402
    as_asked,
    compare_tokens,
    forbid_ids,
    make_tokenizer,
    text_of,
)
from textgym.integrations.trl_rollouts import LANES, RolloutFunction  # noqa: E402


def dataset(env: str | EnvFactory, *, split: str | None = None, size: int | None = None, **kwargs: Any) -> Any:
    """The prompts of an environment for TRL's trainers.

    Args:
        env: An env id or factory.
        split: ``"train"``, ``"test"`` or ``"all"``; by default the environment's own, train where there are splits.
        size: How many rows; the prompts take turns. TRL leaves out a batch that the data set does not fill: give as
            many rows as a batch has groups, or more. By default each prompt once.
        **kwargs: Arguments of the environment.

    Returns:
        A ``datasets.Dataset`` with the columns ``prompt`` (a text; for tokenizers with a chat template, messages),
        ``prompt_index`` (by which rewards find it) and, where there are any, ``references``.

    Raises:
        ConfigurationError: for a size that is none, and environments that are not textgym's.

    Example:
        >>> dataset("TextGen-v0", level="tiny")[0]
        {'prompt': 'praise the movie', 'prompt_index': 0}
    """
    from datasets import Dataset

    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        raise ConfigurationError(f"size={size!r}: expected a whole number of at least 1")
    factory = _factory(env, kwargs if split is None else {**kwargs, "split": split})
    task, base = factory.task(), factory.single().unwrapped
    rows = task.prompts.rows(base.config.split)  # type: ignore[attr-defined]
    rows = rows if size is None else np.resize(rows, size)
    prompts = [task.prompts.prompts[row] for row in rows.tolist()]
    columns: dict[str, list[Any]] = {
        "prompt": [as_asked(task, prompt.text) for prompt in prompts],
        "prompt_index": rows.tolist(),
    }
    if any(prompt.references for prompt in prompts):
        columns["references"] = [list(prompt.references) for prompt in prompts]
    return Dataset.from_dict(columns)


def tokenizer(env: str | EnvFactory, **kwargs: Any) -> Any:
    """The environment's tokenizer as one of ``transformers``, with the same ids: a trainer's ``processing_class``.

    It has one id more, which begins every text, and a chat template for prompts and answers that come as messages.

    Raises:
        ConfigurationError: for a tokenizer of somebody's own, which cannot be written down as one.
    """
    return make_tokenizer(_factory(env, kwargs).task())


def check_tokenizer(env: str | EnvFactory, processing_class: Any, **kwargs: Any) -> None:
    """Refuses a model's tokenizer whose ids are not the environment's.

    Raises:
        ConfigurationError: names the first id that differs.
    """
    compare_tokens(_factory(env, kwargs).task(), processing_class)


def forbid(model: Any, env: str | EnvFactory, **kwargs: Any) -> Any:
    """Keeps a model from ids that the environment never allows, when it writes and when TRL's loss asks for chances.

    Rollouts keep to the masks anyway, but TRL's loss and its entropy bonus know nothing of them: without this, chances
    drift to ids that nobody can write. Rules that depend on the text remain with :func:`rollout_function` alone.

    Args:
        model: A causal language model of ``transformers`` whose ids are the environment's; it is changed in place.
            Saved weights are as they were; a vLLM server does not know of it.
        env: An env id or factory.
        **kwargs: Arguments of the environment.

    Returns:
        The model.

    Raises:
        ConfigurationError: for a head that has a bias of its own.
    """
    forbid_ids(model, LegalTokens.of(_factory(env, kwargs).task()).fixed)
    return model


def reward_function(
    env: str | EnvFactory, *, processing_class: Any = None, seed: int = 0, **kwargs: Any
) -> EnvironmentReward:
    """A reward function for TRL's trainers: what the environment pays for the same token ids.

    Args:
        env: An env id or factory.
        processing_class: The model's tokenizer, to have it compared with the environment's now.
        seed: Of rewards and partners that depend on chance.
        **kwargs: Arguments of the environment, such as ``level="easy"``.

    Raises:
        ConfigurationError: for a tokenizer that differs.

    Example:
        >>> pays = reward_function("TextGen-v0", level="tiny")
        >>> good, bad = (pays.task.encode_completion(text) for text in ("was great", "great great"))
        >>> rewards = pays(completion_ids=[good, bad], prompt_index=[0, 0])
        >>> rewards[0] > rewards[1]
        True
    """
    reward = EnvironmentReward(_factory(env, kwargs), seed=seed)
    if processing_class is not None:
        compare_tokens(reward.task, processing_class)
    return reward


class EnvironmentReward:
    """See :func:`reward_function`; TRL calls it with the columns of the data set as lists.

    An illegal id, or one outside the vocabulary, pays ``illegal_reward``; what follows the end of a text is ignored,
    and what exceeds the budget is cut. The metrics ``textgym/illegal`` and, with ``gold=True``, ``textgym/gold`` are
    logged.

    Attributes:
        task: The environment's task.
    """

    def __init__(self, factory: EnvFactory, *, seed: int = 0) -> None:
        self.__name__ = factory.env_id  # under which TRL logs it
        self._replay, self._seed, self._calls = Replay(factory), seed, 0
        self.task = self._replay.task

    def __call__(
        self,
        prompts: Sequence[Any] | None = None,
        completions: Sequence[Any] | None = None,
        *,
        completion_ids: Completions,
        prompt_index: Sequence[int] | None = None,
        episode_key: Sequence[int] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **columns: Any,
    ) -> list[float]:
        """Scores completions.

        Args:
            prompts: Used where there is no ``prompt_index``: texts or messages.
            completions: Not used: the ids are the truth.
            completion_ids: Token ids of each completion.
            prompt_index: Rows of the task's prompts, as :func:`dataset` has them.
            episode_key: From :func:`rollout_function`: where chance comes from.
            log_metric: TRL's.
            **columns: Other columns, not used.

        Raises:
            ConfigurationError: for columns of different lengths.
            PromptError: for a prompt that the task has not, and a completion that stops before its text has ended.
        """
        if prompt_index is None:
            prompt_index = [self.task.prompts.index_of(text_of(prompt)) for prompt in prompts or ()]
        keys = {} if episode_key is None else {"episode_key": episode_key}
        check_lengths(completion_ids=completion_ids, prompts=prompt_index, **keys)
        self._calls += 1
        seed = spawn_seed(self._seed, "scores", str(self._calls))
        returns, illegal, batch = self._replay(prompt_index, completion_ids, keys=episode_key, seed=seed)
        if log_metric is not None and len(returns):
            log_metric("textgym/illegal", float(illegal.mean()))
            golds = batch.gold() if batch is not None and self._replay.config.gold else None
            if golds is not None:
                log_metric("textgym/gold", float(golds.mean()))
        found: list[float] = returns.tolist()
        return found


def rollout_function(env: str | EnvFactory, *, seed: int = 0, lanes: int = LANES, **kwargs: Any) -> RolloutFunction:
    """A ``rollout_func`` for TRL's GRPOTrainer: texts written token by token in the native vector environment.

    Every token is drawn from the legal ones. In conversations the partner's replies are part of the completion, and
    ``env_mask`` keeps them out of the loss. Pair it with the :func:`reward_function` of the same environment.

    Args:
        env: An env id or factory.
        seed: Of the draws and the environment; processes and steps of training get seeds of their own.
        lanes: Texts that are written at the same time, at most.
        **kwargs: Arguments of the environment.
    """
    return RolloutFunction(_factory(env, kwargs), seed=seed, lanes=lanes)


def _factory(env: str | EnvFactory, kwargs: dict[str, Any]) -> EnvFactory:
    factory = as_factory(env, **kwargs)
    factory.task()  # other people's environments have none, which is said here
    if factory.kwargs.get("observation", "tokens") != "tokens":
        raise ConfigurationError(
            f"observation={factory.kwargs['observation']!r}: TRL reads token ids, observation='tokens'; leave it out"
        )
    return EnvFactory(factory.env_id, {k: v for k, v in factory.kwargs.items() if k != "observation"})
