"""Rows on their way to the disk: what is wrong with them is said as it is of rows in memory."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from streamed import DIGITS, NAMES, SIZE, both, rows

from textgym import cache as cache_module
from textgym.benchmarks import resets
from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import PromptError, RewardError
from textgym.prompts import PromptTable, load_prompts
from textgym.streaming import StreamedPrompts
from textgym.tokenizers import CharTokenizer, WordTokenizer

MAPS = Path("/proc/self/maps")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TEXTGYM_CACHE", str(tmp_path / "cache"))
    for module in ("textgym.streaming", "textgym.spooling"):
        monkeypatch.setattr(f"{module}.CHUNK", 64)
    monkeypatch.setattr("textgym.reading.BATCH", 64)
    return tmp_path / "cache"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([{"prompt": "a", "split": "train"}, {"prompt": "a", "split": "test"}], "the prompt 'a' is in both splits"),
        ([{"prompt": "a", "split": "train"}, {"prompt": "b"}], "line 2: split ''; expected 'train' or 'test'"),
        ([{"prompt": "a"}, {"prompt": "b", "split": "train"}], "line 1: split ''; expected 'train' or 'test'"),
        ([{"prompt": "a"}, {"prompt": "b", "split": "dev"}], "line 2: split 'dev'; expected"),
        ([{"prompt": "a"}, {"prompt": ""}], "line 2: the prompt in the column 'prompt' is empty"),
        ([{"prompt": "a"}, ["b"]], "line 2: expected a text or an object with named columns"),
        ([{"prompt": "a", "reference": 3}], "line 1: expected a text or a list of them in 'reference'"),
        ([{"prompt": "a\ud800"}], "the text of rows 0 to 0 cannot be kept as large_string"),
        ([], "q.jsonl' has no prompts"),
    ],
)
def test_bad_rows(tmp_path: Path, cache: Path, lines: list[Any], message: str) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    with pytest.raises(PromptError, match=message):
        load_prompts({"path": path, "stream": True})
    assert not list(cache.glob("*"))


def test_rows_of_json_need_not_have_the_same_columns(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text('{"prompt": "a", "x": {"y": [1]}}\n{"prompt": "b", "reference": "c", "z": 2}\n', encoding="utf-8")
    prompts = load_prompts({"path": path, "stream": True})
    assert isinstance(prompts, StreamedPrompts)
    assert list(prompts.columns) == ["x", "z"]
    assert [(p.text, p.references) for p in prompts] == [("a", ()), ("b", ("c",))]
    assert [list(values) for values in prompts.columns.values()] == [[{"y": [1]}, None], [None, 2]]


def test_long_prompts_and_unknown_tokens_are_told_as_in_memory(tmp_path: Path) -> None:
    prompts = load_prompts(both(tmp_path)[0])
    with pytest.raises(PromptError, match=r"prompt 100 \('100\+100'\) has 7 tokens, but max_prompt_tokens is 6"):
        PromptTable(prompts, DIGITS, 6)
    assert PromptTable(prompts, DIGITS, 9).ids[0].tolist() == [13] * 6 + [0, 10, 0]
    with pytest.warns(UserWarning, match="900 of 900 prompt tokens are outside the vocabulary") as caught:
        table = PromptTable(prompts, WordTokenizer(["none"]))
    assert len(caught) == 1
    assert len(pickle.loads(pickle.dumps(table))) == SIZE  # without a second warning


def test_datasets_are_streamed_too(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_list([{"question": row["question"], "answer": row["answer"]} for row in rows()])
    source = {
        "dataset": datasets.DatasetDict(train=data.select(range(200)), test=data.select(range(200, 300))),
        **NAMES,
    }
    streamed = load_prompts({**source, "stream": True})
    assert isinstance(streamed, StreamedPrompts)
    assert list(streamed) == list(load_prompts(source))
    assert PromptTable(streamed, DIGITS).rows("test").tolist() == list(range(200, 300))
    for split, sides in (("train", {None}), ({"train": "train"}, {"train"}), ({"test": "train"}, {"test"})):
        part = load_prompts({**source, "split": split, "stream": True})
        assert (len(part), {prompt.split for prompt in part}) == (200, sides)


def test_other_columns_are_written_anew(tmp_path: Path) -> None:
    source = both(tmp_path)[0]
    asked = [{}, {"metadata": ["n"]}, {"metadata": []}, {"prompt": "split"}, {"reference": "question"}]
    found = [load_prompts({**source, **columns}) for columns in asked]
    assert [list(prompts.columns) for prompts in found] == [["n"], ["n"], [], ["question", "n"], ["answer", "n"]]
    assert [prompts[1].text for prompts in found] == ["1+1"] * 3 + ["train", "1+1"]
    assert [prompts[1].references for prompts in found] == [("2",)] * 4 + [("1+1",)]
    assert len({prompts.folder for prompts in found}) == len(asked)


def test_whoever_writes_a_folder_first_is_kept(tmp_path: Path) -> None:
    def write(new: Path) -> None:
        (new / "who").write_text("the slower one", encoding="utf-8")
        (tmp_path / "kept").mkdir()  # by another process, meanwhile
        (tmp_path / "kept" / "who").write_text("the quicker one", encoding="utf-8")

    assert (cache_module.keep(tmp_path, "kept", write) / "who").read_text(encoding="utf-8") == "the quicker one"
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("stream", [True, False])
def test_a_prompt_is_not_its_own_reference(tmp_path: Path, stream: bool) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text('{"reference": "a", "n": 1}\n', encoding="utf-8")
    (prompt,) = load_prompts({"path": path, "prompt": "reference", "stream": stream})
    assert prompt == Prompt("a", metadata={"n": 1})


@pytest.mark.skipif(not MAPS.is_file(), reason="where else the system says what is mapped")
def test_no_file_is_held_while_its_folder_is_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows would refuse to move it."""
    held: list[str] = []
    move = cache_module._move

    def look(new: Path, folder: Path) -> None:
        assert new.is_dir()
        held.extend(line for line in MAPS.read_text(encoding="utf-8").splitlines() if str(new) in line)
        move(new, folder)

    monkeypatch.setattr(cache_module, "_move", look)
    table = PromptTable(load_prompts(both(tmp_path)[0]), DIGITS)
    assert len(table) == SIZE
    assert not held


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("TEXTGYM_CACHE", str(tmp_path / "file"))
    with pytest.raises(PromptError, match="cannot be kept in .*name a folder with room in .* TEXTGYM_CACHE"):
        load_prompts(both(tmp_path)[0])


def test_an_answer_that_a_reward_needs_is_named(tmp_path: Path) -> None:
    path = tmp_path / "q.txt"
    path.write_text("a\nb\n", encoding="utf-8")
    table = PromptTable(load_prompts({"path": path, "stream": True}), CharTokenizer("ab"))
    with pytest.raises(RewardError, match="the prompt 'b' has no reference"):
        EpisodeBatch.from_ids(table, CharTokenizer("ab"), [1], [[0]]).required_references()
    assert table.prompts[0] == Prompt("a")


def test_the_measurement_of_resets_runs() -> None:
    lines = list(resets.report(rounds=1, seconds=0.01, few=10, many=200))
    assert len(lines) == 3
    assert lines[1].startswith("200 / 10 prompts, memory, 1024 lanes")
    assert lines[2].startswith("200 / 10 prompts, disk, 1024 lanes")
