"""Prompts that stay on disk: the same prompts, ids, episodes and rewards as in memory, without the memory."""

from __future__ import annotations

import copy
import os
import pickle
import shutil
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from streamed import DIGITS, SIZE, both, write

from textgym import streaming
from textgym.episodes import EpisodeBatch
from textgym.errors import PromptError, UnknownNameError
from textgym.factory import EnvFactory
from textgym.prompts import PromptTable, load_prompts
from textgym.puzzles import Answer
from textgym.rewards import Overlap, PerText
from textgym.streaming import LazyColumn, StreamedPrompts
from textgym.tokenizers import ByteTokenizer, CharTokenizer


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TEXTGYM_CACHE", str(tmp_path / "cache"))
    for module in ("textgym.streaming", "textgym.spooling"):
        monkeypatch.setattr(f"{module}.CHUNK", 64)
    monkeypatch.setattr("textgym.reading.BATCH", 64)
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def _forget_tokenizers() -> Iterator[None]:
    yield
    streaming._named_tokenizer.cache_clear()


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "csv"])
def test_the_rows_are_those_in_memory(tmp_path: Path, kind: str) -> None:
    streamed, wanted = map(load_prompts, both(tmp_path, kind))
    assert isinstance(streamed, StreamedPrompts)
    assert len(streamed) == SIZE
    assert list(streamed) == list(wanted)
    assert (streamed[-1], streamed[62:66]) == (wanted[-1], wanted[62:66])
    for row in (SIZE, -SIZE - 1):
        with pytest.raises(IndexError):
            streamed[row]


def test_a_table_is_the_table_in_memory(tmp_path: Path) -> None:
    table, wanted = (PromptTable(load_prompts(source), DIGITS) for source in both(tmp_path))
    assert (table.is_streamed, wanted.is_streamed) == (True, False)
    assert table.ids.dtype == np.int32
    assert not table.ids.flags.writeable
    np.testing.assert_array_equal(table.ids, wanted.ids)
    for split in ("train", "test", "all"):
        np.testing.assert_array_equal(table.rows(split), wanted.rows(split))
    assert (list(table.texts), list(table.references)) == (list(wanted.texts), list(wanted.references))
    assert list(table.column("n")) == list(wanted.column("n"))
    assert (table.longest, table.characters, table.splits) == (wanted.longest, wanted.characters, wanted.splits)
    assert table.index_of("170+170") == wanted.index_of("170+170") == 170
    with pytest.raises(PromptError, match="'12+' is not one of this task's 300.".replace("+", r"\+")):
        table.index_of("12+")
    with pytest.raises(UnknownNameError, match="unknown column of the prompts 'm'"):
        table.column("m")


@pytest.mark.parametrize("tokenizer", ["char", "word"])
def test_named_tokenizers_are_those_in_memory(tmp_path: Path, tokenizer: str) -> None:
    made = [
        gym.make("TextGen-v0", prompts=source, tokenizer=tokenizer, reward="exact_match") for source in both(tmp_path)
    ]
    first, second = (env.unwrapped.task.tokenizer.tokens for env in made)  # type: ignore[attr-defined]
    assert first == second


@pytest.mark.parametrize("observation", ["tokens", "dict", "text"])
def test_episodes_are_those_in_memory(tmp_path: Path, observation: str) -> None:
    def average(completion: str, prompt: str, n: int, reference: str) -> float:
        return n + len(prompt) + (completion[:1] == reference[:1])

    made = [
        gym.make_vec(
            "TextGen-v0", num_envs=32, prompts=source, tokenizer="char", reward=PerText(average), max_new_tokens=4,
            observation=observation, text_infos=True,
        )
        for source in both(tmp_path)
    ]  # fmt: skip
    seen: list[list[Any]] = [[], []]
    for place, envs in enumerate(made):
        seen[place].append(envs.reset(seed=5))
        actions = np.random.default_rng(0).integers(0, envs.single_action_space.n, (20, 32))  # type: ignore[attr-defined]
        seen[place].extend(envs.step(step) for step in actions)
    assert repr(seen[0]) == repr(seen[1])
    rewards = np.array([step[1] for step in seen[0][1:]])
    assert len(np.unique(rewards)) > 20
    assert made[0].single_observation_space == made[1].single_observation_space


def test_tables_of_all_prompts_are_those_of_the_batch(tmp_path: Path) -> None:
    streamed, memory = (PromptTable(load_prompts(source), DIGITS) for source in both(tmp_path))
    picked = [299, 7, 7, 150]
    texts = [DIGITS.encode(text) + [DIGITS.eos_ids[0]] for text in ("598", "14", "15", "1")]
    here, there = (EpisodeBatch.from_ids(table, DIGITS, picked, texts) for table in (streamed, memory))
    assert there.local() is there
    local = here.local()
    assert (len(local.prompts), local.prompts.is_streamed) == (4, False)
    assert (local.prompt_texts, local.references) == (there.prompt_texts, there.references)
    assert local.metadata("n") == there.metadata("n") == picked
    assert here.prompt_indices.tolist() == picked
    for reward in (Answer(), Overlap("bleu", unit="tokens")):
        assert reward(here).tolist() == reward(there).tolist()
    assert Answer()(here).tolist()[:2] == [1.0, 1.0]


def count_fetched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    fetched = []

    def fetch(self: LazyColumn, row: Any) -> Any:
        fetched.append(row)
        return original(self, row)

    original = LazyColumn.__getitem__
    monkeypatch.setattr(LazyColumn, "__getitem__", fetch)
    return fetched


def test_a_step_fetches_the_rows_of_its_batch_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    envs = gym.make_vec(
        "TextGen-v0", num_envs=4, prompts=both(tmp_path)[0], tokenizer="char", reward="overlap", max_new_tokens=2
    )
    fetched = count_fetched(monkeypatch)
    monkeypatch.setattr(LazyColumn, "__iter__", lambda self: pytest.fail("all rows were read"))
    envs.reset(seed=0)
    assert fetched == []
    for _ in range(2):
        envs.step(np.zeros(4, dtype=np.int64))
    drawn = set(envs.unwrapped.last_episodes.prompt_indices.tolist())  # type: ignore[attr-defined]
    assert set(fetched) == drawn
    assert len(fetched) <= 3 * 4


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    few, many = 500, 4_500
    peaks, kept = [], []
    for size in (few - 1, few, many):  # the first time, modules are imported
        source = both(tmp_path, size=size)[0]
        tracemalloc.start()
        table = PromptTable(load_prompts(source), DIGITS)
        table.rows("train")
        size_now, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        peaks.append(peak)
        kept.append(size_now)
    a_row = (peaks[2] - peaks[1]) / (many - few)
    assert a_row < 60  # indices, hashes, splits: 17 were measured; a row in memory takes a kilobyte
    assert (kept[2] - kept[1]) / (many - few) < 20


def test_what_is_cached_is_not_written_again(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = both(tmp_path)[0]
    first = PromptTable(load_prompts(source), DIGITS)
    monkeypatch.setattr("textgym.spooling._write", lambda *_: pytest.fail("written again"))
    monkeypatch.setattr("textgym.streaming._write_ids", lambda *_: pytest.fail("encoded again"))
    assert PromptTable(load_prompts(source), CharTokenizer("0123456789+")).ids.tolist() == first.ids.tolist()
    monkeypatch.undo()
    monkeypatch.setenv("TEXTGYM_CACHE", str(cache))
    Path(source["path"]).unlink()
    write(tmp_path, "parquet", 10)
    shutil.move(tmp_path / "q10.parquet", source["path"])
    assert len(load_prompts(source)) == 10
    assert PromptTable(load_prompts(source), ByteTokenizer()).ids[3].tolist() == [*b"3+3"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no date of the last change of a file's data or dates")
def test_other_contents_under_the_same_date_are_read_again(tmp_path: Path) -> None:
    path = tmp_path / "q.txt"
    for text in ("one", "two"):
        path.write_text(text, encoding="utf-8")
        os.utime(path, ns=(10**18, 10**18))
        assert load_prompts({"path": path, "stream": True})[0].text == text


class Backwards(CharTokenizer):
    """The same vocabulary, other ids, unless it is told otherwise."""

    turned = True

    def encode(self, text: str) -> list[int]:
        return super().encode(text)[:: -1 if self.turned else 1]


def test_tokenizers_with_one_vocabulary_do_not_share_ids(tmp_path: Path) -> None:
    prompts, kinds = load_prompts(both(tmp_path)[0]), (CharTokenizer, Backwards, Backwards)
    plain, backwards, turned_back = (kind("0123456789+") for kind in kinds)
    turned_back.turned = False
    seen = [PromptTable(prompts, words).ids[12].tolist()[2:] for words in (plain, backwards, turned_back)]
    assert seen == [[1, 2, 10, 1, 2], [2, 1, 10, 2, 1], [1, 2, 10, 1, 2]]


def test_widths_do_not_share_ids(tmp_path: Path) -> None:
    prompts = load_prompts(both(tmp_path)[0])
    assert [PromptTable(prompts, DIGITS, width).ids.shape[1] for width in (None, 9, 7, 8, 9)] == [7, 9, 7, 8, 9]


def test_texts_with_one_hash_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("textgym.streaming", "textgym.spooling"):
        monkeypatch.setattr(f"{module}.text_hash", lambda text: 7)
    table = PromptTable(load_prompts(both(tmp_path)[0]), DIGITS)  # both splits have this hash, and no text in common
    assert [table.index_of(f"{n}+{n}") for n in (0, 7, 12, 299)] == [0, 7, 12, 299]
    with pytest.raises(PromptError, match="'1' is not one of this task's 300"):
        table.index_of("1")


def test_pickle_and_deepcopy_map_the_files_again(tmp_path: Path, cache: Path) -> None:
    env = gym.make("TextGen-v0", prompts=both(tmp_path)[0], tokenizer="char", reward="exact_match", max_new_tokens=3)
    env.reset(seed=1)
    saved = pickle.dumps(env)
    assert len(saved) < 60_000
    twins = [pickle.loads(saved), copy.deepcopy(env)]
    for action in (1, 2, 3):
        wanted = env.step(action)
        assert all(repr(twin.step(action)) == repr(wanted) for twin in twins)
    assert wanted[2]
    assert [twin.reset()[0].tolist() for twin in twins] == [env.reset()[0].tolist()] * 2
    shutil.rmtree(cache)
    with pytest.raises(PromptError, match="the streamed prompts in .* are gone; make the environment again"):
        pickle.loads(saved)


def test_other_processes_map_the_same_files(tmp_path: Path) -> None:
    kwargs = {"prompts": both(tmp_path)[0], "tokenizer": "char", "reward": "exact_match", "max_new_tokens": 3}
    factory = EnvFactory("TextGen-v0", kwargs)
    workers = gym.vector.AsyncVectorEnv([factory.single] * 2, context="spawn")
    here = factory.vector(2)
    try:
        np.testing.assert_array_equal(workers.reset(seed=4)[0], here.reset(seed=4)[0])
        for action in (1, 2, 3, 0):
            np.testing.assert_array_equal(workers.step(np.full(2, action))[0], here.step(np.full(2, action))[0])
    finally:
        workers.close()


def test_specs_are_json(tmp_path: Path) -> None:
    env = gym.make("TextGen-v0", prompts=both(tmp_path)[0], tokenizer="char", reward="exact_match")
    assert env.spec is not None
    again = gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    np.testing.assert_array_equal(env.reset(seed=3)[0], again.reset(seed=3)[0])
