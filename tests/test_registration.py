"""Ids, specs and everything that Gymnasium does with them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import SyncVectorEnv
from playing import assert_same, play_episode
from toys import PLAIN

from textgym import registration, tasks
from textgym.env import TextGenerationEnv
from textgym.vector_env import TextGenerationVectorEnv

IDS = registration.env_ids()
every_id = pytest.mark.parametrize("env_id", IDS)


def test_there_is_an_id_for_every_task_and_a_default() -> None:
    assert ["TextGen-v0", *(f"TextGen/{name}-v0" for name in tasks.names())] == IDS
    assert all(env_id in gym.registry for env_id in IDS)


@every_id
def test_specs_are_data(env_id: str) -> None:
    spec = gym.spec(env_id)
    assert EnvSpec.from_json(spec.to_json()) == spec
    assert json.loads(spec.to_json())["kwargs"].keys() == {"task"}
    assert spec.max_episode_steps is None
    assert spec.entry_point == "textgym.env:TextGenerationEnv"
    assert spec.vector_entry_point == "textgym.vector_env:TextGenerationVectorEnv"


@every_id
def test_an_environment_can_be_made_again_from_its_json(env_id: str) -> None:
    arguments: dict[str, Any] = {"observation": "dict", "max_new_tokens": 3, "illegal_reward": -2.0}
    arguments |= {"reward": {"name": "reviews"}} if registration.task_name(env_id) == "Reviews" else {}
    env = gym.make(env_id, **arguments)
    twin = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert_same(*(play_episode(one, np.random.default_rng(0), seed=0) for one in (env, twin)))


@every_id
def test_make_vec_is_native_unless_told_otherwise(env_id: str) -> None:
    assert isinstance(gym.make_vec(env_id, num_envs=2).unwrapped, TextGenerationVectorEnv)
    sync = gym.make_vec(env_id, num_envs=2, vectorization_mode="sync")
    assert isinstance(sync, SyncVectorEnv)
    assert isinstance(sync.envs[0].unwrapped, TextGenerationEnv)
    envs = gym.make_vec(env_id, num_envs=2, autoreset_mode="Disabled", max_new_tokens=2)
    assert envs.metadata["autoreset_mode"] is gym.vector.AutoresetMode.DISABLED
    assert envs.unwrapped.task.turn_tokens == 2


def test_a_vector_environment_can_be_made_again_from_its_spec() -> None:
    envs = gym.make_vec("TextGen-v0", num_envs=3, max_new_tokens=2)
    twin = gym.make_vec(EnvSpec.from_json(envs.spec.to_json()))
    assert twin.num_envs == 3
    assert twin.unwrapped.task.budget == 2
    assert_same(envs.reset(seed=0), twin.reset(seed=0))


def test_a_task_may_be_given_as_a_name_or_an_object() -> None:
    named = gym.make("TextGen-v0", task="Reviews", level="tiny").unwrapped
    assert (named.task.name, named.task.level) == ("Reviews", "tiny")
    assert gym.make("TextGen-v0", task=PLAIN).unwrapped.task is PLAIN


def test_registering_twice_changes_nothing() -> None:
    before = dict(gym.registry)
    registration.register_all()
    assert dict(gym.registry) == before


@pytest.mark.parametrize("env_id", ["textgym:TextGen-v0", "textgym:TextGen/Reviews-v0"])
def test_the_module_may_stand_before_the_id(env_id: str) -> None:
    code = f"import gymnasium; print(gymnasium.make({env_id!r}).reset(seed=0)[0].tolist())"
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout) == gym.make(env_id).reset(seed=0)[0].tolist()


def test_wrapped_environments_reach_what_users_need() -> None:
    env = gym.make("TextGen-v0")
    assert env.get_wrapper_attr("action_masks")().dtype == bool
    assert env.get_wrapper_attr("eos_id") == env.unwrapped.eos_id
    env.reset(seed=0)
    state = env.get_wrapper_attr("get_state")()
    first = env.step(0)
    env.get_wrapper_attr("set_state")(state)
    assert_same(env.step(0), first)
