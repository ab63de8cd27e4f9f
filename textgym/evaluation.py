"""Evaluation: what an agent earns, said with all that is needed to believe it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import STOP_REASONS, EpisodeBatch
from textgym.factory import EnvFactory, as_factory
from textgym.language_models import LanguageModel
from textgym.metrics import agreement, distinct, duplicate_share, text_metrics
from textgym.playing import describe, play
from textgym.scales import Scale, Truth, standard_error
from textgym.task import Task
from textgym.writers import CountedFactory, is_writer


@dataclass(frozen=True)
class Evaluation:
    """What was measured; arrays have one entry an episode.

    Attributes:
        returns: ``(N,)`` returns.
        golds: ``(N,)`` true scores; None where the task has none.
        successes: ``(N,)`` whether the task was solved; None where that is not defined.
        lengths: ``(N,)`` tokens written, end ids included.
        stop_reasons: How many texts ended for which reason.
        texts: For each episode its prompt, completion, reward and gold.
        normalized: Mean return on the scale random = 0, best = 1; None where those are not known.
        normalized_gold: The same for gold.
        why_not_normalized: The reason where ``normalized`` is None.
        regret: Best return minus mean return; None where the best is not known.
        deterministic: Whether the agent played greedily.
        distinct_1: Different tokens of all texts, divided by their number of tokens.
        distinct_2: Different pairs of neighbours, divided by the number of tokens.
        duplicate_share: Share of texts that repeat an earlier one.
        inexact: Which ends of that scale are not exact: ``"random"`` is then an estimate, ``"best"`` a lower bound, and
            so is the regret.
        inexact_gold: The same for gold.
        impossible: A sentence if the mean return is higher than anyone can earn, else None.
        impossible_gold: The same for gold.
        reward_calls: How many texts an agent that writes whole texts had scored on the way; None for others, which act
            without asking the reward.
        tally: What an agent with ``tally()`` counted meanwhile, such as answers that could not be read.
    """

    returns: NDArray[np.float64]
    golds: NDArray[np.float64] | None
    successes: NDArray[np.bool_] | None
    lengths: NDArray[np.int64]
    stop_reasons: dict[str, int]
    texts: list[dict[str, Any]]
    normalized: float | None
    normalized_gold: float | None
    why_not_normalized: str | None
    regret: float | None
    deterministic: bool
    distinct_1: float
    distinct_2: float
    duplicate_share: float
    inexact: tuple[str, ...] = ()
    inexact_gold: tuple[str, ...] = ()
    impossible: str | None = None
    impossible_gold: str | None = None
    reward_calls: int | None = None
    tally: Mapping[str, int] = field(default_factory=dict)
    _written: _Written | None = field(default=None, repr=False, compare=False)

    @property
    def mean_return(self) -> float:
        """Mean of the returns."""
        return float(self.returns.mean())

    @property
    def standard_error(self) -> float:
        """Standard error of the mean return; 0.0 for a single episode."""
        return standard_error(self.returns)

    @property
    def mean_gold(self) -> float | None:
        """Mean true score."""
        return None if self.golds is None else float(self.golds.mean())

    @property
    def gold_standard_error(self) -> float | None:
        """Standard error of the mean true score."""
        return None if self.golds is None else standard_error(self.golds)

    @cached_property
    def metrics(self) -> dict[str, float]:
        """All single numbers by name, computed when first asked for; what is not defined here is left out.

        The page "Comparing agents" of the documentation says what each of them means.
        """
        found = {"mean_return": self.mean_return, "cumulative_return": float(self.returns.sum())}
        if self.golds is not None:
            found |= {"mean_gold": float(self.golds.mean())}
            compared = agreement(self.returns, self.golds)
            found |= {"reward_error": compared.mean_squared_error}
            found |= {} if compared.correlation is None else {"reward_correlation": compared.correlation}
        if self.successes is not None:
            found["success"] = float(self.successes.mean())
        if self.reward_calls is not None:
            found["reward_calls_per_text"] = self.reward_calls / len(self.returns)
        found |= {name: float(count) for name, count in self.tally.items()}
        return found if self._written is None else found | self._written.metrics()

    def __getstate__(self) -> dict[str, Any]:
        """Pickles the metrics instead of what they are made of, which need not be picklable."""
        return {**self.__dict__, "metrics": self.metrics, "_written": None}


@dataclass(frozen=True)
class _Written:
    """The texts of an evaluation, with whatever says how fluent they are."""

    batch: EpisodeBatch
    task: Task
    language_model: LanguageModel | None

    def metrics(self) -> dict[str, float]:
        model = self.task.language_model if self.language_model is None else self.language_model
        return text_metrics(self.batch, model)


def evaluate(
    agent_or_act: Any,
    env: str | EnvFactory,
    *,
    episodes: int = 100,
    seed: int = 0,
    deterministic: bool = True,
    truth: Truth | None = None,
    language_model: LanguageModel | None = None,
    **kwargs: Any,
) -> Evaluation:
    """Measures an agent under reward and, where there is one, the true score.

    Where there are at least as many episodes as prompts, the prompts take turns, so that all weigh the
    same, as they do in the random and best returns; otherwise the environment draws them.

    Args:
        agent_or_act: An agent with ``act`` or ``write``, such a function itself, or a stable-baselines3 model.
        env: An env id or factory.
        episodes: Number of texts; episode i is the first episode of the lane seeded seed + i.
        seed: Seed of lane 0.
        deterministic: Greedy play; False samples.
        truth: What :func:`textgym.exact.solve` found for the same prompts: normalised returns and regret then come
            from it, also where an override has dropped what the task knew.
        language_model: For the cross-entropy and perplexity in ``metrics``; by default ``task.language_model``.
        **kwargs: Further arguments of the environment, such as ``split="test"``.

    Raises:
        ConfigurationError: for what is no agent, an action array of a wrong shape or type, or a truth about other
            prompts.

    Example:
        >>> from textgym.agents.registry import make_agent
        >>> evaluate(make_agent("uniform"), "TextGen-v0", episodes=40).lengths.shape
        (40,)
    """
    factory = as_factory(env, **kwargs)
    task = factory.task()
    split = factory.kwargs.get("split") or task.default_split
    rows = task.prompts.rows(split)
    counted = CountedFactory(factory.env_id, factory.kwargs) if is_writer(agent_or_act) else None
    before = _tally_of(agent_or_act)
    reward_scale, gold_scale = (Scale.find(task, split, kind, truth=truth) for kind in ("reward", "gold"))
    batch, returns = play(
        agent_or_act,
        counted if counted is not None and type(factory) is EnvFactory else factory,
        episodes=episodes,
        seed=seed,
        deterministic=deterministic,
        prompt_indices=np.resize(rows, episodes) if episodes >= len(rows) else None,
    )
    golds = batch.gold()
    return Evaluation(
        returns=returns,
        golds=golds,
        successes=batch.success(),
        lengths=batch.lengths,
        stop_reasons=dict(Counter(str(STOP_REASONS[code]) for code in batch.stop_codes.tolist())),
        texts=describe(batch, returns),
        normalized=reward_scale.normalize(returns),
        normalized_gold=None if golds is None else gold_scale.normalize(golds),
        why_not_normalized=reward_scale.why_not,
        regret=reward_scale.regret(returns),
        deterministic=deterministic,
        distinct_1=distinct(batch, 1),
        distinct_2=distinct(batch, 2),
        duplicate_share=duplicate_share(batch.completions),
        inexact=reward_scale.inexact,
        inexact_gold=gold_scale.inexact,
        impossible=reward_scale.impossible(returns, batch),
        impossible_gold=None if golds is None else gold_scale.impossible(golds, batch),
        reward_calls=None if counted is None else counted.meter.reward_calls,
        tally={name: count - before.get(name, 0) for name, count in _tally_of(agent_or_act).items()},
        _written=_Written(batch, task, language_model),
    )


def _tally_of(agent: Any) -> Mapping[str, int]:
    return agent.tally() if callable(getattr(agent, "tally", None)) else {}


def normalized_score(env: str | EnvFactory, value: float, **kwargs: Any) -> float:
    """Puts a mean return on the scale where random play is 0 and the best text 1.

    Raises:
        TaskError: where those are not known, saying why.
    """
    factory = as_factory(env, **kwargs)
    return factory.task().returns(factory.kwargs.get("split")).normalize(value)
