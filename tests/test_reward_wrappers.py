"""ReferenceLogProb, PotentialShaping, TokenCost: what they add, what the optimum makes of it, and their twins."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from playing import any_action, any_actions, assert_same, play_episode
from toys import EOS, LETTERS, PLAIN, TOYS, WORDS, A, B, Noisy, Weighted, toy
from wrapped import MODEL, MODES, TASKS, Table, assert_twins

from textgym.env import TextGenerationEnv
from textgym.episodes import EpisodeBatch
from textgym.errors import ConfigurationError, RewardError
from textgym.exact import solve
from textgym.language_models import NGramLanguageModel, renormalize
from textgym.shaping import Potential
from textgym.vector_env import TextGenerationVectorEnv
from textgym.wrappers import CandidateActions, LastTokens, PotentialShaping, ReferenceLogProb, TokenCost, vector

WRAPPERS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "reference": ("ReferenceLogProb", (MODEL, 0.3)),
    "potential": ("PotentialShaping", (Weighted(), 0.9)),
    "cost": ("TokenCost", (0.1,)),
}
every_wrapper = pytest.mark.parametrize("name", WRAPPERS)
every_mode = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)


def wrap(env: Any, name: str) -> Any:
    kind, arguments = WRAPPERS[name]
    return (getattr(vector, kind) if hasattr(env, "num_envs") else globals()[kind])(env, *arguments)


def rewards_of(env: Any, *, seed: int, illegal: float = 0.0) -> list[float]:
    record = play_episode(env, np.random.default_rng(seed), seed=seed, illegal=illegal)
    return [step[1] for step in record[1:]]


# ---- what every wrapper must do -----------------------------------------------------------------------------------


@every_wrapper
@pytest.mark.parametrize("task", TASKS)
@every_mode
def test_the_vector_twin_pays_the_same(mode: AutoresetMode, task: str, name: str) -> None:
    def build(env: Any) -> Any:
        return wrap(env, name)

    assert assert_twins(build, build, mode, task=task, choose=any_actions, steps=30) > 5


@every_wrapper
@every_mode
def test_rewards_paid_by_the_step_and_other_observations(mode: AutoresetMode, name: str) -> None:
    def build(env: Any) -> Any:
        return wrap(env, name)

    assert (
        assert_twins(build, build, mode, task="combined", choose=any_actions, reward_timing="step", observation="dict")
        > 20
    )


@every_wrapper
@every_mode
def test_the_order_of_the_wrappers_does_not_matter(mode: AutoresetMode, name: str) -> None:
    """A reward wrapper sees the token that was written, whichever number the action had."""

    def outside(env: Any) -> Any:
        actions = vector.CandidateActions if hasattr(env, "num_envs") else CandidateActions
        return wrap(actions(env, MODEL, 4), name)

    def inside(env: Any) -> Any:
        actions = vector.CandidateActions if hasattr(env, "num_envs") else CandidateActions
        return actions(wrap(env, name), MODEL, 4)

    def choose(envs: Any, rng: np.random.Generator) -> Any:
        return rng.integers(0, 4, envs.num_envs)

    assert assert_twins(outside, inside, mode, task="ruled", choose=choose, steps=30) > 10
    assert assert_twins(inside, outside, mode, task="plain", choose=choose, steps=30) > 10


@every_wrapper
def test_gymnasium_accepts_it(name: str) -> None:
    env = wrap(gym.make("TextGen-v0", task=PLAIN), name)
    with pytest.warns(UserWarning, match="different from the unwrapped version"):
        check_env(env)
    assert isinstance(env.step(0)[1] if env.reset(seed=0) else None, float)


@every_wrapper
def test_foreign_environments_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="wrap a textgym environment"):
        wrap(gym.make("CartPole-v1"), name)
    with pytest.raises(ConfigurationError, match="wrap a textgym environment"):
        wrap(gym.make_vec("CartPole-v1", num_envs=2), name)


def test_wrappers_with_plain_arguments_can_be_made_again(tmp_path: Any) -> None:
    env = gym.make("TextGen-v0", level="tiny")
    path = str(tmp_path / "model.safetensors")
    NGramLanguageModel.fit([[0, 1]], vocab_size=env.unwrapped.task.tokenizer.vocab_size).save(path)
    wrapped = PotentialShaping(TokenCost(ReferenceLogProb(env, path, 0.1), 0.2), "reviews", 0.9)
    twin = gym.make(EnvSpec.from_json(wrapped.spec.to_json()))
    assert rewards_of(twin, seed=2) == rewards_of(wrapped, seed=2)


# ---- TokenCost ----------------------------------------------------------------------------------------------------


def test_a_token_costs_the_same_everywhere() -> None:
    for seed in range(6):
        plain = rewards_of(TextGenerationEnv(PLAIN), seed=seed, illegal=0.3)
        costly = rewards_of(TokenCost(TextGenerationEnv(PLAIN), 0.25), seed=seed, illegal=0.3)
        assert costly == [reward - 0.25 for reward in plain]


def test_steps_that_only_reset_cost_nothing() -> None:
    envs = vector.TokenCost(TextGenerationVectorEnv(PLAIN, num_envs=2), 0.5)
    envs.reset(seed=0)
    envs.step(np.array([EOS, A]))
    assert envs.step(np.array([EOS, A]))[1].tolist() == [0.0, -0.5]


def test_a_token_cost_shortens_the_optimum() -> None:
    task = toy(budget=3)
    free = solve(task)
    dear = solve(TokenCost(TextGenerationEnv(task), 5.0))
    assert max(map(len, free.optimal_texts["praise"])) > len("a")
    assert dear.optimal_texts["praise"] == ("",)


# ---- ReferenceLogProb ---------------------------------------------------------------------------------------------


def test_each_token_is_paid_its_log_probability_among_the_legal_ones() -> None:
    env = TextGenerationEnv(PLAIN)
    wrapped = ReferenceLogProb(TextGenerationEnv(PLAIN), MODEL, 0.5)
    plain = play_episode(env, np.random.default_rng(1), seed=1)
    paid = play_episode(wrapped, np.random.default_rng(1), seed=1)
    for before, step, other in zip(plain, plain[1:], paid[1:], strict=False):
        observation = before[0]
        column = int((observation[PLAIN.prompts.width :] < WORDS.vocab_size).sum()) + PLAIN.prompts.width
        log_probs = renormalize(MODEL.log_probs(observation[None]), env.action_masks()[None])[0]
        assert other[1] == pytest.approx(step[1] + 0.5 * log_probs[step[0][column]])
        assert other[1] < step[1]
    assert len(paid) > 2


def test_references_without_masks_are_held_to_the_legal_tokens() -> None:
    env = ReferenceLogProb(TextGenerationEnv(PLAIN), Table(*[1 / 12] * 12), 1.0)
    env.reset(seed=0)
    assert env.step(A)[1] == pytest.approx(-math.log(len(LETTERS) + 1))


def test_illegal_tokens_are_paid_as_ever() -> None:
    env = ReferenceLogProb(TextGenerationEnv(PLAIN), MODEL, 0.5)
    env.reset(seed=0)
    _, reward, terminated, _, info = env.step(WORDS.encode("praise")[0])
    assert (terminated, info["stop_reason"], reward) == (True, "illegal", -7.0)


def test_with_an_entropy_bonus_it_is_the_divergence_from_the_reference() -> None:
    """The soft optimum under both is that of ``solve(temperature=, reference=)``.

    Solve's own entropy term is minus the divergence from uniform play, which is the entropy minus log 6 a token: the
    token cost gives that back.
    """
    beta, legal = 0.7, len(LETTERS) + 1
    task = toy(prompts=["praise", "pan"], budget=3)
    direct = solve(task, temperature=beta, reference=MODEL)
    env = TokenCost(ReferenceLogProb(TextGenerationEnv(task), MODEL, beta), -beta * math.log(legal))
    wrapped = solve(env, temperature=beta)
    assert direct.soft is not None
    assert wrapped.soft is not None
    for one, other in zip(direct.soft.values, wrapped.soft.values, strict=True):
        assert other == pytest.approx(one)


@pytest.mark.parametrize("lanes", [0, 2])
def test_references_must_leave_every_legal_token_some_probability(lanes: int) -> None:
    model = Table(*([0.0, 0.4] + [0.06] * 10))
    env: Any = (
        vector.ReferenceLogProb(TextGenerationVectorEnv(PLAIN, num_envs=lanes), model, 0.1)
        if lanes
        else ReferenceLogProb(TextGenerationEnv(PLAIN), model, 0.1)
    )
    env.reset(seed=0)
    env.step(np.full(lanes, B) if lanes else B)
    with pytest.raises(RewardError, match="gives the legal id 0 no probability"):
        env.step(np.full(lanes, A) if lanes else A)


def test_references_and_beta_are_checked() -> None:
    other = NGramLanguageModel.fit([[0]], vocab_size=3)
    vectors = TextGenerationVectorEnv(PLAIN, num_envs=2)
    for env, kind in ((TextGenerationEnv(PLAIN), ReferenceLogProb), (vectors, vector.ReferenceLogProb)):
        with pytest.raises(ConfigurationError, match="the reference has 3 ids, the environment 12"):
            kind(env, other, 0.1)
        with pytest.raises(ConfigurationError, match="expected a language model"):
            kind(env, None, 0.1)
        for bad in (math.nan, math.inf, "1", None, True):
            with pytest.raises(ConfigurationError, match="beta=.*expected a finite number"):
                kind(env, MODEL, bad)
    for env, kind in ((TextGenerationEnv(PLAIN), TokenCost), (vectors, vector.TokenCost)):
        with pytest.raises(ConfigurationError, match="cost=nan: expected a finite number"):
            kind(env, math.nan)


# ---- PotentialShaping ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Odd:
    """A potential with nothing to it: whole numbers that hang on prompt and text, the empty one too."""

    def __call__(self, batch: EpisodeBatch) -> Any:
        ids = np.where(batch.completion_ids < batch.tokenizer.vocab_size, batch.completion_ids + 1, 0)
        return (ids * np.arange(2, 2 + ids.shape[1])).sum(axis=1) % 7 + 3.0 * batch.prompt_indices - 2.0


@pytest.mark.parametrize("discount", [1.0, 0.6])
def test_shaping_leaves_the_optimal_policy_as_it_is(discount: float) -> None:
    task = toy(prompts=["praise", "pan"], budget=3)
    plain = solve(task, discount=discount)
    shaped = solve(PotentialShaping(TextGenerationEnv(task), Odd(), discount), discount=discount)
    assert shaped.optimal_texts == plain.optimal_texts
    start = {text: 3.0 * row - 2.0 for row, text in enumerate(["praise", "pan"])}
    for text, best in plain.optimal_returns.items():
        assert shaped.optimal_returns[text] == pytest.approx(best - start[text])
    assert shaped.value("a b", "pan") != pytest.approx(plain.value("a b", "pan"))
    for depth, level in enumerate(plain.tree.levels):  # every Q-value moves by the potential of its text
        columns = plain.tree.columns
        moved = plain.q_values[depth] - shaped.q_values[depth][:, :, columns]
        legal = np.broadcast_to(level.legal, moved.shape)
        spread = np.where(legal, moved, -np.inf).max(axis=2) - np.where(legal, moved, np.inf).min(axis=2)
        assert np.abs(spread).max() < 1e-9


def test_a_wrong_discount_does_change_it() -> None:
    task = toy(prompts=["praise", "pan"], budget=3)
    plain = solve(task, discount=0.5)
    shaped = solve(
        PotentialShaping(TextGenerationEnv(task), lambda completion: 9.0 * len(completion), 1.0), discount=0.5
    )
    assert shaped.optimal_texts != plain.optimal_texts


def test_discounted_sums_differ_by_the_potential_of_the_empty_text() -> None:
    discount = 0.8
    for seed in range(6):
        plain = rewards_of(TextGenerationEnv(PLAIN), seed=seed, illegal=0.1)
        env = PotentialShaping(TextGenerationEnv(PLAIN), Odd(), discount)
        paid = rewards_of(env, seed=seed, illegal=0.1)
        start = 3.0 * env.unwrapped.prompt_index - 2.0
        sums = [sum(discount**time * reward for time, reward in enumerate(rewards)) for rewards in (plain, paid)]
        assert sums[1] == pytest.approx(sums[0] - start)


def test_texts_cut_off_from_outside_keep_their_potential() -> None:
    env = PotentialShaping(gym.wrappers.TimeLimit(TextGenerationEnv(PLAIN), 1), lambda completion: 2.0, 0.5)
    env.reset(seed=0)
    _, reward, terminated, truncated, _ = env.step(A)
    assert (reward, terminated, truncated) == (0.5 * 2.0 - 2.0, False, True)


def test_the_potential_is_asked_once_of_each_text() -> None:
    asked: list[str] = []

    def note(completion: str) -> float:
        asked.append(completion)
        return 1.0

    env = PotentialShaping(TextGenerationEnv(PLAIN), note, 1.0)
    env.reset(seed=0)
    for token in (A, B, EOS):
        env.step(token)
    assert asked == ["", "a", "a b"]
    asked.clear()
    envs = vector.PotentialShaping(TextGenerationVectorEnv(PLAIN, num_envs=2, autoreset_mode="SameStep"), note, 1.0)
    envs.reset(seed=0)
    for tokens in ([A, B], [A, EOS], [B, B]):
        envs.step(np.array(tokens))
    assert sorted(asked) == ["", "", "", "a", "a a", "a a b", "b", "b"]


def test_prompts_that_look_alike_have_potentials_of_their_own() -> None:
    potential = Potential(Odd(), None)
    task = toy(prompts=["pan", "pan"])
    for row in (0, 1, 0):
        batch = EpisodeBatch.from_ids(task.prompts, task.tokenizer, [row], [[]])
        assert potential(batch, np.array([True])).tolist() == [3.0 * row - 2.0]


def test_states_of_the_base_environment_are_followed() -> None:
    env = PotentialShaping(TextGenerationEnv(PLAIN), Odd(), 0.9)
    env.reset(seed=0)
    state = env.unwrapped.get_state()
    first = [env.step(token) for token in (A, B, EOS)]
    env.unwrapped.set_state(state)
    assert_same([env.step(token) for token in (A, B, EOS)], first)


@pytest.mark.parametrize(
    ("potential", "message"),
    [
        (lambda batch: np.full(len(batch), np.nan), "returned nan for the prompt .*expected a finite number"),
        (lambda completion: math.inf, "returned inf for the prompt .* and the text so far ''"),
        (lambda batch: np.zeros(len(batch) + 1), r"returned shape"),
    ],
)
def test_a_potential_must_be_a_finite_number(potential: Any, message: str) -> None:
    env = PotentialShaping(TextGenerationEnv(PLAIN), potential, 1.0)
    envs = vector.PotentialShaping(TextGenerationVectorEnv(PLAIN, num_envs=2), potential, 1.0)
    env.reset(seed=0)
    envs.reset(seed=0)
    with pytest.raises(RewardError, match=message):
        env.step(A)
    with pytest.raises(RewardError, match=message):
        envs.step(np.array([A, A]))


def test_what_is_no_potential_is_refused() -> None:
    for kind, env in (
        (PotentialShaping, TextGenerationEnv(PLAIN)),
        (vector.PotentialShaping, TextGenerationVectorEnv(PLAIN, num_envs=2)),
    ):
        with pytest.raises(ConfigurationError, match="is stochastic"):
            kind(env, Noisy(), 1.0)
        with pytest.raises(ConfigurationError, match="expected a function"):
            kind(env, 3.0, 1.0)
        for bad in (1.5, -0.1, math.nan, "1", True):
            with pytest.raises(ConfigurationError, match="discount=.*from 0 to 1"):
                kind(env, Odd(), bad)


@every_wrapper
def test_stacks_with_gymnasiums_own_wrappers(name: str) -> None:
    env = gym.wrappers.RecordEpisodeStatistics(wrap(LastTokens(TextGenerationEnv(TOYS["ruled"]), 2), name))
    env.reset(seed=0)
    rng, total, over = np.random.default_rng(0), 0.0, False
    while not over:
        _, reward, over, _, info = env.step(any_action(env, rng))
        total += reward
    assert info["episode"]["r"] == pytest.approx(total)
