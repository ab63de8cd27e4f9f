"""The SB3 adapter: the same frames as SB3's own DummyVecEnv, masks, records and an embedding."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import textgym
from textgym.benchmarks.meter import Meter
from textgym.benchmarks.metering import MeteredFactory
from textgym.errors import ConfigurationError
from textgym.wrappers.vector import OneHotTokens

sb3 = pytest.importorskip("stable_baselines3")

from stable_baselines3.common.monitor import Monitor  # noqa: E402
from stable_baselines3.common.vec_env import DummyVecEnv  # noqa: E402

from textgym.integrations.sb3 import NativeVecEnv, TokenEmbedding  # noqa: E402

LANES = 5


def native(lanes: int = LANES, **kwargs: Any) -> NativeVecEnv:
    return NativeVecEnv(gym.make_vec("TextGen-v0", num_envs=lanes, autoreset_mode="SameStep", **kwargs))


@pytest.mark.parametrize("observation", ["tokens", "dict", "one_hot"])
@pytest.mark.parametrize("timing", ["end", "step"])
def test_equals_dummy_vec_env(observation: str, timing: str) -> None:
    kwargs = {"observation": observation, "reward_timing": timing}
    ours, theirs = native(**kwargs), DummyVecEnv([lambda: Monitor(gym.make("TextGen-v0", **kwargs))] * LANES)
    ours.seed(3)
    theirs.seed(3)
    rng = np.random.default_rng(0)
    same(ours.reset(), theirs.reset())
    ends = 0
    for _ in range(200):
        actions = rng.integers(ours.action_space.n, size=LANES)  # type: ignore[attr-defined]
        left, right = ours.step(actions), theirs.step(actions)
        same(left[0], right[0])
        assert np.array_equal(left[1], right[1])
        assert np.array_equal(left[2], right[2])
        for mine, other in zip(left[3], right[3], strict=True):
            if "episode" not in other:
                assert mine == {}
                continue
            ends += 1
            same(mine["terminal_observation"], other["terminal_observation"])
            assert mine["TimeLimit.truncated"] is other["TimeLimit.truncated"] is False
            assert mine["episode"]["r"] == pytest.approx(other["episode"]["r"], abs=1e-6)
            assert mine["episode"]["l"] == other["episode"]["l"]
            for key in ("stop_reason", "num_tokens", "reward_valid"):
                assert mine[key] == other[key]
    assert ends > 100


def same(left: Any, right: Any) -> None:
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            same(left[key], right[key])
    else:
        assert np.array_equal(left, right)
        assert left.dtype == right.dtype


@pytest.mark.parametrize("mode", ["NextStep", "Disabled"])
def test_refuses_other_autoreset_modes(mode: str) -> None:
    with pytest.raises(ConfigurationError, match="SameStep"):
        NativeVecEnv(gym.make_vec("TextGen-v0", num_envs=2, autoreset_mode=mode))


def test_masks_are_found_and_handed_out_by_lane() -> None:
    env = native()
    assert env.has_attr("action_masks")
    assert not env.has_attr("no_such_attribute")
    masks = env.env_method("action_masks")
    assert len(masks) == LANES
    assert masks[0].dtype == bool
    assert masks[0].shape == (env.action_space.n,)  # type: ignore[attr-defined]
    assert len(env.env_method("action_masks", indices=[1, 2])) == 2


def test_attributes_are_read_for_each_lane_and_set_for_all() -> None:
    env = native()
    assert env.get_attr("eos_id", indices=0) == [env.envs.unwrapped.eos_id]  # type: ignore[attr-defined]
    env.set_attr("note", "hello")
    assert env.get_attr("note") == ["hello"] * LANES
    with pytest.raises(ConfigurationError, match="share"):
        env.set_attr("note", "bye", indices=[0])


def test_counts_as_monitored() -> None:
    assert native().env_is_wrapped(Monitor) == [True] * LANES
    assert native().env_is_wrapped(gym.Wrapper) == [False] * LANES  # type: ignore[type-abstract]


def test_options_fix_prompts() -> None:
    env = native()
    env.set_options({"prompt_index": 2})
    env.reset()
    assert (env.envs.unwrapped.prompt_indices == 2).all()  # type: ignore[attr-defined]
    env.set_options({"prompt": 2})
    with pytest.raises(ConfigurationError, match="prompt_index"):
        env.reset()


@pytest.mark.parametrize("algorithm", ["PPO", "A2C", "DQN"])
def test_plain_sb3_trains_without_any_adapter(algorithm: str) -> None:
    options = {"PPO": {"n_steps": 64, "batch_size": 32}, "A2C": {}, "DQN": {"learning_starts": 50}}[algorithm]
    model = getattr(sb3, algorithm)("MlpPolicy", gym.make("TextGen-v0"), device="cpu", seed=0, **options)
    before = [parameter.clone() for parameter in model.policy.parameters()]
    model.learn(200)
    assert any(not old.equal(new) for old, new in zip(before, model.policy.parameters(), strict=True))


@pytest.mark.parametrize("algorithm", ["PPO", "DQN"])
def test_sb3_trains_on_the_native_vec_env(algorithm: str) -> None:
    options = {"PPO": {"n_steps": 16, "batch_size": 40}, "DQN": {"learning_starts": 50}}[algorithm]
    model = getattr(sb3, algorithm)("MlpPolicy", native(), device="cpu", seed=0, **options)
    model.learn(400)
    assert len(model.ep_info_buffer) > 20
    assert {"r", "l", "t"} <= set(model.ep_info_buffer[0])


def test_maskable_ppo_never_writes_an_illegal_token() -> None:
    contrib = pytest.importorskip("sb3_contrib")
    meter = Meter()
    envs = MeteredFactory.around(textgym.EnvFactory("TextGen-v0"), meter).vector(8, autoreset_mode="SameStep")
    model = contrib.MaskablePPO("MlpPolicy", NativeVecEnv(envs), n_steps=32, batch_size=64, device="cpu", seed=0)
    model.learn(1000)
    assert meter.episodes > 100
    assert not any(point["illegal"] for point in meter.learning_curve())


def test_wrapped_vector_environments_work() -> None:
    env = NativeVecEnv(OneHotTokens(gym.make_vec("TextGen-v0", num_envs=3, autoreset_mode="SameStep")))
    observations = env.reset()
    assert env.observation_space.contains(observations[0])
    assert len(env.env_method("action_masks")) == 3


def test_token_embedding_trains_and_looks_tokens_up() -> None:
    policy = {"features_extractor_class": TokenEmbedding, "features_extractor_kwargs": {"dim": 4}}
    env = native(observation="dict")
    model = sb3.PPO("MultiInputPolicy", env, n_steps=16, batch_size=16, policy_kwargs=policy, device="cpu", seed=0)
    model.learn(100)
    extractor = model.policy.features_extractor
    observations, _ = model.policy.obs_to_tensor(env.reset())
    width = env.observation_space["tokens"].shape[0]  # type: ignore[index]
    features = extractor(observations)
    assert features.shape == (LANES, width * 4)
    first = extractor.embedding.weight[int(observations["tokens"][0, 0])]
    assert features[0, :4].equal(first)


def test_token_embedding_refuses_other_observations() -> None:
    with pytest.raises(ConfigurationError, match="observation='dict'"):
        TokenEmbedding(gym.make("TextGen-v0").observation_space)  # type: ignore[arg-type]


def test_sb3_makes_the_environment_from_its_id() -> None:
    model = sb3.PPO("MlpPolicy", "TextGen-v0", n_steps=16, batch_size=16, device="cpu")
    env = model.get_env()
    assert env is not None
    assert env.render_mode == "rgb_array"  # SB3 asks for it, whether or not anything is ever drawn


def test_a_plain_sb3_model_can_be_evaluated() -> None:
    model = sb3.PPO("MlpPolicy", gym.make("TextGen-v0"), n_steps=64, batch_size=64, device="cpu", seed=0)
    assert textgym.evaluate(model, "TextGen-v0", episodes=8).returns.shape == (8,)


def test_huge_action_spaces_are_warned_of() -> None:
    words = textgym.tokenizers.WordTokenizer([f"w{number}" for number in range(2500)])
    large = {"prompts": ["w1"], "tokenizer": words, "reward": lambda batch: np.zeros(len(batch))}
    with pytest.warns(UserWarning, match="2502 actions"):
        native(2, **large)
