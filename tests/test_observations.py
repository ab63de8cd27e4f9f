"""Observations against what they say, position by position, in plain Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from playing import play_episode
from toys import BUDGET, PLAIN, PROMPTS, TOYS, WORDS, A, B, TwoEnds, toy

from textgym.core import GenerationCore
from textgym.env import TextGenerationEnv
from textgym.errors import ConfigurationError
from textgym.observations import (
    last_tokens,
    last_tokens_space,
    make_observation,
    one_hot,
    prefix_count,
    prefix_index,
    prefix_space,
    text_space,
    texts,
)
from textgym.scoring import Scorer
from textgym.task import Task

V, P, W = WORDS.vocab_size, 3, 3 + BUDGET


def rows_of(task: Task, prompt: int, ids: list[int]) -> Any:
    """The ``(1, P + T)`` buffer of a prompt and a completion."""
    width = task.prompts.width
    tokens = np.full((1, width + task.budget), task.tokenizer.vocab_size, dtype=np.int32)
    tokens[0, :width] = task.prompts.ids[prompt]
    tokens[0, width : width + len(ids)] = ids
    return tokens


def test_the_prompt_stands_right_aligned_before_the_text() -> None:
    env = TextGenerationEnv(PLAIN)
    prompts = {"praise the movie": [5, 7, 8], "pan  the plot ": [6, 7, 9], "praise": [V, V, 5]}
    for row, prompt in enumerate(prompts):
        observation, _ = env.reset(options={"prompt_index": row})
        assert observation.tolist() == [*prompts[prompt], *[V] * BUDGET]
        assert env.step(B)[0].tolist() == [*prompts[prompt], B, *[V] * (BUDGET - 1)]
    assert env.observation_space == spaces.MultiDiscrete([V + 1] * W, dtype=np.int32)


def test_a_dict_has_tokens_and_both_masks() -> None:
    env = TextGenerationEnv(PLAIN, observation="dict")
    env.reset(options={"prompt_index": 2})
    observation = env.step(A)[0]
    assert observation["tokens"].tolist() == [V, V, 5, A, *[V] * 4]
    assert observation["attention_mask"].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    assert observation["action_mask"].tolist() == [1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 0]
    assert {name: box.dtype for name, box in env.observation_space.spaces.items()} == {
        "tokens": np.int32,
        "attention_mask": np.int8,
        "action_mask": np.int8,
    }
    assert "action_mask" not in TextGenerationEnv(TOYS["many"], observation="dict").observation_space.spaces


@given(st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), min_size=1, max_size=5))
def test_one_hot_is_one_at_each_id(rows: list[list[int]]) -> None:
    encoded = one_hot(np.array(rows, dtype=np.int32), 4)
    assert encoded.shape == (len(rows), 15)
    assert encoded.dtype == np.float32
    for row, vector in zip(rows, encoded.tolist(), strict=True):
        assert vector == [float(value == token) for token in row for value in range(5)]


@given(st.integers(1, W), st.lists(st.integers(0, V - 1), max_size=BUDGET), st.integers(0, len(PROMPTS) - 1))
def test_the_window_is_the_newest_tokens(count: int, ids: list[int], prompt: int) -> None:
    tokens = rows_of(PLAIN, prompt, ids)
    written = [*PLAIN.prompts.ids[prompt].tolist(), *ids]
    expected = [*[V] * count, *written][-count:]
    window = last_tokens(tokens, count, prompt_width=P, vocab_size=V)
    assert window.tolist() == [expected]
    assert window[0] in last_tokens_space(count, PLAIN)


@pytest.mark.parametrize("count", [0, -1, W + 1, 2.0, True, None])
def test_a_window_that_does_not_fit_is_refused(count: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"1 to {W}"):
        last_tokens_space(count, PLAIN)


def test_prefixes_have_different_numbers_below_their_count() -> None:
    task = toy(prompts=["abc", "e"], tokenizer=TwoEnds(), constraints=(), budget=2)
    prefixes = [[], *([a] for a in range(8)), *([a, b] for a in range(8) for b in range(8))]
    numbers = []
    for prompt in (0, 1):
        for ids in prefixes:
            number = int(prefix_index(rows_of(task, prompt, ids), np.array([prompt]), task)[0])
            assert number in prefix_space(task)
            numbers.append(number)
    assert len(set(numbers)) == 2 * len(prefixes)
    assert prefix_count(task) == 2 * 9**2


def test_too_many_prefixes_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="too many to number"):
        prefix_space(toy(budget=30))


def test_text_is_the_prompt_as_written_and_the_text_so_far() -> None:
    shown = [texts(rows_of(PLAIN, 1, ids), np.array([1]), PLAIN)[0] for ids in ([], [A], [A, B], [A, 10])]
    assert shown == ["pan  the plot ", "pan  the plot  a", "pan  the plot  a b", "pan  the plot  a"]


def test_text_asks_a_users_tokenizer_about_its_own_ids_only() -> None:
    task = TOYS["two ends"]
    assert texts(rows_of(task, 0, [1, 2, 7]), np.array([0]), task) == ("abc bc",)


@pytest.mark.parametrize("name", [name for name in TOYS if name != "bytes"])
def test_every_text_lies_in_its_space(name: str) -> None:
    env, rng = TextGenerationEnv(TOYS[name], observation="text"), np.random.default_rng(0)
    for seed in range(10):
        assert all(out[0] in env.observation_space for out in play_episode(env, rng, illegal=0.1, seed=seed))
    assert env.observation_space.min_length == 0


def test_the_characters_of_a_text_space_are_numbered_in_order() -> None:
    assert list(text_space(PLAIN).character_list) == sorted(set("pan praise the movie plot<eos>unkbcd"))


@pytest.mark.parametrize("kind", ["tokens", "dict", "one_hot", "text"])
def test_some_rows_look_as_they_do_among_all(kind: str) -> None:
    core = GenerationCore(TOYS["ruled"], 4, split="all", scorer=Scorer(PLAIN.reward))
    core.seed(np.arange(4), np.arange(4, dtype=np.uint64))
    core.reset(np.arange(4))
    core.step(np.array([0, 1, 2, 3]))
    seen = make_observation(kind, core, include_mask=True)
    some, whole = seen.observe(core, np.array([2, 0])), seen.observe(core, slice(None))
    for position, row in enumerate((2, 0)):
        if kind == "dict":
            assert all(np.array_equal(some[name][position], whole[name][row]) for name in whole)
        else:
            assert np.array_equal(some[position], whole[row])
