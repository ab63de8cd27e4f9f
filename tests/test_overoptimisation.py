"""Over-optimisation: the distributions are exact, the estimates honest, and a misspecified proxy gives way."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from textgym import EnvFactory
from textgym.agents.registry import make_agent
from textgym.comparisons import Comparison
from textgym.episodes import EpisodeBatch
from textgym.errors import ConfigurationError, RewardError, SolveError, TaskError, TooLargeError, UnknownNameError
from textgym.exact import solve
from textgym.overoptimisation import overoptimise, summarise
from textgym.overoptimisation.curves import Point, Scored, best_of_n_curve, rank, tilt_curve
from textgym.overoptimisation.forms import fit_form
from textgym.overoptimisation.population import Population, Texts, populate
from textgym.overoptimisation.proxies import Fitter, flip, simulate
from textgym.overoptimisation.references import read_tokens

TINY = EnvFactory("TextGen-v0", {"level": "tiny"})


@pytest.fixture(scope="module")
def tiny() -> Population:
    return populate(TINY)


def scored(population: Population, proxy: object = None) -> Scored:
    task = population.config.task
    assert task.gold is not None
    return Scored.of(population, population.score(proxy or task.reward), population.score(task.gold))  # type: ignore[arg-type]


# ---- the population -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("env_id", ["TextGen-v0", "TextGen/Recommend-v0", "TextGen/Needle-v0"])
def test_all_texts_of_random_play_earn_what_the_task_states(env_id: str) -> None:
    population = populate(EnvFactory(env_id, {"level": "tiny"} if env_id == "TextGen-v0" else {}))
    task = population.config.task
    assert task.gold is not None
    assert [base.sum() for base in population.base] == pytest.approx([1.0] * len(population.groups))
    stated = task.returns(population.config.split, "gold").random
    assert population.mean(population.score(task.gold)) == pytest.approx(stated, abs=1e-4)


def test_demonstrations_and_agents_as_reference_are_those_of_exact_solve() -> None:
    for reference in ("demonstrations", make_agent("uniform")):
        population = populate(TINY, reference)
        model = population.config.task.language_model if reference == "demonstrations" else reference
        value = solve(TINY, kind="gold", reference=model, temperature=1e9).soft
        assert value is not None
        gold = population.score(population.config.task.gold)  # type: ignore[arg-type]
        assert population.mean(gold) == pytest.approx(value.mean_return, abs=1e-6)


def test_texts_end_as_in_the_environment() -> None:
    """Every sampled text is one of the enumerated ones, with the same length and reason to end."""
    factory = EnvFactory("TextGen/Recommend-v0")
    every, some = populate(factory), populate(factory, exact=False, samples=200)
    known = {tuple(ids): (int(n), int(c)) for ids, n, c in _rows(every.texts[0])}
    found = [(known[tuple(ids)], (int(n), int(c))) for texts in some.texts for ids, n, c in _rows(texts)]
    assert len(found) == 200 * len(some.texts)
    assert all(one == other for one, other in found)


def _rows(texts: Texts) -> zip[tuple[list[int], int, int]]:
    return zip(texts.ids.tolist(), texts.lengths.tolist(), texts.codes.tolist(), strict=True)


def test_what_is_too_large_is_sampled_and_says_so() -> None:
    factory = EnvFactory("TextGen-v0", {"level": "medium"})
    population = populate(factory, samples=100)
    assert not population.exact
    assert "is too large to try all of its texts" in population.why_sampled
    assert len(population.groups) == 8
    with pytest.raises(TooLargeError):
        populate(factory, exact=True)


def test_a_study_of_a_large_task_has_standard_errors_and_fits() -> None:
    study = overoptimise(
        "TextGen-v0", level="medium", models=["unigram"], pairs=[300], noises=[0.0], samples=600, penalty=3.0
    )
    assert "is too large" in study.why_sampled
    assert (study.texts, study.prompts) == (600, 8)
    for curve in study.curves:
        assert curve.start.kl == curve.start.kl_error == 0.0
        assert len(curve.fits) == 2
        assert all(point.kl_error > 0.0 and point.gold_error > 0.0 for point in curve.points[1:])
        assert curve.end.proxy > curve.start.proxy


def test_conversations_are_sampled() -> None:
    study = overoptimise(
        "TextGen/Dialogue-v0", models=["unigram"], pairs=[40], noises=[0.0], true_score="reward", samples=100
    )
    assert not study.exact
    assert "conversation" in study.why_sampled
    with pytest.raises(SolveError, match="written by two"):
        overoptimise("TextGen/Dialogue-v0", true_score="reward", exact=True)


# ---- best of n ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 5])
def test_best_of_n_equals_trying_all_draws(n: int) -> None:
    """Six texts, two pairs of which tie: all ``6 ** n`` draws, and ties broken evenly."""
    base = np.array([0.3, 0.1, 0.25, 0.05, 0.2, 0.1])
    proxy, gold = np.array([1.0, 2.0, 1.0, 3.0, 2.0, 0.5]), np.array([0.0, 1.0, -1.0, 2.0, 0.5, 4.0])
    chances = np.zeros(6)
    for draw in itertools.product(range(6), repeat=n):
        best = [text for text in draw if proxy[text] == proxy[list(draw)].max()]
        for text in best:
            chances[text] += base[list(draw)].prod() / len(best)
    found = rank(base, proxy, gold, count=0).best_of(n)
    kl = float((chances * np.log(chances / base)).sum())
    assert found.values == pytest.approx((kl, float(chances @ proxy), float(chances @ gold)), abs=1e-12)


def test_best_of_n_equals_brute_force_sampling(tiny: Population) -> None:
    base, proxy = tiny.base[0], np.round(tiny.score(tiny.config.task.reward)[0], 1)  # many ties
    ranks = rank(base, proxy, proxy, count=0)
    exact, n, count = ranks.distribution(8), 8, 40_000
    rng = np.random.default_rng(0)
    best = proxy[rng.choice(len(base), size=(count, n), p=base)].max(axis=1)
    shares = (best[:, None] == np.unique(proxy)).mean(axis=0)
    assert exact.sum() == pytest.approx(1.0, abs=1e-12)
    likely = exact > 20 / count
    deviations = (shares - exact)[likely] / np.sqrt(exact * (1 - exact) / count)[likely]
    assert np.abs(deviations).max() < 4.5
    assert 0.6 < (deviations**2).mean() < 1.5


def test_the_formula_for_the_divergence_holds_without_ties_and_is_too_much_with_them(tiny: Population) -> None:
    count = 100_000
    base, proxy = np.full(count, 1.0 / count), np.arange(count) * 1.0
    for n in (2, 16, 100):
        formula = np.log(n) - (n - 1) / n
        assert rank(base, proxy, proxy, count=0).best_of(n).values[0] == pytest.approx(formula, abs=1e-3)
    for point in best_of_n_curve(scored(tiny))[1:]:
        assert point.formula is not None
        assert point.kl < point.formula


def test_as_many_draws_as_one_likes_end_at_the_best_text(tiny: Population) -> None:
    made = scored(tiny)
    point = best_of_n_curve(made, [2**40])[-1]
    assert point.proxy == pytest.approx(made.proxy[0].max(), abs=1e-9)
    assert point.kl == pytest.approx(-np.log(tiny.base[0][made.proxy[0].argmax()]), abs=1e-6)


# ---- the tilted policy ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reference", ["uniform", "demonstrations"])
@pytest.mark.parametrize("temperature", [3.0, 0.5, 0.05, 0.01])
def test_the_tilted_policy_is_the_soft_optimum(reference: str, temperature: float) -> None:
    factory = EnvFactory("TextGen/Proxy-v0")
    population = populate(factory, "uniform") if reference == "uniform" else populate(TINY, "demonstrations")
    factory = factory if reference == "uniform" else TINY
    made = scored(population)
    reward = population.score(population.config.task.reward)
    strength = population.spread(reward) / temperature
    point = tilt_curve(made, [strength])[-1]
    model = None if reference == "uniform" else population.config.task.language_model
    soft = solve(factory, temperature=temperature, reference=model).soft
    assert soft is not None
    tilted = made.tilted(strength)
    mean = float(population.weights @ [p @ r for p, r in zip(tilted, reward, strict=True)])
    assert point.kl == pytest.approx(soft.kl, abs=1e-9)
    assert mean == pytest.approx(soft.mean_return, abs=1e-9)
    gold = float(population.weights @ [p @ g for p, g in zip(tilted, made.gold, strict=True)])
    assert point.gold == pytest.approx(gold, abs=1e-9)


def test_the_harder_the_further_and_the_more_proxy(tiny: Population) -> None:
    for curve in (tilt_curve(scored(tiny)), best_of_n_curve(scored(tiny))):
        assert curve[0].kl == 0.0
        assert curve[0].gold == pytest.approx(curve[0].proxy)
        assert np.all(np.diff([point.kl for point in curve]) >= -1e-12)
        assert np.all(np.diff([point.proxy for point in curve]) >= -1e-12)


def test_best_of_n_never_beats_the_tilted_policy_at_its_own_divergence(tiny: Population) -> None:
    """Among all policies of one divergence the tilted one has the most proxy."""
    made = scored(tiny)
    tilted = tilt_curve(made, np.geomspace(0.01, 1000, 400).tolist())
    for point in best_of_n_curve(made)[1:]:
        bound = np.interp(point.kl, [p.kl for p in tilted], [p.proxy for p in tilted])
        assert point.proxy <= bound + 1e-3


def test_neither_way_to_optimise_cares_for_the_scale_of_the_proxy(tiny: Population) -> None:
    task = tiny.config.task
    assert task.gold is not None
    gold, reward = tiny.score(task.gold), tiny.score(task.reward)
    for curve in (tilt_curve, best_of_n_curve):
        one = curve(Scored.of(tiny, reward, gold))
        other = curve(Scored.of(tiny, tuple(1e4 * scores - 77.0 for scores in reward), gold))
        assert [p.kl for p in one] == pytest.approx([p.kl for p in other], abs=1e-8)
        assert [p.proxy for p in one] == pytest.approx([p.proxy for p in other], abs=1e-8)


def test_a_proxy_that_likes_all_texts_alike_cannot_be_optimised(tiny: Population) -> None:
    made = scored(tiny, lambda batch: np.full(len(batch), 7.0))
    assert len(tilt_curve(made)) == len(best_of_n_curve(made)) == 1


# ---- estimates ------------------------------------------------------------------------------------------------------


def drawn(population: Population, count: int, seed: int) -> Population:
    """Texts drawn from a population, as if nobody knew how likely they are."""
    rng = np.random.default_rng(seed)
    places = [population.draw(group, rng.random(count)) for group in range(len(population.groups))]
    texts = tuple(
        Texts(each.ids[chosen], each.lengths[chosen], each.codes[chosen])
        for each, chosen in zip(population.texts, places, strict=True)
    )
    base = tuple(np.full(count, 1.0 / count) for _ in places)
    return replace(population, texts=texts, base=base, exact=False, solution=None)


def test_estimates_are_as_far_from_the_truth_as_they_say(tiny: Population) -> None:
    """100 samples: divergence, proxy and gold of both methods within 3 standard errors in at least 97."""
    truth = scored(tiny)
    exact = tilt_curve(truth, [0.5, 1.0, 2.0])[1:] + best_of_n_curve(truth, [4, 16, 64])[1:]
    misses = np.zeros((len(exact), 3), dtype=int)
    deviations = []
    for seed in range(100):
        sample = drawn(tiny, 5_000, seed)
        own = scored(sample)
        factor = truth.spread / tiny.spread(tiny.score(tiny.config.task.reward))
        start = tiny.mean(truth.gold) - factor * tiny.mean(tiny.score(tiny.config.task.reward))
        proxy = tuple(factor * r + start for r in sample.score(tiny.config.task.reward))
        made = Scored(sample, proxy, own.gold, truth.spread)  # on the same scale
        found = tilt_curve(made, [0.5, 1.0, 2.0])[1:] + best_of_n_curve(made, [4, 16, 64])[1:]
        assert len(found) == len(exact)
        z = np.array([_deviations(one, other) for one, other in zip(found, exact, strict=True)])
        misses += np.abs(z) > 3.0
        deviations.append(z)
    assert misses.max() <= 3
    assert np.std(deviations, axis=0).min() > 0.7
    assert np.std(deviations, axis=0).max() < 1.4


def _deviations(found: Point, exact: Point) -> tuple[float, float, float]:
    return (
        (found.kl - exact.kl) / found.kl_error,
        (found.proxy - exact.proxy) / found.proxy_error,
        (found.gold - exact.gold) / found.gold_error,
    )


def test_a_sample_stops_where_it_says_too_little(tiny: Population) -> None:
    made = scored(drawn(tiny, 400, 0))
    assert best_of_n_curve(made)[-1].strength == 8.0
    assert tilt_curve(made)[-1].strength < 10.0
    assert tilt_curve(made)[-1].kl_error > 0.0


def test_agents_stand_where_exact_values_say(tiny: Population) -> None:
    agent = make_agent("q_learning", seed=0)
    agent.learn(TINY, 3_000)
    agents = {"table": agent, "uniform": make_agent("uniform")}
    study = overoptimise(TINY, models=["unigram"], pairs=[50], noises=[0.0], agents=agents)
    table, uniform = study.agents
    value = solve(TINY).policy_value(agent)  # type: ignore[union-attr]
    gold = solve(TINY, kind="gold").policy_value(agent).mean_return  # type: ignore[union-attr]
    assert (table.kl, table.reward, table.gold) == pytest.approx((value.kl, value.mean_return, gold), abs=1e-9)
    assert uniform.kl == pytest.approx(0.0, abs=1e-12)


class Sharper:
    """A policy that likes great ids, the end's above all: lanes whose text is over must not be counted."""

    def log_probs(self, observations: NDArray[np.int32], action_masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        scores = np.where(action_masks, 0.4 * np.arange(action_masks.shape[1]), -np.inf)
        return np.asarray(scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)))


class Careless:
    """A policy that does not look at masks."""

    def log_probs(self, observations: NDArray[np.int32], action_masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.full(action_masks.shape, -np.log(action_masks.shape[1]))


def test_illegal_texts_cost_what_they_cost() -> None:
    study = overoptimise(TINY, models=["unigram"], pairs=[50], noises=[0.0], agents={"careless": Careless()})
    values = [solve(TINY, kind=kind).policy_value(Careless()) for kind in ("reward", "gold")]  # type: ignore[union-attr]
    assert values[0].illegal > 0.1
    assert study.agents[0].reward == pytest.approx(values[0].mean_return, abs=1e-9)
    assert study.agents[0].gold == pytest.approx(values[1].mean_return, abs=1e-9)


@pytest.mark.parametrize("observation", ["tokens", "dict", "one_hot"])
def test_an_agent_is_estimated_where_texts_are_sampled(observation: str) -> None:
    factory = EnvFactory("TextGen-v0", {"level": "tiny", "observation": observation})
    options = {"models": ["unigram"], "pairs": [50], "noises": [0.0], "agents": {"sharper": Sharper()}}
    (exact,), (estimate,) = (overoptimise(factory, exact=exact, **options).agents for exact in (True, False))  # type: ignore[arg-type]
    assert exact.kl > 0.1
    assert 0.0 < estimate.kl_error < 0.1
    for name in ("kl", "gold", "reward"):
        assert abs(getattr(estimate, name) - getattr(exact, name)) < 4 * getattr(estimate, f"{name}_error")


@pytest.mark.slow
@pytest.mark.parametrize("reference", ["uniform", "demonstrations"])
def test_sampled_in_the_environment_the_divergence_is_within_three_errors(reference: str) -> None:
    exact = populate(TINY, reference)
    truth = scored(exact)
    scale = exact.spread(exact.score(exact.config.task.reward))
    points = tilt_curve(truth, [1.0, 2.0])[1:] + best_of_n_curve(truth, [16])[1:]
    misses = np.zeros(3, dtype=int)
    for seed in range(100):
        sample = populate(TINY, reference, samples=2_000, seed=seed, exact=False)
        made = scored(sample)
        ratio = sample.spread(sample.score(sample.config.task.reward)) / scale  # strengths in the same unit
        found = tilt_curve(made, [ratio, 2.0 * ratio])[1:] + best_of_n_curve(made, [16])[1:]
        misses += [abs(one.kl - other.kl) > 3 * one.kl_error for one, other in zip(found, points, strict=True)]
    assert misses.max() <= 3


# ---- proxies --------------------------------------------------------------------------------------------------------


def pairs_of(population: Population, count: int, seed: int = 0) -> list[Comparison]:
    assert population.config.task.gold is not None
    return simulate(population, population.config.task.gold, count, temperature=0.5, seed=seed)


def test_comparisons_are_of_two_texts_of_one_prompt_and_repeat(tiny: Population) -> None:
    said = pairs_of(tiny, 300)
    assert len(said) == 300
    assert all(item.left_ids != item.right_ids and item.is_decided for item in said)
    assert said == pairs_of(tiny, 300)
    assert said != pairs_of(tiny, 300, seed=1)


def test_noise_turns_its_share_and_more_noise_the_same_and_others(tiny: Population) -> None:
    said = pairs_of(tiny, 2_000)
    turned = [
        {k for k, (one, other) in enumerate(zip(said, flip(said, noise, seed=3), strict=True)) if one != other}
        for noise in (0.0, 0.1, 0.25)
    ]
    assert not turned[0]
    assert turned[1] < turned[2]
    assert len(turned[2]) / 2_000 == pytest.approx(0.25, abs=0.04)


def test_a_unigram_model_does_not_see_order_and_a_rich_one_sees_repetition(tiny: Population) -> None:
    task, said = tiny.config.task, pairs_of(tiny, 500)
    ids = [task.encode_completion(text) for text in ("was very great", "great very was", "very great was")]
    batch = EpisodeBatch.from_ids(task.prompts, task.tokenizer, [0, 0, 0], ids)
    scores = {name: Fitter(said, task).fit(name)(batch) for name in ("unigram", "ngram", "rich")}
    assert np.ptp(scores["unigram"]) == pytest.approx(0.0, abs=1e-12)
    assert np.ptp(scores["ngram"]) > 0.1
    repeated = Fitter(said, task).fit("rich").shape_weights  # type: ignore[attr-defined]
    assert repeated[2:].sum() < 0.0  # gold takes points away for words written again


def test_with_data_enough_a_model_that_can_learns_the_order_of_texts(tiny: Population) -> None:
    task = tiny.config.task
    assert task.gold is not None
    gold, base = tiny.score(task.gold)[0], tiny.base[0]

    def correlation(name: str) -> float:
        proxy = Fitter(pairs_of(tiny, 5_000), task).fit(name)
        values = tiny.score(proxy)[0]
        one, other = values - base @ values, gold - base @ gold
        return float(base @ (one * other) / np.sqrt((base @ one**2) * (base @ other**2)))

    found = {name: correlation(name) for name in ("unigram", "ngram", "rich")}
    assert found["unigram"] < found["ngram"] < found["rich"]
    assert found["rich"] > 0.95


def test_a_misspecified_model_loses_half_a_point_of_gold_and_a_rich_one_does_not() -> None:
    """Ten seeds on the smallest level, all exact; the default level is a slow test."""
    study = overoptimise(TINY, models=["unigram", "rich"], pairs=[1_500], noises=[0.0], seeds=10)
    drops = {name: [c.drop for c in study.of("tilted") if c.cell.model == name] for name in ("unigram", "rich")}
    assert sum(drop >= 0.5 for drop in drops["unigram"]) >= 8
    assert np.mean(drops["rich"]) < 0.1
    for curve in study.of("tilted"):
        assert curve.end.proxy == max(point.proxy for point in curve.points)  # the proxy never says so


@pytest.mark.slow
def test_a_misspecified_model_gives_way_on_the_default_task() -> None:
    study = overoptimise("TextGen-v0", models=["unigram"], pairs=[1_000], noises=[0.0], seeds=10)
    assert sum(curve.drop >= 0.5 for curve in study.of("tilted")) >= 8
    assert sum(curve.drop >= 0.5 for curve in study.of("best-of-n")) >= 8


def test_models_of_other_modules_and_rewards_by_name_can_be_tried() -> None:
    models = [
        "ensemble_mean",
        "ensemble_worst",
        "ensemble_penalised",
        "reward",
        {"name": "word_scores", "weights": {"great": 1.0}},
    ]
    study = overoptimise(TINY, models=models, pairs=[60], noises=[0.0])
    assert len(study.of("tilted")) == 5
    ends = {curve.cell.model: curve.end for curve in study.of("tilted")}
    assert ends["ensemble_mean"] != ends["ensemble_worst"]
    assert [line.cell.pairs for line in summarise(study) if line.cell.model == "reward"] == [None, None]


# ---- formulas -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["quadratic", "logarithmic"])
def test_a_formula_is_recovered_and_the_other_is_not(form: str) -> None:
    distances = np.linspace(0.0, 4.0, 30)
    with np.errstate(divide="ignore", invalid="ignore"):
        shapes = {
            "quadratic": distances * (1.5 - 0.4 * distances),
            "logarithmic": distances * (1.5 - 0.9 * np.log(distances)),
        }
    gains = np.nan_to_num(shapes[form])
    points = [Point(strength=d, kl=d * d, proxy=0.0, gold=-2.0 + g) for d, g in zip(distances, gains, strict=True)]
    own = fit_form(points, form)
    other = fit_form(points, "quadratic" if form == "logarithmic" else "logarithmic")
    assert own is not None
    assert other is not None
    assert (own.alpha, own.beta) == pytest.approx((1.5, 0.4 if form == "quadratic" else 0.9), abs=1e-9)
    assert own.r_squared == pytest.approx(1.0)
    assert own.r_squared > other.r_squared
    assert np.abs(other.residuals).max() > 0.05
    assert own(distances[1:]) == pytest.approx(gains[1:], abs=1e-9)


def test_too_few_points_have_no_fit_and_a_curve_needs_its_beginning() -> None:
    points = [Point(strength=d, kl=d * d, proxy=0.0, gold=d) for d in (0.0, 1.0, 2.0)]
    assert fit_form(points, "quadratic") is None
    with pytest.raises(ConfigurationError, match="without its beginning"):
        fit_form(points[1:], "quadratic")
    with pytest.raises(UnknownNameError, match="quadratic"):
        fit_form(points, "cubic")


# ---- what users get wrong -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"pairs": [1]}, ConfigurationError, "at least 2 comparisons"),
        ({"pairs": [2.5]}, ConfigurationError, "whole number"),
        ({"pairs": []}, ConfigurationError, "at least one"),
        ({"pairs": [50, 50]}, ConfigurationError, "none twice"),
        ({"noises": [0.6]}, ConfigurationError, "from 0 to 0.5"),
        ({"seeds": 0}, ConfigurationError, "at least one"),
        ({"models": ["ngramm"]}, UnknownNameError, "Did you mean 'ngram'"),
        ({"models": ["no/such/folder.safetensors"]}, ConfigurationError, "does not exist"),
        ({"reference": "unifrom"}, ConfigurationError, "'uniform' or 'demonstrations'"),
        ({"temperature": 0.0}, ConfigurationError, "above 0"),
        ({"true_score": "silver"}, ConfigurationError, "'gold' or 'reward'"),
        ({"samples": 5, "exact": False}, ConfigurationError, "at least 100"),
        ({"env": "TextGen/Copy-v0", "level": None}, TaskError, "has no gold.*--truth reward"),
        ({"prompts": ["praise the movie"]}, TaskError, "once prompts is overridden"),
        ({"env": "CartPole-v1", "level": None}, ConfigurationError, "not a textgym environment"),
    ],
)
def test_mistakes_are_said_with_what_to_do(options: dict[str, object], error: type[Exception], message: str) -> None:
    given = {"env": "TextGen-v0", "level": "tiny", **options}
    arguments = {name: value for name, value in given.items() if value is not None}
    with pytest.raises(error, match=message):
        overoptimise(**arguments)  # type: ignore[arg-type]


def test_a_true_score_that_never_varies_and_a_reference_of_one_text_are_refused() -> None:
    with pytest.raises(TaskError, match="same for all texts"):
        overoptimise("TextGen-v0", level="tiny", reward=lambda completion: 1.0, true_score="reward")
    one = populate(EnvFactory("TextGen-v0", {"level": "tiny"}))
    alone = replace(one, base=(np.eye(len(one.base[0]))[5],))
    with pytest.raises(ConfigurationError, match="hardly more than one text"):
        pairs_of(alone, 10)


def test_a_reward_that_fails_is_named() -> None:
    def broken(completion: str) -> float:
        raise ValueError("no")

    with pytest.raises(RewardError, match="the reward model .*broken"):
        overoptimise(TINY, models=[broken], pairs=[10], noises=[0.0])


def test_an_agent_without_probabilities_cannot_be_placed_by_samples() -> None:
    agent = make_agent("q_learning")
    with pytest.raises(ConfigurationError, match="has no log_probs"):
        overoptimise(TINY, models=["unigram"], pairs=[10], noises=[0.0], exact=False, agents={"q": agent})


def test_tokens_are_read_from_any_observation_that_has_them() -> None:
    tokens = np.array([[3, 0, 2]], dtype=np.int32)
    one_hot = np.eye(4, dtype=np.float32)[tokens].reshape(1, -1)
    for observation in (tokens, {"tokens": tokens}, one_hot):
        assert read_tokens(observation, 3).tolist() == [[3, 0, 2]]
    with pytest.raises(ConfigurationError, match="observation='text'"):
        read_tokens(np.array(["was great"]), 3)
