"""The study: proxies of several classes, numbers of pairs and shares of noise, and what optimising each does."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from textgym.episodes import Score
from textgym.errors import ConfigurationError, TaskError
from textgym.factory import EnvFactory, as_factory
from textgym.keys import spawn_seed
from textgym.overoptimisation.agents import place_agent
from textgym.overoptimisation.curves import Scored, best_of_n_curve, tilt_curve
from textgym.overoptimisation.population import ByGroup, Population, populate
from textgym.overoptimisation.proxies import Fitter, check_model, flip, score_population, simulate
from textgym.overoptimisation.results import BEST_OF_N, TILTED, Cell, Curve, Excerpt, Study
from textgym.task import Task

MODELS = ("unigram", "ngram", "rich")
PAIRS = (100, 1_000, 10_000)
NOISES = (0.0, 0.25)

_SHOWN_PROMPTS, _SHOWN_TEXTS = 4, 2


@dataclass(frozen=True)
class _Plan:
    """What a study is made of, checked."""

    models: tuple[str, ...]
    pairs: tuple[int, ...]
    noises: tuple[float, ...]
    seeds: tuple[int, ...]

    def __post_init__(self) -> None:
        for name in ("models", "pairs", "noises", "seeds"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise ConfigurationError(f"{name}={list(values)!r}: expected at least one, and none twice")
        for count in self.pairs:
            if isinstance(count, bool) or not isinstance(count, int) or count < 2:
                raise ConfigurationError(f"pairs={count!r}: expected a whole number of at least 2 comparisons")
        for noise in self.noises:
            if isinstance(noise, bool) or not isinstance(noise, int | float) or not 0.0 <= noise <= 0.5:
                raise ConfigurationError(
                    f"noise={noise!r}: expected the share of judgements that are turned around, from 0 to 0.5"
                )


def overoptimise(
    env: str | EnvFactory,
    *,
    models: Sequence[Any] = MODELS,
    pairs: Sequence[int] = PAIRS,
    noises: Sequence[float] = NOISES,
    seeds: int | Sequence[int] = 1,
    reference: Any = "uniform",
    temperature: float | None = None,
    true_score: str = "gold",
    penalty: float = 1.0,
    samples: int = 4_000,
    exact: bool | None = None,
    agents: Mapping[str, Any] | None = None,
    on_cell: Callable[[Cell, Curve], None] | None = None,
    **kwargs: Any,
) -> Study:
    """Fits proxies to simulated comparisons and optimises against each of them, weakly and hard.

    Args:
        env: An env id or factory.
        models: Classes of :mod:`textgym.overoptimisation.proxies`, or rewards as ``reward=`` takes them.
        pairs: Numbers of comparisons.
        noises: Shares of judgements that are turned around.
        seeds: How many seeds, or which.
        reference: Where optimisation begins: ``"uniform"`` over legal tokens, ``"demonstrations"`` (the task's n-gram
            model of them), or a policy with ``log_probs``. The compared texts are its texts.
        temperature: Difference of true scores at which a simulated annotator prefers the better text 73 % of the time;
            by default half the standard deviation of the true score under the reference.
        true_score: ``"gold"``, or ``"reward"`` to take the environment's own reward for the truth.
        penalty: Weight of the squared norm of the weights of linear models.
        samples: Texts a prompt, where not all of them can be tried.
        exact: True insists on all texts, False on samples; by default as it can be.
        agents: Name -> agent, placed beside the curves (:func:`~textgym.overoptimisation.agents.place_agent`).
        on_cell: Called with each proxy and its tilted curve once they are there.
        **kwargs: Further arguments of the environment.

    Raises:
        TaskError: where there is no gold, or it does not vary.
        ConfigurationError: for fewer than 2 pairs and other settings that cannot work.
        UnknownNameError: for a model that is none.

    Example:
        >>> study = overoptimise("TextGen-v0", level="tiny", models=["unigram"], pairs=[100], noises=[0.0])
        >>> study.exact, len(study.curves)
        (True, 2)
    """
    factory = as_factory(env, **kwargs)
    numbers = tuple(range(seeds)) if isinstance(seeds, int) and not isinstance(seeds, bool) else tuple(seeds)  # type: ignore[arg-type]
    names = {model if isinstance(model, str) else str(model): model for model in models}
    plan = _Plan(tuple(str(model) for model in models), tuple(pairs), tuple(noises), numbers)
    task = factory.task()
    truth = find_truth(task, true_score)
    given = {name: check_model(model, task) for name, model in names.items()}
    population = populate(factory, reference, samples=samples, seed=numbers[0], exact=exact)
    gold = score_population(population, truth, "the true score")
    largest = max(float(np.abs(scores).max()) for scores in gold)
    noise_scale = _find_temperature(temperature, population.spread(gold), largest)
    curves, excerpts = [], []
    for cell, proxy in _proxies(population, truth, given, plan, temperature=noise_scale, penalty=penalty):
        scored = Scored.of(population, proxy, gold)
        tilted = Curve(cell=cell, method=TILTED, points=tuple(tilt_curve(scored)))
        curves += [tilted, Curve(cell=cell, method=BEST_OF_N, points=tuple(best_of_n_curve(scored)))]
        if cell.seed in (None, plan.seeds[0]):
            excerpts += _quote(scored, tilted)
        if on_cell is not None:
            on_cell(cell, tilted)
    own = score_population(population, task.reward, "reward") if agents else ()
    return Study(
        env_id=factory.env_id,
        env_kwargs=dict(factory.kwargs),
        reference=reference if isinstance(reference, str) else type(reference).__name__,
        exact=population.exact,
        why_sampled=population.why_sampled,
        texts=len(population.texts[0]),
        prompts=sum(map(len, population.groups)),
        temperature=noise_scale,
        true_score=true_score,
        curves=tuple(curves),
        excerpts=tuple(excerpts),
        agents=tuple(
            place_agent(name, agent, factory, population, truth=truth, gold=gold, reward=own, reference=reference)
            for name, agent in (agents or {}).items()
        ),
    )


def find_truth(task: Task, true_score: str = "gold") -> Score:
    """The true score of a task.

    Raises:
        TaskError: where it has no gold, saying what to do.
        ConfigurationError: for a score that is neither "gold" nor "reward".
    """
    if true_score not in ("gold", "reward"):
        raise ConfigurationError(f"true_score={true_score!r}: expected 'gold' or 'reward'")
    if true_score == "reward":
        return task.reward
    if task.gold is None:
        changed = ", ".join(sorted(task.overridden))
        why = f" once {changed} is overridden: leave that out, or try your reward as a model" if changed else ""
        raise TaskError(
            f"{task!r} has no gold, a true score apart from its reward{why}. Take a task that has one, such as "
            "TextGen-v0 or TextGen/Proxy-v0, or take the reward for the truth: true_score='reward' "
            "(--truth reward on the command line)"
        )
    return task.gold


def _find_temperature(given: float | None, spread: float, largest: float) -> float:
    if spread <= 1e-12 * max(1.0, largest):  # nothing but rounding
        raise TaskError(
            "the true score is the same for all texts that the reference writes, so that comparisons of them say "
            "nothing; use a reference that sometimes does well, such as reference='demonstrations', or more samples"
        )
    if given is None:
        return spread / 2.0
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0.0 < given < math.inf:
        raise ConfigurationError(f"temperature={given!r}: expected a finite number above 0")
    return float(given)


def _proxies(
    population: Population,
    truth: Score,
    given: Mapping[str, Score | None],
    plan: _Plan,
    *,
    temperature: float,
    penalty: float,
) -> Iterator[tuple[Cell, ByGroup]]:
    """Every proxy with its scores of all texts: rewards first, then the fitted ones."""
    for name, reward in given.items():
        if reward is not None:
            yield Cell(model=name), score_population(population, reward, name)
    fitted = [name for name, reward in given.items() if reward is None]
    for seed in plan.seeds if fitted else ():
        said = simulate(population, truth, max(plan.pairs), temperature=temperature, seed=seed)
        for noise in plan.noises:
            heard = flip(said, noise, seed=seed)
            for count in plan.pairs:
                fitter = Fitter(heard[:count], population.config.task, penalty=penalty, seed=seed)
                for name in fitted:
                    cell = Cell(model=name, pairs=count, noise=noise, seed=seed)
                    yield cell, score_population(population, fitter.fit(name), name)


def _quote(scored: Scored, curve: Curve) -> list[Excerpt]:
    """Texts at three places of a tilted curve; the same numbers are drawn at each."""
    population, task = scored.population, scored.population.config.task
    groups = range(min(_SHOWN_PROMPTS, len(population.groups)))
    uniforms = np.random.default_rng(spawn_seed(0, "overopt", "excerpts")).random((len(groups), _SHOWN_TEXTS))
    excerpts = []
    for place, point in (("start", curve.start), ("peak", curve.peak), ("end", curve.end)):
        chances = scored.tilted(point.strength)
        for group in groups:
            for index in population.draw(group, uniforms[group], chances[group]).tolist():
                texts, row = population.texts[group], int(population.groups[group][0])
                ids = texts.ids[index, : texts.lengths[index]].tolist()
                excerpt = Excerpt(
                    cell=replace(curve.cell, seed=None),
                    place=place,
                    prompt=task.prompts.texts[row],
                    text=task.tokenizer.decode(ids),
                    proxy=float(scored.proxy[group][index]),
                    gold=float(scored.gold[group][index]),
                )
                excerpts.append(excerpt)
    return excerpts
