"""The contract of the single environment, on every registered id and on the toys."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from playing import any_action, assert_same, every_env, every_timing, make, play_chain, play_episode
from toys import BUDGET, EOS, PLAIN, TOYS, A, D, FastWeighted, Faulty, Recorder, toy

from textgym.env import TextGenerationEnv
from textgym.errors import ActionError, ConfigurationError, EpisodeOverError, RewardError, UnknownNameError
from textgym.rewards import WeightedSum

pytestmark = pytest.mark.filterwarnings("ignore:the reward .* failed on prompt")  # the first marked failure warns

# ---- spaces, infos, masks -----------------------------------------------------------------------------------------


@every_env
def test_observations_and_infos_keep_their_promises(name: str) -> None:
    env, rng = make(name), np.random.default_rng(3)
    task, base = env.unwrapped.task, env.unwrapped
    for episode in range(30):
        record = play_episode(env, rng, illegal=0.1, seed=episode)
        steps = record[1:]
        assert all(out[0] in env.observation_space for out in record)
        for out in record[:-1]:
            assert out[-1].keys() <= {"action_mask"}
        assert [out[2] for out in steps] == [False] * (len(steps) - 1) + [True]
        assert all(out[3] is False for out in steps)
        assert all(type(out[1]) is float for out in steps)
        assert not any(out[1] for out in steps[:-1])
        info = steps[-1][4]
        assert info["stop_reason"] in {"eos", "stop", "length", "illegal"}
        assert info["num_tokens"] == len(steps) <= task.budget
        whole = info["turns"] == task.turns if task.partner else len(steps) == task.budget
        assert (info["stop_reason"] == "length") <= whole
        assert info["prompt"] == task.prompts.texts[base.prompt_index]
        assert info["completion"] == base.last_episodes.completions[0]
        assert info["reward_valid"] is True
        assert "gold" not in info


@every_env
def test_masks_are_one_source_in_three_places(name: str) -> None:
    env, rng = make(name, include_mask=True, observation="dict"), np.random.default_rng(1)
    before = env.unwrapped.action_masks()
    assert before.dtype == bool
    assert before.any()
    for episode in range(10):
        for out in play_episode(env, rng, seed=episode):
            mask = out[-1]["action_mask"]
            assert mask.dtype == np.int8
            assert mask.any()
            assert np.array_equal(mask, out[0]["action_mask"])
            assert env.action_space.sample(mask=mask) in np.flatnonzero(mask)
        assert np.array_equal(mask, env.unwrapped.action_masks())


@every_env
def test_legal_play_never_ends_illegally(name: str) -> None:
    env = make(name, include_mask=True)
    for episode in range(20):
        _, info = env.reset(seed=episode)
        terminated = False
        while not terminated:
            _, _, terminated, _, info = env.step(env.action_space.sample(mask=info["action_mask"]))
        assert info["stop_reason"] != "illegal"


def test_a_large_fixed_mask_is_left_out_until_asked_for() -> None:
    assert "action_mask" not in TextGenerationEnv(TOYS["many"]).reset()[1]
    assert "action_mask" not in TextGenerationEnv(TOYS["many"]).reset()[0]
    assert "action_mask" in TextGenerationEnv(TOYS["many"], include_mask=True).reset()[1]
    assert "action_mask" in TextGenerationEnv(TOYS["many, ruled"]).reset()[1]
    assert TextGenerationEnv(TOYS["many"]).action_masks().sum() == 1501


@pytest.mark.parametrize("observation", ["tokens", "dict", "one_hot"])
@pytest.mark.parametrize("name", ["TextGen-v0", "toy ruled"])
def test_what_was_returned_stays_as_it_was(name: str, observation: str) -> None:
    env, rng = make(name, observation=observation), np.random.default_rng(0)
    kept, copies = [], []
    terminated = True
    for _ in range(50):
        out = env.reset() if terminated else env.step(any_action(env, rng))
        terminated = len(out) == 5 and out[2]
        kept.append((out, env.unwrapped.action_masks()))
        copies.append(copy.deepcopy(kept[-1]))
    for one, other in zip(kept, copies, strict=True):
        assert_same(one, other)
    kept[-1][0][-1]["action_mask"][:] = 7
    kept[-1][1][:] = False
    assert env.unwrapped.action_masks().any()


def test_gold_and_success_stand_in_info_only_when_asked_for() -> None:
    rng = np.random.default_rng(0)
    info = play_episode(TextGenerationEnv(PLAIN, gold=True), rng, seed=0)[-1][4]
    batch_info = play_episode(env := TextGenerationEnv(PLAIN), rng, seed=0)[-1][4]
    assert {"gold", "success"} <= info.keys()
    assert not {"gold", "success"} & batch_info.keys()
    assert env.last_episodes is not None
    assert env.last_episodes.gold() is not None


# ---- actions ------------------------------------------------------------------------------------------------------

WRONG = [12, -1, 10**30, 1.0, np.float32(1), "a", None, [1], (1,), np.array([1]), np.array([1, 2]), {}, np.nan]


@pytest.mark.parametrize("name", ["TextGen-v0", "toy ruled"])
def test_wrong_actions_are_errors_that_change_nothing(name: str) -> None:
    env, twin = make(name).unwrapped, make(name).unwrapped
    for one in (env, twin):
        one.reset(seed=4)
        one.step(0)
    wrong = [env.action_space.n, *WRONG[1:]]
    for action in wrong:
        with pytest.raises(ActionError, match="expected"):
            env.step(action)
    for token in (1, 2, env.eos_id):
        assert_same(env.step(token), twin.step(token))


@pytest.mark.parametrize("action", [1, np.int64(1), np.int8(1), np.uint64(1), np.array(1)])
def test_every_kind_of_whole_number_is_an_action(action: Any) -> None:
    env = TextGenerationEnv(PLAIN)
    env.reset(seed=0)
    assert env.step(action)[0][-BUDGET] == 1


@every_env
def test_there_is_no_step_before_the_first_reset_or_after_the_end(name: str) -> None:
    env = make(name).unwrapped
    with pytest.raises(EpisodeOverError, match="reset"):
        env.step(env.eos_id)
    play_episode(env, np.random.default_rng(0), seed=0)
    for _ in range(2):
        with pytest.raises(EpisodeOverError, match="reset"):
            env.step(env.eos_id)
    env.reset()


def test_an_illegal_token_ends_the_text_and_pays_without_asking_the_reward() -> None:
    recorder = Recorder()
    for kwargs, paid in (({}, -1.0), ({"illegal_reward": -0.25}, -0.25)):
        env = TextGenerationEnv(toy(reward=recorder), **kwargs)
        env.reset(seed=0)
        _, reward, terminated, truncated, info = env.step(7)
        assert (reward, terminated, truncated, info["stop_reason"]) == (paid, True, False, "illegal")
    assert recorder.calls == []
    env = TextGenerationEnv(PLAIN)
    env.reset(seed=0)
    assert env.step(7)[1] == FastWeighted.range[0]


def test_outside_time_limits_truncate() -> None:
    env = gym.make("TextGen-v0", task=PLAIN, max_episode_steps=2)
    env.reset(seed=0)
    env.step(A)
    _, _, terminated, truncated, info = env.step(A)
    assert (terminated, truncated, "stop_reason" in info) == (False, True, False)


# ---- rewards ------------------------------------------------------------------------------------------------------


@every_env
def test_paid_by_step_a_text_earns_the_same_in_all(name: str) -> None:
    end, step = play_chain(name, episodes=60), play_chain(name, episodes=60, reward_timing="step")
    for one, other in zip(end, step, strict=True):
        assert_same(one[-1][4], other[-1][4])
        assert sum(out[1] for out in other[1:]) == pytest.approx(one[-1][1], abs=1e-9)
        assert_same([out[0] for out in one], [out[0] for out in other])
    all_legal = make(name).unwrapped.action_masks().all()
    assert all_legal or "illegal" in {record[-1][4]["stop_reason"] for record in step}
    if name.startswith("toy "):  # of the suite's tasks, some score nothing but what is finished
        assert any(out[1] for record in step for out in record[1:-1]) or all(len(record) < 3 for record in step)


@every_timing
@pytest.mark.parametrize("how", ["raise", "nan", "inf", "short", "text"])
def test_a_failing_reward_names_the_text_and_ends_it(how: str, timing: str) -> None:
    env = TextGenerationEnv(toy(reward=Faulty(how)), reward_timing=timing)
    env.reset(seed=0, options={"prompt_index": 1})
    env.step(A)
    if timing == "end":
        env.step(D)  # the reward is not asked yet
    with pytest.raises(RewardError, match="prompt 'pan  the plot ', completion 'a d'"):
        env.step(EOS if timing == "end" else D)
    assert env.get_state()["core"]["over"][0] == (timing == "end")
    env.reset()
    assert env.step(EOS)[1] == 1.0


@pytest.mark.parametrize("how", ["raise", "nan", "inf", "short", "text"])
def test_marked_a_failing_reward_pays_as_an_illegal_text(how: str) -> None:
    env = TextGenerationEnv(toy(reward=Faulty(how)), on_reward_error="mark", illegal_reward=-2.5)
    for count, (tokens, paid) in enumerate([((EOS,), 1.0), ((D, EOS), -2.5), ((A, D, EOS), -2.5)]):
        env.reset()
        for token in tokens:
            _, reward, _, _, info = env.step(token)
        assert (reward, info["reward_valid"], env.reward_failures) == (paid, paid > 0, count)


@pytest.mark.parametrize("value", [np.nan, np.inf, "good", None])
def test_a_bad_fast_path_is_asked_again_the_checked_way(value: Any) -> None:
    class Bad(FastWeighted):
        def score_one(self, prompts: Any, prompt_index: int, ids: list[int]) -> Any:
            return value

    env, twin = TextGenerationEnv(toy(reward=Bad())), TextGenerationEnv(toy(reward=FastWeighted()))
    results = [play_episode(one, np.random.default_rng(0), seed=0) for one in (env, twin)]
    assert_same(*results)


def test_a_sum_with_a_fast_path_still_shows_its_parts() -> None:
    class FastSum(WeightedSum):
        def score_one(self, prompts: Any, prompt_index: int, ids: list[int]) -> float:
            return FastWeighted().score_one(prompts, prompt_index, ids)

    env = TextGenerationEnv(toy(reward=FastSum({"only": FastWeighted()})))
    _, reward, _, _, info = play_episode(env, np.random.default_rng(0), seed=0)[-1]
    assert info["reward_parts"] == {"only": reward}


@pytest.mark.parametrize("vector", [False, True])
def test_a_misspelt_reset_option_is_an_error(vector: bool) -> None:
    env: Any = gym.make_vec("TextGen-v0", num_envs=2) if vector else gym.make("TextGen-v0")
    with pytest.raises(UnknownNameError, match="Did you mean 'prompt_index'"):
        env.reset(options={"prompt_idx": 1})


def test_negative_seeds_are_refused_in_a_list_too() -> None:
    with pytest.raises(ConfigurationError, match="at least 0"):
        gym.make_vec("TextGen-v0", num_envs=2).reset(seed=[3, -1])
