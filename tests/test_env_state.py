"""State, randomness and prompts of the single environment, on every registered id and on the toys."""

from __future__ import annotations

import copy
import os
import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from playing import (
    WAYS,
    Event,
    any_action,
    assert_same,
    check_copies,
    every_env,
    every_timing,
    make,
    play_chain,
    play_episode,
)
from toys import EOS, PLAIN, PROMPTS, A, D, Faulty, Recorder, toy

from textgym.env import TextGenerationEnv
from textgym.episodes import EpisodeBatch
from textgym.errors import PromptError

pytestmark = pytest.mark.filterwarnings("ignore:the reward .* failed on prompt")  # the first marked failure warns

# ---- state --------------------------------------------------------------------------------------------------------


@every_timing
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["TextGen-v0", "toy combined", "toy ruled and stopping", "toy bytes"])
def test_a_copy_taken_at_any_step_goes_on_identically(name: str, way: str, timing: str) -> None:
    def make_env() -> Any:
        return make(name, reward_timing=timing, gold=True).unwrapped

    rng = np.random.default_rng(5)

    def choose(env: Any, last: Any) -> Event:
        if last is None or (len(last) == 5 and last[2]):
            return "reset", {"seed": 8} if last is None else {}
        return "step", any_action(env, rng, illegal=0.05)

    check_copies(make_env, choose, way=way, events=80)


def test_the_failures_of_a_copy_are_its_own() -> None:
    env = TextGenerationEnv(toy(reward=Faulty("raise")), on_reward_error="mark")
    env.reset(seed=0)
    env.step(D)
    twin = copy.deepcopy(env)
    twin.step(EOS)
    assert (twin.reward_failures, env.reward_failures) == (1, 0)


def test_a_deep_copy_shares_what_never_changes() -> None:
    env = TextGenerationEnv(PLAIN)
    twin = copy.deepcopy(env)
    assert twin.task is env.task
    assert twin.task.prompts is env.task.prompts


# ---- randomness ---------------------------------------------------------------------------------------------------


@every_env
def test_the_same_seed_gives_the_same_chain_and_reset_goes_on_with_it(name: str) -> None:
    one, other = play_chain(name, seed=5), play_chain(name, seed=5)
    assert_same(one, other)
    env = make(name).unwrapped
    prompts = [(env.reset(seed=5 if n == 0 else None), env.prompt_index)[1] for n in range(40)]
    env.reset(seed=6)
    again = [(env.reset(seed=5 if n == 0 else None), env.prompt_index)[1] for n in range(40)]
    assert prompts == again
    drawn = len(env.task.prompts.rows(env.config.split))
    assert (len(set(prompts)) > 1) == (drawn > 1)


def test_seeds_differ_even_when_they_are_neighbours() -> None:
    chains = []
    for seed in range(100):
        env = TextGenerationEnv(PLAIN)
        env.reset(seed=seed)
        keys = [int(env._core.keys[0])]
        for _ in range(9):
            env.reset()
            keys.append(int(env._core.keys[0]))
        chains += keys
    assert len(set(chains)) == 1000
    env = TextGenerationEnv(PLAIN)
    firsts = [(env.reset(seed=seed), env.prompt_index)[1] for seed in range(300)]
    assert all(70 < firsts.count(row) < 130 for row in range(3))


def test_unseeded_environments_differ() -> None:
    keys = set()
    for _ in range(5):
        env = TextGenerationEnv(PLAIN)
        env.reset()
        keys.add(int(env._core.keys[0]))
    assert len(keys) == 5


@pytest.mark.parametrize("name", ["TextGen-v0", "toy noisy"])
def test_two_environments_do_not_disturb_each_other_nor_the_process(name: str) -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 - the global state that nobody may touch
    before = random.getstate(), np.random.get_state()  # noqa: NPY002
    alone = play_chain(name, seed=3)
    env, other = make(name), make(name)
    rng, noise = np.random.default_rng(0), np.random.default_rng(77)
    together = []
    for episode in range(20):
        record: list[Any] = [env.reset(seed=None if episode else 3)]
        play_episode(other, noise, seed=episode)
        while len(record) == 1 or not record[-1][2]:
            record.append(env.step(any_action(env, rng, illegal=0.1)))
            other.reset()
        together.append(record)
    assert_same(alone, together)
    assert random.getstate() == before[0]
    assert_same(np.random.get_state(), before[1])  # noqa: NPY002


HASHED = """
import sys; sys.path.insert(0, {folder!r})
import numpy as np, gymnasium as gym, hashlib
from playing import play_episode
from toys import TOYS
rng, digest = np.random.default_rng(0), hashlib.sha256()
own = {{"prompts": ["b a", "c"], "tokenizer": "word", "reward": TOYS["noisy"].reward}}
for kwargs in ({{}}, {{"observation": "text"}}, own):
    env = gym.make("textgym:TextGen-v0", **kwargs)
    env.observation_space.seed(0)
    digest.update(repr(env.observation_space.sample()).encode())
    for seed in range(10):
        digest.update(repr(play_episode(env, rng, seed=seed)).encode())
print(digest.hexdigest())
"""


def test_the_hash_seed_of_the_process_changes_nothing() -> None:
    folder = os.path.dirname(__file__)  # noqa: PTH120
    code = HASHED.format(folder=folder)
    digests = set()
    for seed in ("0", "1"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        digests.add(run.stdout)
    assert len(digests) == 1


# ---- prompts ------------------------------------------------------------------------------------------------------


@every_env
def test_splits_hold_their_own_prompts_and_a_given_prompt_may_be_any(name: str) -> None:
    env = make(name).unwrapped
    table = env.task.prompts
    for index in (0, len(table) - 1):
        env.reset(options={"prompt_index": index})
        assert env.prompt_index == index
        assert env.step(env.eos_id)[4].get("prompt", table.texts[index]) == table.texts[index]
    if table.has_splits:
        assert not set(table.rows("train")) & set(table.rows("test"))
        assert not {table.texts[row] for row in table.rows("train")} & {table.texts[row] for row in table.rows("test")}
        drawn = make(name, split="test").unwrapped
        assert {(drawn.reset(), drawn.prompt_index)[1] for _ in range(40)} <= set(table.rows("test"))


@pytest.mark.parametrize("index", [-1, len(PROMPTS), 1.5, "0", True, [0, 1], []])
def test_a_prompt_index_that_does_not_exist_is_an_error_that_changes_nothing(index: Any) -> None:
    env, twin = TextGenerationEnv(PLAIN), TextGenerationEnv(PLAIN)
    for one in (env, twin):
        one.reset(seed=2)
        one.step(A)
    with pytest.raises(PromptError, match="expected"):
        env.reset(seed=9, options={"prompt_index": index})
    assert_same(env.step(EOS), twin.step(EOS))
    assert_same(env.reset(), twin.reset())


def test_prompts_are_shown_as_written_even_where_words_are_unknown() -> None:
    with pytest.warns(UserWarning, match="1 of 2 prompt tokens are outside the vocabulary"):
        env = TextGenerationEnv(PLAIN, prompts=[" praise  zebra "], reward=Recorder())
    observation, _ = env.reset(seed=0)
    assert observation[:2].tolist() == [5, env.task.tokenizer.unk_id]
    assert not env.action_masks()[env.task.tokenizer.unk_id]
    assert env.step(EOS)[4]["prompt"] == " praise  zebra "


def test_a_given_prompt_does_not_shift_the_chain() -> None:
    env, twin = TextGenerationEnv(PLAIN), TextGenerationEnv(PLAIN)
    env.reset(seed=0, options={"prompt_index": 4})
    twin.reset(seed=0)
    for _ in range(5):
        assert_same(env.reset(), twin.reset())


def test_the_last_text_is_at_hand_as_a_batch() -> None:
    env = TextGenerationEnv(PLAIN)
    env.reset(seed=0)
    assert env.last_episodes is None
    reward = env.step(EOS)[1]
    assert isinstance(env.last_episodes, EpisodeBatch)
    assert env.last_episodes.stop_reasons == ["eos"]
    assert float(env.task.reward(env.last_episodes)[0]) == reward
    env.reset()
    assert env.last_episodes is None
