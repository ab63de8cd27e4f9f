"""Gymnasium's and Stable-Baselines3's own checkers, with warnings as errors, on everything that is registered."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import VectorEnv
from playing import SUITE, SUITE_IDS, every_id
from toys import TOYS

from textgym.configuration import OBSERVATIONS, REWARD_TIMINGS
from textgym.registration import task_name
from textgym.tasks import get

every_level = pytest.mark.parametrize(("env_id", "kwargs"), SUITE, ids=SUITE_IDS)
every_timing = pytest.mark.parametrize("timing", REWARD_TIMINGS)


def check_wrapped(env: gym.Env[Any, Any]) -> None:
    """Gymnasium's checker on a wrapped environment, about which it must warn once."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is different from the unwrapped version.*")
        check_env(env)


def make(env_id: str, timing: str, **kwargs: Any) -> gym.Env[Any, Any]:
    """An environment, unless its reward is noisy: differences of noise are not paid."""
    if timing != "end" and getattr(get(task_name(env_id)).reward, "stochastic", False):
        pytest.skip("noise is not paid by step")
    return gym.make(env_id, reward_timing=timing, **kwargs)


@every_level
def test_gymnasium_accepts_every_level(env_id: str, kwargs: dict[str, Any]) -> None:
    env = gym.make(env_id, **kwargs)
    check_env(env.unwrapped)
    check_wrapped(env)


@every_id
@every_timing
@pytest.mark.parametrize("observation", OBSERVATIONS)
def test_gymnasium_accepts_every_id(env_id: str, observation: str, timing: str) -> None:
    check_env(make(env_id, timing, observation=observation).unwrapped)


@every_id
@every_timing
@pytest.mark.parametrize("observation", ["tokens", "dict", "one_hot"])  # it does not know text
def test_stable_baselines_accepts_every_id(env_id: str, observation: str, timing: str) -> None:
    sb3 = pytest.importorskip("stable_baselines3.common.env_checker")
    env = make(env_id, timing, observation=observation)
    sb3.check_env(env.unwrapped, warn=True)
    sb3.check_env(env, warn=True)


@pytest.mark.parametrize("name", TOYS)
@pytest.mark.parametrize("observation", OBSERVATIONS)
def test_gymnasium_accepts_what_the_suite_has_not(name: str, observation: str) -> None:
    if (name, observation) == ("bytes", "text"):
        pytest.skip("refused, as bytes are no text")
    check_env(gym.make("TextGen-v0", task=TOYS[name], observation=observation).unwrapped)


@every_level
def test_vector_environments_say_what_gymnasium_wants_to_know(env_id: str, kwargs: dict[str, Any]) -> None:
    envs = gym.make_vec(env_id, num_envs=3, **kwargs)
    single = gym.make(env_id, **kwargs)
    assert isinstance(envs, VectorEnv)
    assert envs.single_observation_space == single.observation_space
    assert envs.single_action_space == single.action_space
    observations, _ = envs.reset(seed=0)
    assert observations in envs.observation_space
    assert envs.step(envs.action_space.sample())[0] in envs.observation_space
    assert envs.metadata["autoreset_mode"] is gym.vector.AutoresetMode.NEXT_STEP
    assert envs.spec is not None
    envs.close()
