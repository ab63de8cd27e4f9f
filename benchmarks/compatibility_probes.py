"""Short trials of other libraries on textgym's environments: each ends without an error, or says what does not work.

A probe is called with the format of the observations. It lets the library act for a few hundred tokens, and counts what
must be true of any library: as many episodes as the environment itself has finished, and, where masks are honoured, no
illegal token.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from textgym.episodes import ILLEGAL
from textgym.factory import EnvFactory

ENV_ID, LANES, STEPS = "TextGen/Brackets-v0", 8, 64
"""A task whose mask changes with the text, so that an unmasked library writes illegal tokens."""


class ProbeError(Exception):
    """What a library did that it must not do."""


def probe_single(observation: str) -> None:
    """Gymnasium's own checker, and random legal play."""
    from gymnasium.utils.env_checker import check_env

    env = gym.make(ENV_ID, observation=observation)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(env.unwrapped, skip_render_check=True)
    env.action_space.seed(0)
    _, info = env.reset(seed=0)
    for _ in range(STEPS):
        _, _, terminated, truncated, info = env.step(env.action_space.sample(mask=info["action_mask"]))
        if terminated or truncated:
            _require(info["stop_reason"] != "illegal", "a legal token was judged illegal")
            _, info = env.reset()


def probe_vector(mode: str) -> Callable[[str], None]:
    """The native vector environment in an autoreset mode, played at random within the masks."""

    def probe(observation: str) -> None:
        envs: Any = gym.make_vec(ENV_ID, num_envs=LANES, observation=observation, autoreset_mode=mode)
        counter, rng = _Counter(envs.unwrapped), np.random.default_rng(0)
        envs.reset(seed=0)
        for _ in range(STEPS):
            masks = envs.unwrapped.action_masks()
            actions = np.where(masks, rng.random(masks.shape), -1.0).argmax(axis=1)
            _, _, terminated, truncated, _ = envs.step(actions)
            counter.seen += int((terminated | truncated).sum())
            if mode == "Disabled" and (terminated | truncated).any():
                envs.reset(options={"reset_mask": terminated | truncated})
        counter.check(masked=True)

    return probe


def probe_sync(observation: str) -> None:
    """Gymnasium's loop over single environments."""
    envs: Any = gym.make_vec(ENV_ID, num_envs=LANES, vectorization_mode="sync", observation=observation)
    counter = _Counter(*(env.unwrapped for env in envs.envs))
    envs.action_space.seed(0)
    envs.reset(seed=0)
    for _ in range(STEPS):
        _, _, terminated, truncated, _ = envs.step(envs.action_space.sample())
        counter.seen += int((terminated | truncated).sum())
    envs.close()
    counter.check(masked=False)


def probe_sb3(name: str) -> Callable[[str], None]:
    """PPO or DQN of stable-baselines3 on a plain environment, without masks."""

    def probe(observation: str) -> None:
        import stable_baselines3

        policy = "MultiInputPolicy" if observation == "dict" else "MlpPolicy"
        options: dict[str, Any] = {"n_steps": 64, "batch_size": 64} if name == "PPO" else {"learning_starts": 32}
        env = gym.make(ENV_ID, observation=observation)
        counter = _Counter(env.unwrapped)
        kwargs: dict[str, Any] = {"device": "cpu", "seed": 0, "stats_window_size": 10_000, **options}
        model = getattr(stable_baselines3, name)(policy, env, **kwargs).learn(128)
        counter.seen = len(model.ep_info_buffer or ())
        counter.check(masked=False)

    return probe


def probe_sb3_native(observation: str) -> None:
    """PPO of stable-baselines3 over the native vector environment."""
    from stable_baselines3 import PPO

    from textgym.integrations.sb3 import NativeVecEnv

    envs: Any = gym.make_vec(ENV_ID, num_envs=LANES, observation=observation, autoreset_mode="SameStep")
    counter, native = _Counter(envs.unwrapped), NativeVecEnv(envs)
    policy = "MultiInputPolicy" if observation == "dict" else "MlpPolicy"
    model = PPO(policy, native, n_steps=16, batch_size=64, device="cpu", seed=0, stats_window_size=10_000)
    model.learn(LANES * 32)
    counter.seen = len(model.ep_info_buffer or ())
    counter.check(masked=False)


def probe_maskable(observation: str) -> None:
    """MaskablePPO of sb3-contrib over the native vector environment."""
    from sb3_contrib import MaskablePPO

    from textgym.integrations.sb3 import NativeVecEnv

    envs: Any = gym.make_vec(ENV_ID, num_envs=LANES, observation=observation, autoreset_mode="SameStep")
    counter = _Counter(envs.unwrapped)
    policy = "MultiInputPolicy" if observation == "dict" else "MlpPolicy"
    native = NativeVecEnv(envs)
    model = MaskablePPO(policy, native, n_steps=16, batch_size=64, device="cpu", seed=0, stats_window_size=10_000)
    model.learn(LANES * 32)
    counter.seen = len(model.ep_info_buffer or ())
    counter.check(masked=True)


def probe_torchrl(observation: str) -> None:
    """The wrapper of torchrl around a single environment, with its own check of specs."""
    from torchrl.envs import GymWrapper, check_env_specs

    env = GymWrapper(gym.make(ENV_ID, observation=observation), categorical_action_encoding=True)
    check_env_specs(env, seed=0)
    counter = _Counter(env._env.unwrapped)
    counter.seen = int(env.rollout(STEPS, break_when_any_done=False)["next", "done"].sum())
    counter.check(masked=False)


def probe_torchrl_masked(observation: str) -> None:
    """The native vector environment with masks, through textgym's adapter."""
    from textgym.integrations.torchrl import make_env

    env = make_env(ENV_ID, num_envs=LANES, observation=observation)
    counter = _Counter(env.base_env._env.unwrapped)
    counter.seen = int(env.rollout(STEPS, break_when_any_done=False)["next", "done"].sum())
    counter.check(masked=True)


def probe_minari(observation: str) -> None:
    """A recording, written as a data set and read back."""
    from textgym.agents.registry import make_agent
    from textgym.integrations import minari
    from textgym.recorder import record

    made = record(make_agent("uniform", seed=0), EnvFactory(ENV_ID, {"observation": observation}), episodes=8)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "probe-v0"
        minari.write(made, place)
        again = minari.read(place)
    _require(len(again.episodes) == 8, f"{len(again.episodes)} of 8 episodes came back")
    illegal = sum(str(episode.infos["stop_reason"][-1]) == "illegal" for episode in again.episodes)
    _require(not illegal, f"{illegal} illegal tokens in spite of the masks")


def probe_trl(observation: str) -> None:
    """Random texts, scored by their ids as TRL's trainers have them."""
    from textgym.agents.registry import make_agent
    from textgym.integrations import trl
    from textgym.playing import play

    batch, returns = play(make_agent("uniform", seed=0), EnvFactory(ENV_ID), episodes=LANES * 8)
    ids = [batch.ids(row) for row in range(len(batch))]
    paid = trl.reward_function(ENV_ID)(completion_ids=ids, prompt_index=batch.prompt_indices.tolist())
    _require(paid == returns.tolist(), "rewards differ from the environment's")


def probe_rllib(observation: str) -> None:
    """An environment runner of RLlib with PPO's masked module, in this process."""
    from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner

    from textgym.integrations.rllib import ppo_config

    runner = SingleAgentEnvRunner(config=ppo_config(ENV_ID, num_envs=LANES))
    counter = _Counter(runner.env.unwrapped)
    counter.seen = sum(chunk.is_done for chunk in runner.sample(num_timesteps=LANES * STEPS, explore=True))
    counter.check(masked=True)
    runner.stop()


def probe_metered(observation: str) -> None:
    """The metered environments in which benchmarks let agents learn."""
    from textgym.agents.registry import make_agent

    from .meter import Meter
    from .metering import MeteredFactory

    meter = Meter(LANES * STEPS)
    make_agent("uniform", seed=0).learn(
        MeteredFactory.around(EnvFactory(ENV_ID, {"observation": observation}), meter), LANES * STEPS
    )
    curve = meter.learning_curve()
    seen = sum(point["n"] for point in curve)
    _require(meter.episodes > 0, "no episode ended")
    _require(seen == meter.episodes, f"{seen} episodes in the curve, {meter.episodes} ended")
    lengths = [len(batch.ids(row)) for _, batch, _ in meter.texts.sampled() for row in range(len(batch))]
    _require(len(lengths) == meter.episodes, f"{len(lengths)} texts kept, {meter.episodes} ended")
    _require(sum(lengths) <= meter.steps, "more tokens in texts than were written")
    _require(not any(point["illegal"] for point in curve), "illegal tokens in spite of the masks")


class _Counter:
    """Counts the episodes that environments have finished, single ones or native vectors, whoever steps them."""

    def __init__(self, *envs: Any) -> None:
        self.ended = self.illegal = self.seen = 0
        for env in envs:
            self._watch(env)

    def _watch(self, env: Any) -> None:
        step = env.step

        def counted(actions: Any) -> Any:
            result = step(actions)
            rows = len(env.last_rows) if hasattr(env, "last_rows") else int(result[2] or result[3])
            if rows:
                self.ended += rows
                self.illegal += int(np.count_nonzero(env.last_episodes.stop_codes == ILLEGAL))
            return result

        env.step = counted

    def check(self, *, masked: bool) -> None:
        """Compares what the library has seen with what there was."""
        _require(self.ended > 0, "no episode ended")
        _require(self.seen == self.ended, f"{self.seen} episodes seen, {self.ended} ended")
        _require(not (masked and self.illegal), f"{self.illegal} illegal tokens in spite of the masks")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ProbeError(otherwise)


def describe_error(error: BaseException) -> str:
    """The first sentence of an error, as one cell of a table holds it."""
    text = " ".join(str(error).split()) or type(error).__name__
    return json.dumps(text, ensure_ascii=False)[1:-1].split(". ")[0][:100]
