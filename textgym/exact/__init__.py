"""Exact truth: optimal values, optimal texts, and what a policy earns, for tasks that are small enough.

:func:`solve` knows two ways. It tries all texts, level by level of the prefix tree, with the environment's own
transition rules; or, where the reward offers an :class:`~textgym.automata.Automaton`, it uses dynamic programming, at
any vocabulary and length. Values belong to what can be seen: prompts with equal visible ids are merged.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from textgym.configuration import EnvConfig, configure
from textgym.env import TextGenerationEnv
from textgym.episodes import Score
from textgym.errors import ConfigurationError, SolveError, TooLargeError
from textgym.exact.expansion import Expander
from textgym.exact.histories import ConversationSolution, solve_conversation
from textgym.exact.limits import Limits
from textgym.exact.machine import AutomatonSolution, solve_automaton
from textgym.exact.policies import Frame, TreePolicy, read_policy, renormalise
from textgym.exact.soft import SoftOptimum, soften
from textgym.exact.solution import PolicyValue, TableError, TreeSolution
from textgym.exact.tree import Floats, Levels, PrefixTree, best
from textgym.exact.values import PromptIndex, is_row
from textgym.exact.walking import Walker, opaque_wrappers
from textgym.factory import EnvFactory, as_factory
from textgym.task import Task

__all__ = [
    "AutomatonSolution",
    "ConversationSolution",
    "PolicyValue",
    "PrefixTree",
    "SoftOptimum",
    "Solution",
    "TableError",
    "TreePolicy",
    "TreeSolution",
    "solve",
    "value_error",
]

ENGINES = ("auto", "tree", "automaton")

Env = str | EnvFactory | Task | gym.Env[Any, Any]

Solution = TreeSolution | AutomatonSolution | ConversationSolution


def solve(
    env: Env,
    *,
    prompt: str | int | None = None,
    discount: float = 1.0,
    temperature: float | None = None,
    reference: Any = None,
    kind: str = "reward",
    engine: str = "auto",
    max_seconds: float = Limits.seconds,
    max_gigabytes: float = Limits.gigabytes,
    **kwargs: Any,
) -> Solution:
    """Solves an environment exactly.

    Args:
        env: An env id, an :class:`~textgym.EnvFactory`, a task, or an environment. Wrappers that change rewards,
            actions or ends are stepped through, if the tree is small enough.
        prompt: Solves for this prompt alone; by default all prompts of the split. A text stands for all prompts of the
            split that look like it, a row for itself, whatever metadata it hides.
        discount: Gamma.
        temperature: Also find the soft optimum: the best policy when a nat of divergence from the reference costs so
            much.
        reference: The policy to stay near: None for uniform play over legal ids, or anything with
            ``log_probs(tokens, action_masks)``, such as a language model.
        kind: What to maximise, ``"reward"`` or ``"gold"``.
        engine: ``"tree"`` tries all texts, ``"automaton"`` uses the reward's automaton; by default the tree where it
            is small enough.
        max_seconds: Most time; it is estimated first, and more is refused.
        max_gigabytes: Most memory, likewise.
        **kwargs: Further arguments of the environment, such as ``level="tiny"``.

    Returns:
        A :class:`~textgym.exact.solution.TreeSolution` or :class:`~textgym.exact.machine.AutomatonSolution`; both
        offer what :class:`~textgym.exact.values.Optimum` names.

    Raises:
        TooLargeError: with the estimate and what would help.
        SolveError: for rewards that are no function of the text, stochastic rewards and partners whose chance is not
            known (:class:`~textgym.partners.Partner` says how they state it), and wrappers that cannot be seen through.

    Example:
        >>> solution = solve("TextGen-v0", level="tiny")
        >>> solution.optimal_texts
        {'praise the movie': ('was great was great',)}
        >>> round(solution.optimal_return, 4), round(solution.value("was"), 4)
        (1.4295, 1.4295)
    """
    _check(discount, temperature, kind, engine)
    config, wrapped = _read(env, kwargs)
    score = _score(config, kind)
    if kind == "gold":
        # An illegal text has the lowest gold whatever it is paid, and only rewards can be marked as failed.
        config = replace(config, illegal_reward=None, on_reward_error="raise")
    index = _index(config, prompt)
    limits = Limits(max_seconds, max_gigabytes)
    if config.task.partner is not None:
        if wrapped is not None or temperature is not None or engine == "automaton":
            raise SolveError("conversations are solved as they are: without wrappers, temperature and automata")
        return solve_conversation(config, index, score, discount=discount, kind=kind, limits=limits)
    options: dict[str, Any] = {"discount": discount, "temperature": temperature, "reference": reference, "kind": kind}
    if wrapped is not None:
        if kind != "reward" or engine == "automaton":
            raise SolveError(
                "a wrapped environment is solved for its reward, by stepping it; solve env.unwrapped instead"
            )
        walker = Walker(wrapped, index.groups, limits)
        tree = walker.expand()
        return _solve_tree(config, index, tree, replay=walker.text_of if walker.translated else None, **options)
    if engine == "automaton":
        return solve_automaton(config, index, score, limits, **options)
    try:
        tree = Expander(config, score, index.groups, limits).expand()
    except TooLargeError:
        if engine == "tree" or temperature is not None or reference is not None or not hasattr(score, "automaton"):
            raise
        return solve_automaton(config, index, score, limits, **options)
    return _solve_tree(config, index, tree, **options)


def value_error(critic: Any, env: Env, *, policy: Any = None, **options: Any) -> float:
    """The mean squared error of a learned critic against V of the policy, over the prefixes that the policy visits.

    Args:
        critic: An agent with ``values(observations) -> (B,)``, or such a function.
        env: What :func:`solve` takes.
        policy: Whose values the critic should know; by default the critic itself.
        **options: Further arguments of :func:`solve`.

    Raises:
        SolveError: for what is no critic, or gives other than one number an observation.
    """
    solution = solve(env, engine="tree", **options)
    assert isinstance(solution, TreeSolution)
    estimate = getattr(critic, "values", critic)
    if not callable(estimate):
        raise SolveError(f"{critic!r} is no critic: expected values(observations) -> (B,), or such a function")
    if policy is None and estimate is critic:
        raise SolveError("a critic that is a function needs policy=: whose values should it know?")
    truth = solution.policy_value(critic if policy is None else policy)

    def ask(observations: Any, masks: NDArray[np.bool_], core: Any, level: int) -> Floats:
        answer = np.asarray(estimate(observations), dtype=np.float64)
        if answer.shape != (len(masks),) or not np.isfinite(answer).all():
            raise SolveError(
                f"the critic returned shape {answer.shape} for {len(masks)} observations, {np.isfinite(answer).sum()} "
                "numbers of it finite; expected a finite number each"
            )
        return answer

    weights = solution.index.weights[:, None]
    squares = visited = 0.0
    for answer, exact, visits in zip(solution.frame().ask(ask), truth.values, truth.visits, strict=True):
        squares += float((weights * visits * (answer - exact) ** 2).sum())
        visited += float((weights * visits).sum())
    return squares / visited


def _check(discount: float, temperature: float | None, kind: str, engine: str) -> None:
    if not isinstance(discount, int | float | np.number) or not 0.0 <= discount <= 1.0:
        raise ConfigurationError(f"discount={discount!r}: expected a number from 0 to 1")
    number = isinstance(temperature, int | float | np.number)
    if temperature is not None and not (number and 0.0 < temperature < np.inf):
        raise ConfigurationError(f"temperature={temperature!r}: expected a finite number above 0")
    if temperature is not None and discount != 1.0:
        raise ConfigurationError("the soft optimum is defined over whole texts: leave discount at 1")
    if kind not in ("reward", "gold"):
        raise ConfigurationError(f"kind={kind!r}: expected 'reward' or 'gold'")
    if engine not in ENGINES:
        raise ConfigurationError(f"engine={engine!r}: expected one of {', '.join(ENGINES)}")


def _read(env: Env, kwargs: dict[str, Any]) -> tuple[EnvConfig, gym.Env[Any, Any] | None]:
    """The configuration, and the environment itself where wrappers have a say in it."""
    if isinstance(env, Task):
        return configure(env, **kwargs), None
    if isinstance(env, gym.Env):
        if kwargs:
            raise ConfigurationError(f"{', '.join(kwargs)}: an environment that is made takes no further arguments")
        made = env
    else:
        made = as_factory(env, **kwargs).single()
    base = made.unwrapped
    if not isinstance(base, TextGenerationEnv):
        raise SolveError(f"{env!r} is not a textgym environment; `textgym list` shows which are")
    return base.config, made if opaque_wrappers(made) else None


def _score(config: EnvConfig, kind: str) -> Score:
    if kind == "reward":
        return config.task.reward
    if config.task.gold is None:
        raise SolveError(f"{config.task!r} has no true score apart from its reward; solve for kind='reward'")
    return config.task.gold


def _index(config: EnvConfig, prompt: str | int | None) -> PromptIndex:
    """The prompts to solve, those with equal ids as one group: nobody who reads ids can tell them apart."""
    table = config.task.prompts
    groups: dict[bytes, list[int]] = {}
    for row in _rows(config, prompt).tolist():
        groups.setdefault(table.ids[row].tobytes(), []).append(row)
    return PromptIndex(config.task, [np.array(group) for group in groups.values()])


def _rows(config: EnvConfig, prompt: str | int | None) -> NDArray[np.int64]:
    table = config.task.prompts
    rows = table.rows(config.split)
    if prompt is None:
        return rows
    if isinstance(prompt, str):
        alike = np.flatnonzero((table.ids == table.ids[table.index_of(prompt)]).all(axis=1))
        of_split = alike[np.isin(alike, rows)]
        return of_split if of_split.size else alike
    if not is_row(prompt) or not 0 <= prompt < len(table):
        raise ConfigurationError(f"prompt={prompt!r}: expected a row from 0 to {len(table) - 1}, or a prompt's text")
    return np.array([prompt])


def _solve_tree(
    config: EnvConfig,
    index: PromptIndex,
    tree: PrefixTree,
    *,
    discount: float,
    temperature: float | None,
    reference: Any,
    kind: str,
    replay: Any = None,
) -> TreeSolution:
    values, q_values = tree.back_up(discount, best)
    base = _reference(config, index, tree, reference, translated=replay is not None)
    soft = None if temperature is None else soften(tree, base, temperature, index.weights)
    return TreeSolution(
        config.task,
        tree,
        index,
        values,
        q_values,
        config=config,
        discount=discount,
        kind=kind,
        reference=base,
        soft=soft,
        replay=replay,
    )


def _reference(config: EnvConfig, index: PromptIndex, tree: PrefixTree, reference: Any, *, translated: bool) -> Levels:
    """The reference's probabilities among the legal ids, ``(G, N, K)`` for each level.

    They are uniform where the reference gives none of them any probability, as in
    :func:`textgym.language_models.renormalize`.
    """
    uniform = [
        np.broadcast_to(level.legal / level.legal.sum(axis=1, keepdims=True), level.rewards.shape)
        for level in tree.levels
    ]
    if reference is None or (isinstance(reference, str) and reference == "uniform"):
        return tuple(uniform)
    if not hasattr(reference, "log_probs"):
        raise SolveError(
            f"reference={reference!r}: expected None, 'uniform' or something with log_probs(tokens, masks)"
        )
    frame = Frame(replace(config, observation="tokens"), tree, index.representatives, translated=translated)
    answers = renormalise([p[:, :, :-1] for p in read_policy(reference, frame)])
    empty = [p.sum(axis=2, keepdims=True) == 0.0 for p in answers]
    return tuple(np.where(none, even, p) for none, even, p in zip(empty, uniform, answers, strict=True))
