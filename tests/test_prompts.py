"""Prompts from lists and files, good and broken, and the table that environments draw from."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textgym.episodes import Prompt
from textgym.errors import PromptError, UnknownNameError
from textgym.prompts import PromptTable, from_template, load_prompts
from textgym.tokenizers import ByteTokenizer, CharTokenizer, WordTokenizer

LETTERS = CharTokenizer("abc ")


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def texts(source: Any) -> list[str]:
    return [prompt.text for prompt in load_prompts(source)]


# Lists


def test_lists_of_strings_dicts_and_prompts() -> None:
    assert load_prompts(["a", "b"]) == [Prompt("a"), Prompt("b")]
    rows = [
        {"prompt": "a", "reference": "x", "n": 1, "split": "train"},
        {"prompt": "b", "reference": ["y", "z"], "split": "test"},
    ]
    assert load_prompts(rows) == [Prompt("a", ("x",), {"n": 1}, "train"), Prompt("b", ("y", "z"), {}, "test")]
    ready = [Prompt("a"), Prompt("b")]
    assert load_prompts(tuple(ready)) == ready


def test_text_is_never_stripped() -> None:
    assert texts(["  a\n", ""]) == ["  a\n", ""]


def test_references_in_later_rows_only() -> None:
    assert [p.references for p in load_prompts([{"prompt": "a"}, {"prompt": "b", "reference": "x"}])] == [(), ("x",)]
    assert load_prompts([{"prompt": "b", "references": ["x"]}])[0].references == ("x",)


def test_an_empty_cell_is_no_reference_but_a_listed_one_is() -> None:
    rows = [{"prompt": "a", "reference": value} for value in ("", None, [], [""])]
    assert [prompt.references for prompt in load_prompts(rows)] == [(), (), (), ("",)]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (3, "expected a list, a path or a dict"),
        ([], "no prompts: expected at least one"),
        ([{"id": "1", "Text": "a"}], "'prompt': COLUMN}. Did you mean 'Text'"),
        (
            [{"prompt": "a", "split": "train"}, {"prompt": "b", "split": 3}],
            "item 1: split 3; expected 'train' or 'test'",
        ),
        ([3], "item 0: expected a text or an object"),
        (["a", None], "item 1: expected a text or an object"),
        ([{"prompt": 3}], "item 0: expected a text in the column 'prompt'"),
        ([{"prompt": "a"}, {"text": "b"}], "item 1: expected a text in the column 'prompt'"),
        ([{"prompt": "a", "reference": 3}], "item 0: expected a text or a list of them in 'reference'"),
        ([{"prompt": "a", "reference": ["x", 3]}], "item 0: expected a text or a list of them"),
        ([{"question": "a", "answer": "b"}], r"which column is the prompt\? There are 'question', 'answer'"),
        ({"file": "x.csv"}, "expected the keys 'path' and maybe"),
        ({"path": "x.csv", "promt": "q"}, "expected the keys 'path' and maybe"),
    ],
)
def test_bad_sources(source: Any, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        load_prompts(source)


def test_no_hint_where_no_column_was_asked_for() -> None:
    with pytest.raises(PromptError) as caught:
        load_prompts([{"tone": "a", "name": "b"}])
    assert "Did you mean" not in str(caught.value)


# Files


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.csv", 'prompt,n\na b,1\n"c, ""d""",2\n'),
        ("p.csv", '\ufeffprompt,n\r\na b,1\r\n"c, ""d""",2\r\n'),
        ("p.csv", 'n,text\n1,a b\n\n2,"c, ""d"""\n'),
        ("p.csv", 'anything\na b\n"c, ""d"""\n'),
        ("p.jsonl", '{"prompt": "a b", "n": 1}\n\n{"prompt": "c, \\"d\\""}\n'),
        ("p.jsonl", '\ufeff"a b"\n"c, \\"d\\""\n'),
        ("p.txt", '\ufeffa b\n\nc, "d"'),
        ("p.txt", 'a b\r\nc, "d"\r\n'),
        ("P.CSV", ' prompt , n\na b,1\n"c, ""d""",2\n'),
        ("P.Txt", 'a b\nc, "d"'),
    ],
)
def test_files(tmp_path: Path, name: str, content: str) -> None:
    path = write(tmp_path / name, content)
    assert texts(path) == texts(str(path)) == texts({"path": path}) == ["a b", 'c, "d"']


def test_columns_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "q.csv", "id,question,answer,split\n7,a,x,train\n8,b,y,test\n")
    prompts = load_prompts({"path": path, "prompt": "question", "reference": "answer"})
    assert prompts == [Prompt("a", ("x",), {"id": "7"}, "train"), Prompt("b", ("y",), {"id": "8"}, "test")]
    lines = write(
        tmp_path / "q.jsonl",
        '{"question": "a", "answer": [""], "id": 1}\n{"question": "b", "answer": ["x", "y"], "id": 2}\n',
    )
    prompts = load_prompts({"path": lines, "prompt": "question", "reference": "answer"})
    assert [(p.text, p.references, p.metadata) for p in prompts] == [
        ("a", ("",), {"id": 1}),
        ("b", ("x", "y"), {"id": 2}),
    ]


def test_every_script_survives_the_file(tmp_path: Path) -> None:
    wanted = ["好看 👩‍👩‍👧", "שלום", "e\u0301"]
    assert texts(write(tmp_path / "p.csv", "\n".join(["prompt", *wanted]))) == wanted


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.csv", "", "p.csv' has no prompts"),
        ("p.csv", "prompt\n", "p.csv' has no prompts"),
        ("p.csv", "a,b\n1,2\n", "p.csv, line 2: which column is the prompt.*'a', 'b'"),
        ("p.csv", "prompt,n\na,1\nb\n", "p.csv, line 3: expected 2 columns"),
        ("p.csv", "prompt,n\na,1\nb,2,3\n", "p.csv, line 3: expected 2 columns"),
        ("p.csv", 'prompt\na\n"b\n', "p.csv, line 3: not valid CSV"),
        ("p.csv", "prompt,split\na,train\nb,\n", "p.csv, line 3: split ''; expected 'train' or 'test'"),
        ("p.csv", "prompt,split\na,dev\n", "p.csv, line 2: split 'dev'"),
        ("p.csv", "prompt,split\na b,train\na b,test\n", "the prompt 'a b' is in both splits"),
        (
            "p.csv",
            "prompt,prompt\na,b\n",
            "line 1: two columns are called 'prompt'; give each a name of its own",
        ),
        ("p.jsonl", '{"prompt": 5}\n', "p.jsonl, line 1: expected a text in the column 'prompt', got the int 5; make"),
        ("p.csv", "prompt;split\na;train\n", "p.csv, line 1: the columns seem to be separated by ';', expected commas"),
        ("p.csv", "prompt\tsplit\na\ttrain\n", "the columns seem to be separated by '.*t', expected commas"),
        ("p.csv", b"prompt\n\xff\xfe\n", "p.csv' is not UTF-8 .*save it as UTF-8"),
        ("p.jsonl", '{"prompt": "a", "split": "tset"}\n', "p.jsonl, line 1: split 'tset'"),
        ("p.jsonl", "", "p.jsonl' has no prompts"),
        ("p.jsonl", '{"prompt": "a"}\n{"prompt": "b"\n', "p.jsonl, line 2: expected one JSON object a line"),
        ("p.jsonl", '{"prompt": "a"}\n\n["b"]\n', "p.jsonl, line 3: expected a text or an object"),
        ("p.jsonl", '{"prompt": "a"}\n{"prompt": 5}\n', "p.jsonl, line 2: expected a text in the column 'prompt'"),
        ("p.txt", " \n", "p.txt' has no prompts"),
        ("p.xlsx", "x", "expected a name that ends in .csv, .jsonl, .txt"),
    ],
)
def test_broken_files_name_the_file_the_line_and_what_was_expected(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(PromptError, match=message):
        PromptTable(load_prompts(path), ByteTokenizer())


def test_missing_files_and_columns(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="does not exist"):
        load_prompts("nowhere.csv")
    path = write(tmp_path / "p.csv", "question,answer\na,b\n")
    with pytest.raises(PromptError, match="There are 'question', 'answer'.*Did you mean 'question'"):
        load_prompts({"path": path, "prompt": "qestion"})
    with pytest.raises(PromptError, match="no column 'anwser'; there are 'question', 'answer'. Did you mean 'answer'"):
        load_prompts({"path": path, "prompt": "question", "reference": "anwser"})


# Templates


def test_templates_fill_all_combinations() -> None:
    source = {"template": "{wish} the {what}", "wish": ["praise", "pan"], "what": ["film", "plot"]}
    prompts = load_prompts(source)
    assert [prompt.text for prompt in prompts] == ["praise the film", "praise the plot", "pan the film", "pan the plot"]
    assert prompts[1].metadata == {"wish": "praise", "what": "plot"}
    assert set(source) == {"template", "wish", "what"}  # read, never changed


@pytest.mark.parametrize(
    ("template", "columns", "message"),
    [
        ("{wish} {who}", {"wish": ["a"]}, "asks for 'who'; the columns are"),
        ("{} it", {"wish": ["a"]}, "asks for"),
        ("{wish", {"wish": ["a"]}, "is broken"),
        ("{wish.x}", {"wish": ["a"]}, "is broken"),
        ("{wish}", {"wish": "praise"}, "column 'wish' is 'praise'; expected a list of texts"),
        ("{wish}", {"wish": []}, r"column 'wish' is \[\]; expected a list of texts"),
    ],
)
def test_bad_templates(template: str, columns: Any, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        from_template(template, **columns)


# The table


def test_ids_are_right_aligned_and_padded_on_the_left() -> None:
    table = PromptTable(load_prompts(["ab", "", "cab"]), LETTERS)
    assert table.ids.tolist() == [[6, 0, 1], [6, 6, 6], [2, 0, 1]]
    assert (table.width, len(table), table.texts) == (3, 3, ("ab", "", "cab"))
    assert table.ids.dtype == np.int32
    assert not table.ids.flags.writeable
    assert PromptTable(load_prompts(["ab"]), LETTERS, 4).ids.tolist() == [[6, 6, 0, 1]]
    assert PromptTable([Prompt("")], LETTERS).ids.tolist() == [[6]]  # one column at least


@given(st.lists(st.text("abc "), min_size=1, max_size=8))
def test_the_table_holds_what_the_tokenizer_says(wanted: list[str]) -> None:
    table = PromptTable(load_prompts(wanted), LETTERS)
    for row, text in zip(table.ids.tolist(), wanted, strict=True):
        ids = LETTERS.encode(text)
        assert row == [LETTERS.vocab_size] * (table.width - len(ids)) + ids


def test_a_longer_prompt_is_an_error_that_names_the_row() -> None:
    with pytest.raises(PromptError, match=r"prompt 1 \('abca'\) has 4 tokens, but max_prompt_tokens is 3"):
        PromptTable(load_prompts(["abc", "abca"]), LETTERS, 3)
    with pytest.raises(PromptError, match="no prompts"):
        PromptTable([], LETTERS)


def test_splits() -> None:
    rows = [{"prompt": text, "split": split} for text, split in (("a", "train"), ("b", "test"), ("c", "train"))]
    table = PromptTable(load_prompts(rows), LETTERS)
    assert table.has_splits
    assert {split: table.rows(split).tolist() for split in ("train", "test", "all")} == {
        "train": [0, 2], "test": [1], "all": [0, 1, 2]
    }  # fmt: skip
    with pytest.raises(UnknownNameError, match="unknown split 'tset'. Did you mean 'test'"):
        table.rows("tset")


def test_undeclared_and_empty_splits() -> None:
    table = PromptTable(load_prompts(["a", "b"]), LETTERS)
    assert not table.has_splits
    assert table.rows("all").tolist() == [0, 1]
    with pytest.raises(PromptError, match="declare no splits; add a column 'split'"):
        table.rows("train")
    with pytest.raises(PromptError, match="no prompt belongs to the split 'test'; pass split='train' or split='all'"):
        PromptTable([Prompt("a", split="train")], LETTERS).rows("test")
    with pytest.raises(PromptError, match="prompt 1: split None; expected 'train' or 'test'"):
        PromptTable([Prompt("a", split="train"), Prompt("b")], LETTERS)


def test_a_prompt_in_both_splits_is_refused() -> None:
    rows = [Prompt("a", split="train"), Prompt("b", split="train"), Prompt("b", split="test")]
    with pytest.raises(PromptError, match="the prompt 'b' is in both splits, train and test"):
        PromptTable(rows, LETTERS)
    assert len(PromptTable([*rows[:2], rows[1]], LETTERS)) == 3  # twice in one split is a weight, no leak


def test_unknown_words_are_counted_in_one_warning() -> None:
    with pytest.warns(UserWarning, match="2 of 3 prompt tokens are outside the vocabulary") as caught:
        table = PromptTable(load_prompts(["film", "good plot"]), WordTokenizer(["film"]))
    assert len(caught) == 1
    assert table.ids.tolist() == [[3, 0], [2, 2]]
    assert table.texts == ("film", "good plot")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert PromptTable(load_prompts(["好"]), ByteTokenizer()).width == 3


def test_columns_and_index() -> None:
    table = PromptTable(load_prompts([{"prompt": "a", "n": 1}, {"prompt": "b", "m": "x"}]), LETTERS)
    assert table.columns == {"n": [1, None], "m": [None, "x"]}
    assert table.column("n") == [1, None]
    with pytest.raises(UnknownNameError, match="unknown column of the prompts 'k'"):
        table.column("k")
    assert table.index_of("b") == 1
    with pytest.raises(PromptError, match="the prompt 'bb' is not one of this task's 2. Did you mean 'b'") as caught:
        table.index_of("bb")
    assert "They are 'a', 'b'. Other prompts come in through prompts= (on the command line --set" in str(caught.value)
    with pytest.raises(PromptError, match="this task's 11") as caught:
        PromptTable([Prompt("a" * n) for n in range(11)], LETTERS).index_of("b")
    assert "They are" not in str(caught.value)


def test_tables_pickle() -> None:
    table = PromptTable(load_prompts([{"prompt": "a", "n": 1}]), LETTERS)
    again = pickle.loads(pickle.dumps(table))
    assert (again.texts, again.columns, again.ids.tolist()) == (table.texts, table.columns, table.ids.tolist())


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "p.txt").write_text("a\n", encoding="utf-8")
    assert load_prompts("~/p.txt") == load_prompts({"path": "~/p.txt"}) == [Prompt("a")]
