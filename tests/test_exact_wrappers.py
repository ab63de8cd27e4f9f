"""Solving an environment inside wrappers: what is seen through, what is stepped through, what is refused."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from brute import Scrambled
from gymnasium import spaces, wrappers
from toys import Noisy, constant, toy

import textgym
from textgym.env import TextGenerationEnv
from textgym.episodes import EpisodeBatch
from textgym.errors import SolveError, TooLargeError
from textgym.exact import solve
from textgym.wrappers.observation import LastTokens

TASK = replace(toy(prompts=["praise", "pan"], budget=3), make_reward=constant(Scrambled(3)))


@dataclass(frozen=True)
class Counting:
    """No function of the text: pays how often it was asked."""

    calls: list[int] = field(default_factory=list)

    def __call__(self, batch: EpisodeBatch) -> Any:
        self.calls.append(1)
        return np.full(len(batch), float(len(self.calls)))


def test_observation_wrappers_are_seen_through() -> None:
    plain = solve(TASK)
    env = wrappers.RecordEpisodeStatistics(LastTokens(gym.make("TextGen-v0", task=TASK), 2))
    assert solve(env).optimal_returns == plain.optimal_returns


def test_reward_wrappers_are_stepped_through() -> None:
    plain = solve(TASK)
    scaled = solve(wrappers.TransformReward(TextGenerationEnv(TASK), lambda reward: -2.0 * reward))
    worst = {}
    for text, group in zip(TASK.prompts.texts, range(2), strict=True):
        worst[text] = min(level.rewards[group][level.legal & (level.child < 0)].min() for level in plain.tree.levels)
    assert scaled.optimal_returns == pytest.approx({text: -2.0 * value for text, value in worst.items()})
    assert scaled.tree.text_count == plain.tree.text_count
    for depth, level in enumerate(plain.tree.levels):
        ended = level.legal & (level.child < 0)
        own = scaled.tree.levels[depth].rewards[:, :, plain.tree.columns]
        assert own[:, ended] == pytest.approx(-2.0 * level.rewards[:, ended])
    assert (scaled.legal([0], "pan") == plain.legal([0], "pan")).all()
    text = scaled.optimal_texts["pan"][0]
    assert textgym.score(textgym.EnvFactory("TextGen-v0", {"task": TASK}), ["pan"], [text])[0] == worst["pan"]


class Backwards(gym.ActionWrapper[Any, Any, Any]):
    """Action 0 is the last id, and so on."""

    def action(self, action: Any) -> Any:
        return self.env.action_space.n - 1 - action


class FirstFour(gym.ActionWrapper[Any, Any, Any]):
    """Three letters and the end id are all that there is."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.action_space = spaces.Discrete(4)

    def action(self, action: Any) -> Any:
        return action if action < 3 else self.env.unwrapped.eos_id


def test_action_wrappers_are_stepped_through() -> None:
    plain, mirrored = solve(TASK), solve(Backwards(TextGenerationEnv(TASK)))
    assert mirrored.optimal_returns == pytest.approx(plain.optimal_returns)
    assert mirrored.optimal_texts == plain.optimal_texts
    assert mirrored.q((), "pan")[::-1] == pytest.approx(plain.q((), "pan"))
    small = solve(FirstFour(TextGenerationEnv(TASK)))
    assert small.q((), "pan").shape == (4,)
    assert small.tree.text_count == 1 + 3 + 9 * 4


def test_prefixes_and_texts_are_those_of_the_actions() -> None:
    small, mirrored = solve(FirstFour(TextGenerationEnv(TASK))), solve(Backwards(TextGenerationEnv(TASK)))
    for text, best in small.optimal_texts.items():  # action 3 ends the text, though id 3 is a letter
        envs = textgym.EnvFactory("TextGen-v0", {"task": TASK})
        assert textgym.score(envs, [text], list(best))[0] == pytest.approx(small.optimal_returns[text])
    with pytest.raises(SolveError, match="name it by its actions"):
        mirrored.value("a", "pan")
    assert mirrored.value([mirrored.tree.vocab_size - 1], "pan") == pytest.approx(solve(TASK).value("a", "pan"))
    for ask in (lambda: small.policy_value(legal_first), lambda: solve(small_env(), reference=Even())):
        with pytest.raises(SolveError, match="unwrapped"):
            ask()


def small_env() -> FirstFour:
    return FirstFour(TextGenerationEnv(TASK))


def legal_first(observations: Any, masks: Any, **_: Any) -> Any:
    return masks.argmax(axis=1)


class Even:
    """Uniform over the legal ids."""

    def log_probs(self, observations: Any, masks: Any) -> Any:
        with np.errstate(divide="ignore"):
            return np.log(masks / masks.sum(axis=1, keepdims=True))


def test_the_environment_is_left_as_it_was() -> None:
    def play(env: Any, *, solving: bool) -> list[Any]:
        env.reset(seed=3)
        env.step(0)
        if solving:
            assert len(solve(env).optimal_texts) == 2
        seen = [env.step(1)[0].tolist()]
        return seen + [env.reset()[0].tolist() for _ in range(8)]

    assert play(small_env(), solving=True) == play(small_env(), solving=False)


@pytest.mark.parametrize(("reward", "message"), [(Noisy(), "is stochastic"), (Counting(), "when it was written again")])
def test_rewards_by_chance_are_refused_inside_wrappers(reward: Any, message: str) -> None:
    env = wrappers.TransformReward(TextGenerationEnv(toy(reward=reward, prompts=["pan"], budget=2)), lambda paid: paid)
    with pytest.raises(SolveError, match=message):
        solve(env)


def test_time_limits_end_texts() -> None:
    short = solve(wrappers.TimeLimit(TextGenerationEnv(TASK), 2))
    assert len(short.tree.levels) == 2
    assert short.q([1], "pan")[1] == 0.0  # cut off before it was paid
    assert solve("TextGen-v0", task=TASK, max_episode_steps=2).optimal_return == short.optimal_return


def test_policies_are_not_asked_through_wrappers_that_change_actions() -> None:
    solution = solve(Backwards(TextGenerationEnv(TASK)))
    with pytest.raises(SolveError, match="unwrapped"):
        solution.policy_value(lambda observations, masks, **_: np.zeros(len(masks), dtype=int))
    assert solution.policy_value(list(solution.q_values)).regret == pytest.approx(0.0, abs=1e-12)


def test_wrappers_that_remember_other_episodes_are_refused() -> None:
    with pytest.raises(SolveError, match="NormalizeReward keeps .* from one episode to the next"):
        solve(wrappers.NormalizeReward(TextGenerationEnv(TASK)))


class Locked(gym.RewardWrapper[Any, Any]):
    """Holds what cannot be copied."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.lock = threading.Lock()

    def reward(self, reward: Any) -> Any:
        return reward


def test_wrappers_that_cannot_be_copied_are_refused() -> None:
    with pytest.raises(SolveError, match="cannot see through the wrapper Locked"):
        solve(Locked(TextGenerationEnv(TASK)))


def test_stepping_is_refused_where_it_would_take_too_long() -> None:
    env = wrappers.TransformReward(TextGenerationEnv(), lambda reward: reward)
    with pytest.raises(TooLargeError, match="inside TransformReward, which has to be stepped"):
        solve(env, max_seconds=0.5)
    with pytest.raises(SolveError, match="solve env.unwrapped instead"):
        solve(env, kind="gold")


def test_continuous_actions_are_refused() -> None:
    env = wrappers.TransformAction(TextGenerationEnv(TASK), lambda action: int(action[0]), spaces.Box(0.0, 4.0, (1,)))
    with pytest.raises(SolveError, match="Discrete"):
        solve(env)
