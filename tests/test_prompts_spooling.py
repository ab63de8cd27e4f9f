"""Rows on their way to the disk: what is wrong with them is said as it is of rows in memory."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from streamed import DIGITS, NAMES, SIZE, both, rows

from textgym.benchmarks import resets
from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import PromptError, RewardError
from textgym.prompts import PromptTable, load_prompts
from textgym.streaming import StreamedPrompts
from textgym.tokenizers import CharTokenizer, WordTokenizer


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
