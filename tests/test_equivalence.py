"""One core, two shells: the native vector environment and a SyncVectorEnv of single ones are equal, bit for bit."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from playing import any_actions, assert_same, every_id
from toys import BUDGET, PLAIN, TOYS, Faulty, Shortness, toy

from textgym.env import TextGenerationEnv
from textgym.rewards import WeightedSum
from textgym.task import Task
from textgym.vector_env import TextGenerationVectorEnv

pytestmark = pytest.mark.filterwarnings("ignore:the reward .* failed on prompt")  # the first marked failure warns

MODES = list(AutoresetMode)
every_mode = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)


class Pair:
    """Both kinds of vector environment, driven in step; every difference is an error."""

    def __init__(self, native: Any, sync: Any, *, texts: bool = True) -> None:
        self.native, self.sync, self.texts = native, sync, texts
        self.mode = native.metadata["autoreset_mode"]
        assert self.mode is sync.metadata["autoreset_mode"]
        assert native.observation_space == sync.observation_space
        assert native.action_space == sync.action_space

    def same(self, native: tuple[Any, ...], sync: tuple[Any, ...]) -> None:
        assert_same(native[:-1], sync[:-1])
        infos = sync[-1] if self.texts else without_texts(sync[-1])
        assert_same(native[-1], infos)
        assert_finite(native[-1])

    def assert_same_reset(self, **kwargs: Any) -> None:
        options = kwargs.pop("options", None)
        copies = [None if options is None else dict(options) for _ in range(2)]  # SyncVectorEnv takes things out
        self.same(self.native.reset(options=copies[0], **kwargs), self.sync.reset(options=copies[1], **kwargs))
        assert_same(copies[0], options)

    def assert_same_step(self, actions: Any) -> tuple[Any, ...]:
        if self.mode is AutoresetMode.DISABLED and self.native.unwrapped.last_episodes is not None:
            ended = np.zeros(self.native.num_envs, dtype=bool)
            ended[self.native.unwrapped.last_rows] = True
            self.assert_same_reset(options={"reset_mask": ended})
        native = self.native.step(actions)
        self.same(native, self.sync.step(actions))
        return native


def without_texts(infos: dict[str, Any]) -> dict[str, Any]:
    hidden = ("prompt", "completion", "_prompt", "_completion")
    kept = {key: value for key, value in infos.items() if key not in hidden}
    if "final_info" in kept:
        kept["final_info"] = without_texts(kept["final_info"])
    return kept


def assert_finite(infos: dict[str, Any]) -> None:
    for key, value in infos.items():
        if isinstance(value, dict):
            assert_finite(value)
        elif value.dtype.kind == "f":
            assert np.isfinite(value).all(), key


def pair(task: Task, lanes: int, mode: AutoresetMode, *, texts: bool = True, **kwargs: Any) -> Pair:
    native = TextGenerationVectorEnv(task, num_envs=lanes, autoreset_mode=mode, text_infos=texts, **kwargs)
    makers = [partial(TextGenerationEnv, task, **kwargs)] * lanes
    return Pair(native, SyncVectorEnv(makers, autoreset_mode=mode), texts=texts)


def assert_equal_play(both: Pair, steps: int, *, seed: int = 11, illegal: float = 0.1, episodes: int = 0) -> None:
    """Plays until ``steps`` steps, or ``episodes`` episodes in every lane, are done."""
    rng = np.random.default_rng(seed)
    both.assert_same_reset(seed=seed)
    ended = np.zeros(both.native.num_envs, dtype=int)
    while steps > 0 or ended.min() < episodes:
        ended += both.assert_same_step(any_actions(both.native, rng, illegal=illegal))[2]
        steps -= 1
    assert ended.min() > 0, "a comparison in which nothing ended says little"


@every_mode
@pytest.mark.parametrize("lanes", [1, 2, 7, 64])
def test_the_default_environment_over_200_episodes_a_lane(lanes: int, mode: AutoresetMode) -> None:
    native = gym.make_vec("TextGen-v0", num_envs=lanes, autoreset_mode=mode, text_infos=True)
    makers = [partial(gym.make, "TextGen-v0", disable_env_checker=True)] * lanes
    assert_equal_play(Pair(native, SyncVectorEnv(makers, autoreset_mode=mode)), 0, episodes=200)


@every_mode
@every_id
def test_every_id_with_gold_and_without_texts(env_id: str, mode: AutoresetMode) -> None:
    kwargs: dict[str, Any] = {"gold": True, "split": "all"}
    native = gym.make_vec(env_id, num_envs=3, autoreset_mode=mode, **kwargs)
    makers = [partial(gym.make, env_id, disable_env_checker=True, **kwargs)] * 3
    assert_equal_play(Pair(native, SyncVectorEnv(makers, autoreset_mode=mode), texts=False), 60)


@every_mode
@pytest.mark.parametrize("timing", ["end", "step"])
@pytest.mark.parametrize("name", TOYS)
def test_what_the_suite_has_not(name: str, timing: str, mode: AutoresetMode) -> None:
    if (name, timing) == ("noisy", "step"):
        pytest.skip("noise is not paid by step")
    assert_equal_play(pair(TOYS[name], 3, mode, reward_timing=timing), 40)


@every_mode
@pytest.mark.parametrize("observation", ["tokens", "dict", "one_hot", "text"])
@pytest.mark.parametrize("name", ["plain", "ruled"])
def test_every_observation(name: str, observation: str, mode: AutoresetMode) -> None:
    assert_equal_play(pair(TOYS[name], 3, mode, observation=observation), 40)


@every_mode
@pytest.mark.parametrize("include_mask", [True, False])
def test_masks_are_told_in_both_or_in_neither(include_mask: bool, mode: AutoresetMode) -> None:
    assert_equal_play(pair(TOYS["ruled"], 3, mode, observation="dict", include_mask=include_mask), 40)


@every_mode
def test_gold_and_success_of_illegal_texts_too(mode: AutoresetMode) -> None:
    assert_equal_play(pair(PLAIN, 4, mode, gold=True, reward_timing="step"), 60, illegal=0.4)
    assert_equal_play(pair(TOYS["combined"], 4, mode, gold=True, illegal_reward=-0.25), 60, illegal=0.4)


@every_mode
@pytest.mark.parametrize("timing", ["end", "step"])
@pytest.mark.parametrize("how", ["raise", "nan", "short", "batches"])
def test_marked_failures(how: str, timing: str, mode: AutoresetMode) -> None:
    reward = WeightedSum({"faulty": Faulty(how), "shortness": (0.1, Shortness())})
    both = pair(toy(reward=reward), 4, mode, on_reward_error="mark", reward_timing=timing)
    assert_equal_play(both, 60, illegal=0.3)
    assert both.native.reward_failures == sum(both.sync.get_attr("reward_failures"))
    assert (both.native.reward_failures == 0) == (how == "batches")


# ---- resets -------------------------------------------------------------------------------------------------------


@every_mode
def test_resets_in_the_middle_with_and_without_seeds(mode: AutoresetMode) -> None:
    both, rng = pair(TOYS["combined"], 3, mode), np.random.default_rng(1)
    for kwargs in ({"seed": 5}, {}, {"seed": [7, None, 0]}, {"seed": 5}, {"seed": [1, 2, 3]}):
        both.assert_same_reset(**kwargs)
        for _ in range(6):
            both.assert_same_step(any_actions(both.native, rng))


@every_mode
def test_resets_to_a_prompt(mode: AutoresetMode) -> None:
    both, rng = pair(PLAIN, 3, mode), np.random.default_rng(1)
    for index in (0, 4, 2):
        both.assert_same_reset(seed=index, options={"prompt_index": index})
        assert both.native.prompt_indices.tolist() == [index] * 3
        for _ in range(8):
            both.assert_same_step(any_actions(both.native, rng))


@every_mode
def test_resets_of_some_lanes(mode: AutoresetMode) -> None:
    both, rng = pair(TOYS["ruled"], 5, mode), np.random.default_rng(1)
    both.assert_same_reset(seed=3)
    for number in range(40):
        if number % 4 == 3:
            lanes = rng.random(5) < 0.5
            lanes |= both.native.unwrapped._core.over if mode is AutoresetMode.DISABLED else False
            lanes[rng.integers(5)] = True
            extra = [{}, {"seed": number}, {"seed": [number, None, 4, None, 6]}][number // 4 % 3]
            prompt = [{}, {"prompt_index": 2}][number % 8 // 4]
            both.assert_same_reset(options={"reset_mask": lanes, **prompt}, **extra)
        else:
            both.assert_same_step(any_actions(both.native, rng))


def test_each_lane_may_have_its_own_prompt() -> None:
    envs = TextGenerationVectorEnv(PLAIN, num_envs=3)
    envs.reset(seed=0, options={"prompt_index": np.array([4, 0, 1])})
    assert envs.prompt_indices.tolist() == [4, 0, 1]


# ---- lanes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lanes", [1, 3, 8])
def test_lane_i_of_seed_s_is_the_single_environment_of_seed_s_plus_i(lanes: int) -> None:
    envs = TextGenerationVectorEnv(TOYS["noisy"], num_envs=lanes, autoreset_mode="SameStep")
    envs.reset(seed=40)
    tracks: list[list[Any]] = [[] for _ in range(lanes)]
    rng = np.random.default_rng(0)
    actions = rng.integers(4, size=(25, 8))[:, :lanes]
    for row in actions:
        _, rewards, terminations, _, _ = envs.step(row)
        for lane in range(lanes):
            tracks[lane].append((float(rewards[lane]), bool(terminations[lane])))
    for lane in range(lanes):
        env, track = TextGenerationEnv(TOYS["noisy"]), []
        env.reset(seed=40 + lane)
        for token in actions[:, lane]:
            _, reward, terminated, _, _ = env.step(token)
            track.append((reward, terminated))
            if terminated:
                env.reset()
        assert track == tracks[lane]
    assert sum(done for _, done in tracks[0]) == 25 // BUDGET
