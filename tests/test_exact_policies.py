"""Exact values of policies and critics, and how tables are read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from brute import Scrambled, problems, step_through
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from toys import PLAIN, constant, toy

import textgym
from textgym.agents.base import tokens_of
from textgym.agents.registry import make_agent
from textgym.constraints import NoRepeat
from textgym.env import TextGenerationEnv
from textgym.errors import ActionError, SolveError
from textgym.exact import TreePolicy, solve, value_error
from textgym.playing import random_act
from textgym.task import Task

TINY = textgym.EnvFactory("TextGen-v0", {"level": "tiny"})
SCRAMBLED = replace(toy(prompts=["praise", "pan"], budget=3), make_reward=constant(Scrambled(7)))


class Wobbly:
    """A stochastic policy with a number of its own for each observation; a share of it may be illegal."""

    def __init__(self, illegal: float = 0.0) -> None:
        self.illegal = illegal

    def log_probs(self, observations: Any, masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        tokens = tokens_of(observations).astype(float)
        state = tokens @ np.arange(1.0, tokens.shape[1] + 1)
        weights = 1.5 + np.sin(state[:, None] + np.arange(masks.shape[1]) ** 2)
        legal = np.where(masks, weights, 0.0)
        barred = np.where(masks, 0.0, weights)
        mixed = (1 - self.illegal) * legal / legal.sum(axis=1, keepdims=True)
        mixed += self.illegal * barred / barred.sum(axis=1, keepdims=True) if self.illegal else 0.0
        with np.errstate(divide="ignore"):
            return np.log(mixed)


def probabilities(env: TextGenerationEnv, prompt: int, agent: Wobbly) -> Any:
    """What the agent does at a prefix, asked one observation at a time."""

    def ask(prefix: tuple[int, ...], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
        tokens = np.full((1, env.task.prompts.width + env.task.budget), env.task.tokenizer.vocab_size)
        tokens[0, : env.task.prompts.width] = env.task.prompts.ids[prompt]
        tokens[0, env.task.prompts.width : env.task.prompts.width + len(prefix)] = prefix
        return np.exp(agent.log_probs(tokens, mask[None]))[0]

    return ask


@settings(max_examples=30, deadline=None)
@given(problems(), st.sampled_from([1.0, 0.8]), st.sampled_from(["end", "step"]))
def test_policy_values_equal_brute_force(task: Task, discount: float, timing: str) -> None:
    solution, env = solve(task, discount=discount, reward_timing=timing), TextGenerationEnv(task, reward_timing=timing)
    value = solution.policy_value(Wobbly())
    for prompt, text in enumerate(task.prompts.texts):
        policy = probabilities(env, prompt, Wobbly())
        for prefix, (expected, values) in step_through(env, prompt, discount=discount, policy=policy).items():
            assert value.value(prefix, text) == pytest.approx(expected, abs=1e-9)
            assert value.q(prefix, text)[list(values)] == pytest.approx(list(values.values()), abs=1e-9)
    for p, advantage, best in zip(value.policy.probabilities, value.advantages, solution.advantages, strict=True):
        assert np.abs((p * advantage).sum(axis=2)).max() < 1e-9
        assert best[p > 0].max() <= 1e-12
    assert value.regret >= -1e-12
    assert value.mean_return == pytest.approx(np.mean(list(value.returns.values())))


def test_visits_are_probabilities() -> None:
    value = solve(SCRAMBLED).policy_value(Wobbly())
    assert np.all(value.visits[0] == 1.0)
    for depth in (0, 1):
        level = value.tree.levels[depth]
        going = np.where(level.child >= 0, value.policy.probabilities[depth], 0.0).sum(axis=2)
        assert (value.visits[depth] * going).sum(axis=1) == pytest.approx(value.visits[depth + 1].sum(axis=1))


def test_the_divergence_is_that_of_whole_texts() -> None:
    solution = solve(SCRAMBLED)
    value = solution.policy_value(Wobbly())
    tree, total = solution.tree, 0.0
    for group in range(2):
        for level in tree.levels:
            for row, column in zip(*np.nonzero(level.legal & (level.child < 0)), strict=True):
                ids = [*level.tokens[row].tolist(), int(tree.columns[column])]
                chances = [text_chance(policy, tree, group, ids) for policy in (value.policy, solution.reference)]
                total += chances[0] * np.log(chances[0] / chances[1]) / 2
    assert value.kl == pytest.approx(total, abs=1e-9)
    assert value.kl > 0.01
    assert solution.policy_value(make_agent("uniform")).kl == pytest.approx(0.0, abs=1e-12)


def text_chance(policy: Any, tree: Any, group: int, ids: list[int]) -> float:
    levels, chance, row = getattr(policy, "probabilities", policy), 1.0, 0
    for depth, index in enumerate(ids):
        column = tree.column_of[index]
        chance *= float(levels[depth][group, row, column])
        row = int(tree.levels[depth].child[row, column])
    return chance


def test_the_optimal_policy_has_no_regret() -> None:
    solution = solve("TextGen-v0", level="easy")
    value = solution.policy_value(list(solution.q_values))
    assert value.regret == pytest.approx(0.0, abs=1e-12)
    assert value.returns == pytest.approx(solution.optimal_returns)


def test_uniform_play_earns_the_random_return() -> None:
    for env in (TINY, textgym.EnvFactory("TextGen-v0")):
        solution = solve(env)
        assert solution.policy_value(make_agent("uniform")).mean_return == pytest.approx(
            solution.returns.random, abs=1e-9
        )


def test_illegal_probability_is_paid() -> None:
    solution = solve(SCRAMBLED)
    legal, mixed = (solution.policy_value(Wobbly(share)) for share in (0.0, 0.25))
    assert legal.illegal == 0.0
    alive = sum(float(level.sum()) for level in mixed.visits) / 2
    assert mixed.illegal == pytest.approx(0.25 * alive)
    assert mixed.kl == pytest.approx(legal.kl)
    measured = simulate(SCRAMBLED, Wobbly(0.25), texts=4000)
    assert mixed.mean_return == pytest.approx(measured.mean(), abs=4 * measured.std() / np.sqrt(len(measured)))


def simulate(task: Task, agent: Wobbly, *, texts: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(0)

    def act(observations: Any, masks: NDArray[np.bool_], **_: Any) -> NDArray[np.int64]:
        chances = np.exp(agent.log_probs(observations, masks)).cumsum(axis=1)
        return (rng.random((len(masks), 1)) < chances / chances[:, -1:]).argmax(axis=1)

    return textgym.evaluate(act, textgym.EnvFactory("TextGen-v0", {"task": task}), episodes=texts).returns


# ---- tables -------------------------------------------------------------------------------------------------------


def test_q_learning_tells_the_truth_on_the_tiny_level() -> None:
    solution = solve(TINY)
    for seed in range(10):
        agent = make_agent("q_learning", seed=seed)
        agent.learn(TINY, 200_000)
        assert solution.policy_value(agent).regret < 1e-6
        error = solution.table_error(agent)
        assert error.largest < 0.05
        assert error.known > 1500


def test_tables_in_every_form_mean_the_same() -> None:
    agent, solution = make_agent("q_learning", seed=0), solve(TINY)
    agent.learn(TINY, 5_000)
    width = solution.task.prompts.width
    mapping = {}
    for key, row in agent.rows.items():
        ids = [index for index in np.frombuffer(key, np.int32)[width:].tolist() if index < agent.q.shape[1]]
        if not ids or (len(ids) < solution.task.budget and ids[-1] not in solution.task.tokenizer.eos_ids):
            mapping[tuple(ids)] = np.where(agent.visits[row] > 0, agent.q[row], np.nan)
    values = [solution.policy_value(table).mean_return for table in (agent, mapping)]
    assert values[0] == values[1]
    assert solution.table_error(agent).mean == pytest.approx(solution.table_error(mapping).mean)
    by_text = {"was": np.arange(solution.tree.vocab_size) * 1.0}
    assert solution.table_error(by_text).known == 7


def test_what_a_table_does_not_know_is_played_at_random() -> None:
    solution = solve(TINY)
    unknown = [np.full(level.shape, np.nan) for level in solution.q_values]
    assert solution.policy_value(unknown).mean_return == pytest.approx(solution.returns.random)
    with pytest.raises(SolveError, match="knows none"):
        solution.table_error(unknown)


def test_unknown_prefixes_are_played_among_the_legal_ids() -> None:
    solution = solve(replace(PLAIN, make_constraints=constant((NoRepeat(),))), prompt="praise")
    unknown = [np.full(level.shape, np.nan) for level in solution.q_values]
    assert solution.policy_value(unknown).mean_return == pytest.approx(solution.returns.random)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([np.zeros((1, 2, 3))], "a Q-table of the shapes"),
        ({(): np.zeros(3)}, r"shape \(3,\) at prefix"),
        ({(0, 99): np.zeros(10)}, "expected|may not be written"),
    ],
)
def test_tables_of_the_wrong_shape_are_refused(table: Any, message: str) -> None:
    solution = solve(TINY)
    for use in (solution.policy_value, solution.table_error):
        with pytest.raises(SolveError, match=message):
            use(table)


def test_infinite_values_are_best() -> None:
    solution = solve(TINY)
    row = np.full(solution.tree.vocab_size, np.nan)
    row[3] = np.inf
    chosen = solution.policy_value({(): row}).policy.probabilities[0][0, 0]
    assert chosen[solution.tree.column_of[3]] == 1.0


def test_what_is_no_table_is_refused() -> None:
    solution = solve(TINY)
    with pytest.raises(SolveError, match="no Q-table"):
        solution.table_error(make_agent("uniform"))
    with pytest.raises(SolveError, match="has not learned anything yet"):
        solution.policy_value(make_agent("q_learning"))


def test_tables_of_another_environment_are_refused() -> None:
    agent = make_agent("q_learning", seed=0)
    agent.learn(TINY, 320)
    with pytest.raises(SolveError, match="learned in another environment"):
        solve("TextGen-v0").policy_value(agent)
    with pytest.raises(SolveError, match="for one prompt"):
        solve("TextGen-v0").policy_value({(): np.zeros(24)})


# ---- policies that are none ---------------------------------------------------------------------------------------


def choose(action: int) -> Any:
    return lambda observations, masks, **_: np.full(len(masks), action)


def test_illegal_ids_are_an_error_that_names_them() -> None:
    solution = solve(SCRAMBLED)
    with pytest.raises(ActionError, match=r"illegal id 7 after the ids \[\].*illegal='pay'"):
        solution.policy_value(choose(7))
    with pytest.raises(ActionError, match=r"illegal id 99"):
        solution.policy_value(choose(99), illegal="pay")
    assert solution.policy_value(choose(7), illegal="pay").mean_return == -2.0
    with pytest.raises(SolveError, match="'raise' or 'pay'"):
        solution.policy_value(choose(0), illegal="ignore")


def test_the_error_names_the_prefix_of_the_row() -> None:
    solution = solve(SCRAMBLED)

    def strays(observations: Any, masks: NDArray[np.bool_], **_: Any) -> NDArray[np.int64]:
        tokens = tokens_of(observations)[:, -3:]
        return np.where((tokens[:, 0] == 2) & (tokens[:, 1] == 3), 8, 0)

    with pytest.raises(ActionError, match=r"illegal id 8 after the ids \[2, 3\]"):
        solution.policy_value(strays)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("q_learning", "is no agent yet.*or a table of Q values"),
        (TextGenerationEnv, "is no agent yet"),
        (lambda observation: 0, r"<lambda> cannot be called as an agent .*expected def act\("),
        (3, "expected an agent"),
        (lambda observations, masks, **_: np.zeros(len(masks)), "act\\(\\) returned"),
        (lambda observations, masks, **_: np.zeros((len(masks), 2), dtype=int), "act\\(\\) returned"),
    ],
)
def test_what_is_no_policy_is_refused(policy: Any, message: str) -> None:
    with pytest.raises(SolveError, match=message):
        solve(SCRAMBLED).policy_value(policy)


def test_policies_that_draw_their_ids_are_refused_without_log_probs() -> None:
    with pytest.raises(SolveError, match="other ids when it was asked again"):
        solve(SCRAMBLED).policy_value(random_act(0))


def test_a_mapping_to_words_is_no_table() -> None:
    with pytest.raises(SolveError, match=r"has 'was' at prefix ''; expected a value an id"):
        solve("TextGen-v0", level="tiny").policy_value({"": "was"})


class Model:
    """What a stable-baselines3 model offers; always writes the first legal id of the toy."""

    def predict(self, observations: Any, *, deterministic: bool) -> tuple[NDArray[np.int64], None]:
        assert deterministic
        return np.zeros(len(observations), dtype=np.int64), None


def test_models_that_predict_are_policies() -> None:
    solution = solve(SCRAMBLED)
    first = solution.policy_value(lambda observations, masks, **_: np.zeros(len(observations), dtype=np.int64))
    assert solution.policy_value(Model()).mean_return == first.mean_return


class Unnormalised:
    def __init__(self, answer: Any) -> None:
        self.log_probs = answer


def test_rounding_of_log_probs_is_mended() -> None:
    solution = solve(SCRAMBLED)
    rounded = Unnormalised(lambda observations, masks: Wobbly().log_probs(observations, masks) + 5e-4)
    exact, close = (solution.policy_value(agent) for agent in (Wobbly(), rounded))
    assert close.mean_return == pytest.approx(exact.mean_return, abs=1e-12)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda o, m: np.zeros(m.shape), "add up to"),
        (lambda o, m: np.full(m.shape, np.nan), "add up to"),
        (lambda o, m: np.zeros(3), "shape"),
    ],
)
def test_log_probs_that_are_none_are_refused(answer: Any, message: str) -> None:
    with pytest.raises(SolveError, match=message):
        solve(SCRAMBLED).policy_value(Unnormalised(answer))


# ---- critics and networks -----------------------------------------------------------------------------------------


def test_critics_are_measured_against_the_truth() -> None:
    solution = solve(SCRAMBLED)
    truth = solution.policy_value(Wobbly())
    width = SCRAMBLED.prompts.width

    def exact(observations: Any) -> NDArray[np.float64]:
        size = SCRAMBLED.tokenizer.vocab_size
        rows = [([i for i in row[width:].tolist() if i < size], row[width - 1]) for row in observations]
        prompts = {int(SCRAMBLED.prompts.ids[row, -1]): row for row in (0, 1)}
        return np.array([truth.value(ids, prompts[int(last)]) for ids, last in rows])

    assert value_error(exact, SCRAMBLED, policy=Wobbly()) == pytest.approx(0.0, abs=1e-20)
    assert value_error(lambda o: exact(o) + 0.5, SCRAMBLED, policy=Wobbly()) == pytest.approx(0.25)
    for answer in (0.0, np.nan):
        with pytest.raises(SolveError, match="the critic returned shape"):
            value_error(lambda o, answer=answer: answer, SCRAMBLED, policy=Wobbly())
    with pytest.raises(SolveError, match="0 numbers of it finite"):
        value_error(lambda o: np.full(len(o), np.nan), SCRAMBLED, policy=Wobbly())
    with pytest.raises(SolveError, match="needs policy="):
        value_error(exact, SCRAMBLED)
    with pytest.raises(SolveError, match="no critic"):
        value_error(3, SCRAMBLED, policy=Wobbly())


def test_ppo_is_measured_exactly() -> None:
    pytest.importorskip("stable_baselines3")
    agent = make_agent("ppo", seed=0, lanes=64)
    agent.learn(TINY, 30_000)
    solution = solve(TINY)
    value = solution.policy_value(agent)
    sampled = textgym.evaluate(agent, TINY, episodes=2000, deterministic=False)
    assert value.mean_return == pytest.approx(sampled.mean_return, abs=4 * sampled.standard_error)
    greedy = solution.policy_value(agent.act, illegal="pay")
    assert greedy.mean_return == pytest.approx(textgym.evaluate(agent, TINY, episodes=1).mean_return, abs=1e-9)
    assert 0.0 < value.illegal < 1.0
    assert value_error(agent, TINY) < value_error(lambda o: np.full(len(o), 100.0), TINY, policy=agent)


@pytest.mark.parametrize("observation", ["tokens", "dict", "one_hot", "text"])
def test_policies_see_the_observation_of_the_environment(observation: str) -> None:
    seen: list[Any] = []

    def act(observations: Any, masks: NDArray[np.bool_], **_: Any) -> NDArray[np.int64]:
        seen.append(observations)
        return masks.argmax(axis=1)

    solution = solve(SCRAMBLED, observation=observation)
    assert solution.policy_value(act).mean_return == pytest.approx(np.mean([earned(0), earned(1)]))
    env = TextGenerationEnv(SCRAMBLED, observation=observation)
    first = seen[0][0] if not isinstance(seen[0], dict) else {name: part[0] for name, part in seen[0].items()}
    assert first in env.observation_space


def earned(prompt: int) -> float:
    env = TextGenerationEnv(SCRAMBLED)
    env.reset(options={"prompt_index": prompt})
    return [env.step(0)[1] for _ in range(3)][-1]


def test_a_policy_on_the_tree_can_be_handed_in() -> None:
    solution = solve(SCRAMBLED)
    assert solution.policy_value(TreePolicy(solution.reference)).mean_return == pytest.approx(solution.returns.random)
    mixed = solution.policy_value(Wobbly(0.25))
    again = solution.policy_value(mixed.policy)  # with its illegal ids
    assert (again.mean_return, again.illegal) == pytest.approx((mixed.mean_return, mixed.illegal))


@pytest.mark.parametrize("factor", [2.0, -1.0, np.nan])
def test_what_is_no_policy_on_the_tree_is_refused(factor: float) -> None:
    solution = solve(SCRAMBLED)
    with pytest.raises(SolveError, match="probabilities are negative, add up to more than 1"):
        solution.policy_value(TreePolicy(tuple(factor * p for p in solution.reference)))
    with pytest.raises(SolveError, match="a policy of the shapes"):
        solution.policy_value(TreePolicy(solve(TINY).reference))
