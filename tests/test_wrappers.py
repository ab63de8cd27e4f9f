"""Each wrapper does what its pure function does, and so does its vector twin, in every autoreset mode."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from playing import any_actions, assert_same, play_episode
from toys import PLAIN, TOYS

from textgym import wrappers
from textgym.env import TextGenerationEnv
from textgym.errors import ConfigurationError
from textgym.observations import last_tokens, one_hot, prefix_index, texts
from textgym.vector_env import TextGenerationVectorEnv
from textgym.wrappers import vector

WRAPPERS: dict[str, tuple[str, dict[str, Any]]] = {
    "one hot": ("OneHotTokens", {}),
    "last tokens": ("LastTokens", {"n": 3}),
    "all tokens": ("LastTokens", {"n": 8}),
    "text": ("TextObservation", {}),
    "prefix": ("PrefixState", {}),
}
every_wrapper = pytest.mark.parametrize("name", WRAPPERS)
every_mode = pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.value)


def wrap(env: Any, name: str, where: Any = wrappers) -> Any:
    kind, arguments = WRAPPERS[name]
    return getattr(where, kind)(env, **arguments)


def test_every_wrapper_has_a_twin_and_is_tested() -> None:
    views = {kind for kind in wrappers.__all__ if getattr(wrappers, kind).__module__.endswith("observation")}
    assert {kind for kind, _ in WRAPPERS.values()} == views
    assert all(hasattr(vector, kind) for kind in wrappers.__all__)


@every_wrapper
def test_a_wrapper_shows_what_the_pure_function_says(name: str) -> None:
    functions = {
        "one hot": lambda tokens, prompt: one_hot(tokens, 12)[0],
        "last tokens": lambda tokens, prompt: last_tokens(tokens, 3, prompt_width=3, vocab_size=12)[0],
        "all tokens": lambda tokens, prompt: last_tokens(tokens, 8, prompt_width=3, vocab_size=12)[0],
        "text": lambda tokens, prompt: texts(tokens, prompt, PLAIN)[0],
        "prefix": lambda tokens, prompt: prefix_index(tokens, prompt, PLAIN)[0],
    }
    bare, env = TextGenerationEnv(PLAIN), wrap(TextGenerationEnv(PLAIN), name)
    for seed in range(8):
        plain, seen = (play_episode(one, np.random.default_rng(seed), seed=seed) for one in (bare, env))
        prompt = np.array([bare.prompt_index])
        for one, other in zip(plain, seen, strict=True):
            assert other[0] in env.observation_space
            assert_same(other[0], functions[name](one[0][None], prompt))
            assert_same(one[1:], other[1:])


@every_wrapper
def test_gymnasium_accepts_every_wrapped_environment(name: str) -> None:
    env = wrap(gym.make("TextGen-v0", task=PLAIN), name)
    with pytest.warns(UserWarning, match="different from the unwrapped version"):
        check_env(env)


@every_wrapper
@every_mode
def test_a_wrapper_equals_its_vector_twin(name: str, mode: AutoresetMode) -> None:
    lanes = 5
    envs = wrap(TextGenerationVectorEnv(PLAIN, num_envs=lanes, autoreset_mode=mode, text_infos=True), name, vector)
    makers = [partial(lambda: wrap(TextGenerationEnv(PLAIN), name))] * lanes
    sync = SyncVectorEnv(makers, autoreset_mode=mode)
    assert envs.observation_space == sync.observation_space
    assert envs.single_observation_space == sync.single_observation_space
    assert_same(envs.reset(seed=3), sync.reset(seed=3))
    rng, ended = np.random.default_rng(0), 0
    for _ in range(60):
        actions = any_actions(envs, rng)
        ours = envs.step(actions)
        assert_same(ours, sync.step(actions))
        assert ours[0] in envs.observation_space
        ended += int(ours[2].sum())
        if mode is AutoresetMode.DISABLED and ours[2].any():
            again = [one.reset(options={"reset_mask": ours[2].copy()}) for one in (envs, sync)]
            assert_same(*again)
    assert ended > 30


@every_wrapper
def test_a_wrapped_environment_can_be_made_again_from_its_spec(name: str) -> None:
    env = wrap(gym.make("TextGen-v0"), name)
    twin = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert type(twin) is type(env)
    assert_same(*(play_episode(one, np.random.default_rng(0), seed=0) for one in (env, twin)))


@every_wrapper
@pytest.mark.parametrize("observation", ["dict", "one_hot", "text"])
def test_other_observations_than_tokens_are_refused(name: str, observation: str) -> None:
    with pytest.raises(ConfigurationError, match="observation='tokens'"):
        wrap(TextGenerationEnv(PLAIN, observation=observation), name)
    with pytest.raises(ConfigurationError, match="observation='tokens'"):
        wrap(TextGenerationVectorEnv(PLAIN, num_envs=2, observation=observation), name, vector)


@every_wrapper
def test_foreign_environments_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="wrap a textgym environment"):
        wrap(gym.make("CartPole-v1"), name)


def test_wrappers_on_top_of_gymnasiums_own() -> None:
    env = gym.wrappers.RecordEpisodeStatistics(TextGenerationEnv(TOYS["ruled"]))
    assert wrap(env, "text").reset(seed=0)[0] in wrap(env, "text").observation_space
    envs = TextGenerationVectorEnv(PLAIN, num_envs=2, autoreset_mode="SameStep")
    seen = wrap(gym.wrappers.vector.RecordEpisodeStatistics(envs), "prefix", vector)
    seen.reset(seed=0)
    infos = seen.step([10, 0])[4]
    assert infos["final_obs"][0] in seen.single_observation_space
