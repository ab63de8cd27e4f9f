"""CandidateActions: which tokens are offered, what is written, and that the vector twin does the same."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st
from playing import assert_same
from toys import EOS, PLAIN, TOYS, WORDS, A, B, C, D, E, toy
from wrapped import MODEL, MODES, TASKS, Table, assert_twins

from textgym.env import TextGenerationEnv
from textgym.errors import ActionError, ConfigurationError
from textgym.exact import solve
from textgym.language_models import NGramLanguageModel
from textgym.reference_models import likeliest
from textgym.vector_env import TextGenerationVectorEnv
from textgym.wrappers import CandidateActions, vector

PROBABILITIES = [0.3, 0.1, 0.25, 0.05, 0.0, 0.02, 0.0, 0.02, 0.0, 0.02, 0.2, 0.04]  # ids 5 to 9 are prompt words
RANKED = Table(*PROBABILITIES)
every_mode = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)


def any_candidates(envs: Any, rng: np.random.Generator) -> Any:
    """A legal candidate in each lane, now and then an illegal one."""
    masks = envs.action_masks()
    masks[rng.random(len(masks)) < 0.1] = True
    return np.array([rng.choice(np.flatnonzero(mask)) for mask in masks])


def test_candidates_are_the_likeliest_legal_tokens() -> None:
    env = CandidateActions(TextGenerationEnv(PLAIN), RANKED, 4)
    _, info = env.reset(seed=0)
    assert env.action_space == gym.spaces.Discrete(4)
    assert info["candidates"].tolist() == [A, C, EOS, B]
    assert (info["action_mask"].dtype, info["action_mask"].tolist()) == (np.int8, [1, 1, 1, 1])
    observation, _, terminated, _, info = env.step(1)
    assert observation[PLAIN.prompts.width] == C
    assert not terminated
    _, reward, terminated, _, info = env.step(2)
    assert terminated
    assert info["stop_reason"] == "eos"
    assert info["completion"] == "c"
    assert info["candidates"].tolist() == [EOS] * 4
    assert info["action_mask"].tolist() == [1, 1, 1, 1]
    assert reward == float(PLAIN.reward(env.unwrapped.last_episodes)[0])


def test_candidates_change_with_the_text() -> None:
    env = CandidateActions(TextGenerationEnv(PLAIN), MODEL, 3)
    first = env.reset(seed=0)[1]["candidates"]
    second = env.step(0)[4]["candidates"]
    legal = [index for index in range(WORDS.vocab_size) if env.unwrapped.action_masks()[index]]
    row = MODEL.log_probs(np.array([[first[0]]]))[0]
    assert second.tolist() == sorted(legal, key=lambda index: (-row[index], index))[:3]
    assert second.tolist() != first.tolist()


def test_where_few_tokens_are_legal_the_last_candidates_are_not() -> None:
    env = CandidateActions(TextGenerationEnv(TOYS["ruled"]), RANKED, 8)
    _, info = env.reset(seed=0)
    assert info["candidates"][:5].tolist() == [A, C, B, D, E]  # no end yet, and nobody writes prompt words
    assert env.action_masks().tolist() == [True] * 5 + [False] * 3
    assert info["action_mask"].tolist() == [1] * 5 + [0] * 3
    assert env.step(7)[4]["stop_reason"] == "illegal"


@pytest.mark.parametrize(("task", "k"), [("plain", 1), ("ruled", WORDS.vocab_size), *((task, 4) for task in TASKS)])
@every_mode
def test_the_vector_twin_does_the_same(mode: AutoresetMode, task: str, k: int) -> None:
    ended = assert_twins(
        lambda env: CandidateActions(env, MODEL, k),
        lambda envs: vector.CandidateActions(envs, MODEL, k),
        mode,
        task=task,
        choose=any_candidates,
        steps=30,
    )
    assert ended > 5


@every_mode
def test_masks_of_candidates_are_told_where_the_environment_tells_none(mode: AutoresetMode) -> None:
    ended = assert_twins(
        lambda env: CandidateActions(env, MODEL, 3),
        lambda envs: vector.CandidateActions(envs, MODEL, 3),
        mode,
        task="plain",
        choose=any_candidates,
        observation="dict",
        include_mask=False,
    )
    assert ended > 20


def test_actions_are_checked_and_free_on_lanes_that_begin_anew() -> None:
    env = CandidateActions(TextGenerationEnv(PLAIN), MODEL, 3)
    envs = vector.CandidateActions(TextGenerationVectorEnv(PLAIN, num_envs=2), RANKED, 3)
    env.reset(seed=0)
    envs.reset(seed=0)
    for bad, message in [(3, "outside the action space"), (-1, "outside"), (1.0, "whole number")]:
        with pytest.raises(ActionError, match=message):
            env.step(bad)
    for wrong in (np.array([0, 3]), np.array([0]), np.array([0.0, 1.0])):
        with pytest.raises(ActionError):
            envs.step(wrong)
    assert envs.step(np.array([2, 0]))[2].tolist() == [True, False]
    assert not envs.step(np.array([99, 0]))[2].any()  # the first lane begins anew, whatever is asked


def test_states_of_the_base_environment_are_followed() -> None:
    env = CandidateActions(TextGenerationEnv(PLAIN), MODEL, 3)
    assert env.action_masks().shape == (3,)  # before the first reset, too
    env.reset(seed=0)
    state, before = env.unwrapped.get_state(), env.action_masks()
    first = env.step(0)
    env.unwrapped.set_state(state)
    assert_same(env.action_masks(), before)
    assert_same(env.step(0), first)


def test_gymnasium_accepts_it() -> None:
    env = CandidateActions(gym.make("TextGen-v0", task=PLAIN), MODEL, 3)
    with pytest.warns(UserWarning, match="different from the unwrapped version"):
        check_env(env)
    assert env.reset(seed=0)[0] in env.observation_space


def test_it_can_be_made_again_from_its_spec(tmp_path: Any) -> None:
    env = gym.make("TextGen-v0", level="tiny")
    model = NGramLanguageModel.fit([[0, 1, 2]], vocab_size=env.unwrapped.task.tokenizer.vocab_size)
    path = str(tmp_path / "model.safetensors")
    model.save(path)
    wrapped = CandidateActions(env, path, 2)
    twin = gym.make(EnvSpec.from_json(wrapped.spec.to_json()))
    assert twin.action_space == wrapped.action_space
    assert_same(twin.reset(seed=1), wrapped.reset(seed=1))


def test_exact_solve_plays_among_candidates() -> None:
    task = toy(budget=2)
    full = solve(task)
    assert solve(CandidateActions(TextGenerationEnv(task), MODEL, WORDS.vocab_size)).optimal_return == pytest.approx(
        full.optimal_return
    )
    narrow = solve(CandidateActions(TextGenerationEnv(task), RANKED, 2))
    assert narrow.optimal_return < full.optimal_return


@pytest.mark.parametrize("k", [0, -1, 13, 2.0, True, "2", None])
def test_k_is_checked(k: Any) -> None:
    for env, kind in ((TextGenerationEnv(PLAIN), CandidateActions), (vectors(), vector.CandidateActions)):
        with pytest.raises(ConfigurationError, match="whole number from 1 to 12"):
            kind(env, MODEL, k)


def vectors(**kwargs: Any) -> TextGenerationVectorEnv:
    return TextGenerationVectorEnv(PLAIN, num_envs=2, **kwargs)


def test_references_and_environments_are_checked() -> None:
    other = NGramLanguageModel.fit([[0]], vocab_size=3)
    for env, kind in ((TextGenerationEnv(PLAIN), CandidateActions), (vectors(), vector.CandidateActions)):
        with pytest.raises(ConfigurationError, match="the reference has 3 ids, the environment 12"):
            kind(env, other, 2)
        with pytest.raises(ConfigurationError, match="expected a language model"):
            kind(env, 3, 2)
        with pytest.raises(ConfigurationError, match=r"returned the shape \(1, 2\)|returned the shape \(2, 2\)"):
            kind(env, Table(0.5, 0.5), 2).reset(seed=0)
        with pytest.raises(ConfigurationError, match="NaN"):
            kind(env, Table(*[np.nan] * 12), 2).reset(seed=0)
    for env, kind in (
        (TextGenerationEnv(PLAIN, observation="dict"), CandidateActions),
        (vectors(observation="dict"), vector.CandidateActions),
    ):
        with pytest.raises(ConfigurationError, match="include_mask=False"):
            kind(env, MODEL, 2)
    with pytest.raises(ConfigurationError, match="wrap a textgym environment"):
        CandidateActions(gym.make("CartPole-v1"), MODEL, 2)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 7).flatmap(lambda n: st.lists(st.lists(st.integers(0, 3), min_size=n, max_size=n), min_size=1)))
def test_the_likeliest_are_those_of_a_stable_sort(rows: list[list[int]]) -> None:
    values = np.where(np.array(rows) == 0, -np.inf, np.array(rows, dtype=np.float64))
    for k in range(1, values.shape[1] + 1):
        assert likeliest(values, k).tolist() == np.argsort(-values, axis=1, kind="stable")[:, :k].tolist()


def test_a_sb3_dqn_learns_among_candidates() -> None:
    sb3 = pytest.importorskip("stable_baselines3")
    env = CandidateActions(TextGenerationEnv(PLAIN), MODEL, 3)
    model = sb3.DQN("MlpPolicy", env, learning_starts=20, train_freq=8, buffer_size=200, seed=0, device="cpu")
    model.learn(80)
    action, _ = model.predict(env.reset(seed=0)[0], deterministic=True)
    assert 0 <= int(action) < 3
