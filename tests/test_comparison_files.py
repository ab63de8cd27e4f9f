"""Files of comparisons: everything comes back, ties never become preferences, and errors name the place."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textgym.atomic import write_whole
from textgym.comparison_files import FORMATS, read_comparisons, to_rows, write_comparisons
from textgym.comparison_records import from_record, to_record
from textgym.comparisons import CHOICES, Comparison
from textgym.errors import ConfigurationError, UnknownNameError

DECIDED = [name for name, entry in FORMATS.items() if "tie" not in entry.choices]

anything = st.text(st.characters(codec="utf-8"), max_size=12)  # line ends, NUL and separators among it
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | anything,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(anything, values, max_size=3),
    max_leaves=5,
)


@st.composite
def comparisons(draw: st.DrawFn) -> Comparison:
    choice = draw(st.sampled_from(CHOICES))
    ids = st.lists(st.integers(0, 100_000), max_size=4).map(tuple)
    return Comparison(
        prompt=draw(anything),
        left=draw(anything),
        right=draw(anything),
        choice=choice,  # type: ignore[arg-type]
        strength=draw(st.sampled_from([None, 1, 2, 3])) if choice in ("left", "right") else None,
        left_ids=draw(ids),
        right_ids=draw(ids),
        pair=draw(anything),
        swapped=draw(st.booleans()),
        annotator=draw(anything),
        seconds=draw(st.none() | st.floats(0, 1e6)),
        env_id=draw(anything),
        policy=draw(anything),
        metadata=draw(st.dictionaries(anything, json_values, max_size=3)),
    )


def some(*choices: str) -> list[Comparison]:
    """One comparison for each of these choices."""
    return [
        Comparison(prompt=f"prompt {row % 2}", left=f"left {row}", right=f"right {row}", choice=choice)  # type: ignore[arg-type]
        for row, choice in enumerate(choices)
    ]


def name_of(form: str) -> str:
    return f"data{FORMATS[form].suffix}"


def write_lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


# ---- everything -----------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(st.lists(comparisons(), max_size=4))
def test_a_round_trip_changes_nothing(items: list[Comparison]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "data.jsonl"
        export = write_comparisons(path, items)
        assert (export.written, export.rows, export.left_out) == (len(items), len(items), {})
        again = read_comparisons(path)
        assert again == items
        assert [type(item.left_ids) for item in again] == [tuple] * len(items)
        content = path.read_bytes()
        write_comparisons(path, again)
        assert path.read_bytes() == content


def test_half_a_character_comes_back_too(tmp_path: Path) -> None:
    items = [Comparison(prompt="\ud83d", left="写\udc00", right="é", choice="tie")]
    write_comparisons(tmp_path / "data.jsonl", items)
    assert read_comparisons(tmp_path / "data.jsonl") == items


def test_files_are_readable_as_they_are(tmp_path: Path) -> None:
    write_comparisons(tmp_path / "data.jsonl", [Comparison(prompt="评价", left="很好", right="很坏", choice="left")])
    assert "很好" in (tmp_path / "data.jsonl").read_text(encoding="utf-8")


def test_a_record_needs_only_what_was_said() -> None:
    item = from_record({"prompt": "p", "left": "l", "right": "r", "choice": "tie"})
    assert item == Comparison(prompt="p", left="l", right="r", choice="tie")
    assert from_record(to_record(item)) == item


@pytest.mark.parametrize("metadata", [{"x": (1, 2)}, {1: "x"}, {"x": {1, 2}}, {"x": float("nan")}, {"x": object()}])
def test_metadata_that_would_not_come_back_are_refused(tmp_path: Path, metadata: Any) -> None:
    write_comparisons(tmp_path / "data.jsonl", some("left"))
    with pytest.raises(ConfigurationError, match="'the prompt'"):
        write_comparisons(
            tmp_path / "data.jsonl",
            [*some("left"), Comparison(prompt="the prompt", left="l", right="r", choice="tie", metadata=metadata)],
        )
    assert read_comparisons(tmp_path / "data.jsonl") == some("left")  # the old file is whole
    assert [path.name for path in tmp_path.iterdir()] == ["data.jsonl"]


# ---- the formats of others ------------------------------------------------------------------------------------------


def test_every_format_has_exactly_the_columns_that_it_should() -> None:
    item = some("right")
    expected = {
        "trl": [{"prompt": "prompt 0", "chosen": "right 0", "rejected": "left 0"}],
        "trl_messages": [
            {
                "prompt": [{"role": "user", "content": "prompt 0"}],
                "chosen": [{"role": "assistant", "content": "right 0"}],
                "rejected": [{"role": "assistant", "content": "left 0"}],
            }
        ],
        "unpaired": [
            {"prompt": "prompt 0", "completion": "right 0", "label": True},
            {"prompt": "prompt 0", "completion": "left 0", "label": False},
        ],
        "unpaired_messages": [
            {
                "prompt": [{"role": "user", "content": "prompt 0"}],
                "completion": [{"role": "assistant", "content": text}],
                "label": label,
            }
            for text, label in (("right 0", True), ("left 0", False))
        ],
    }
    common = {"id": 0, "model_a": "unknown", "model_b": "unknown", "prompt": "prompt 0"}
    common |= {"response_a": "left 0", "response_b": "right 0"}
    expected["arena"] = [{**common, "winner_model_a": 0, "winner_model_b": 1, "winner_tie": 0}]
    expected["arena_winner"] = [{**common, "winner": "model_b"}]
    for name, rows in expected.items():
        assert to_rows(item, name)[0] == rows
    assert set(expected) | {"jsonl"} == set(FORMATS)


@pytest.mark.parametrize("form", DECIDED)
def test_what_is_not_decided_never_becomes_a_preference(form: str, tmp_path: Path) -> None:
    items = some("left", "tie", "both_bad", "skip", "right", "tie")
    export = write_comparisons(tmp_path / name_of(form), items, form=form)
    assert export.left_out == {"both_bad": 1, "skip": 1, "tie": 2}
    assert export.written == 2
    assert export.rows == len((tmp_path / name_of(form)).read_text(encoding="utf-8").splitlines())
    assert str(export).endswith("left out: 1 both_bad, 1 skip, 2 tie")
    content = (tmp_path / name_of(form)).read_text(encoding="utf-8")
    assert not [row for row in (1, 2, 3, 5) if f"left {row}" in content or f"right {row}" in content]
    found = read_comparisons(tmp_path / name_of(form), form=form)
    assert [(item.prompt, item.chosen, item.rejected) for item in found] == [
        ("prompt 0", "left 0", "right 0"),
        ("prompt 0", "right 4", "left 4"),
    ]


@pytest.mark.parametrize("form", list(FORMATS))
@settings(deadline=None, max_examples=8)
@given(items=st.lists(comparisons(), max_size=5))
def test_whatever_a_format_holds_comes_back(form: str, items: list[Comparison]) -> None:
    items = [replace(item, pair=f"pair {row}", metadata={}) for row, item in enumerate(items)]
    kept = [item for item in items if item.choice in FORMATS[form].choices]
    with TemporaryDirectory() as folder:
        path = Path(folder) / name_of(form)
        write_comparisons(path, items, form=form)
        found = read_comparisons(path)
        if form in DECIDED:
            expected = Counter((item.prompt, item.chosen, item.rejected) for item in kept)
            ours = Counter((item.prompt, item.chosen, item.rejected) for item in found)
            if form.startswith("trl"):
                assert ours == expected
            else:  # texts of one prompt are set against each other anew
                assert sum(ours.values()) == sum(expected.values())
        else:
            shown = [(item.prompt, item.left, item.right) for item in kept]
            assert [(item.prompt, item.left, item.right) for item in found] == shown


@pytest.mark.parametrize("form", [name for name in FORMATS if name != "jsonl"])
def test_reading_and_writing_again_gives_the_same_file(form: str, tmp_path: Path) -> None:
    items = [replace(item, pair=f"p{row}", policy="ppo") for row, item in enumerate(some(*CHOICES, "right", "left"))]
    path = tmp_path / name_of(form)
    write_comparisons(path, items, form=form)
    content = path.read_bytes()
    found = read_comparisons(path)
    write_comparisons(path, found, form=form)
    assert path.read_bytes() == content
    if form.startswith("arena"):
        assert [(item.pair, item.policy) for item in found] == [(f"p{row}", "ppo") for row in (0, 1, 2, 3, 5, 6)]


def test_no_side_wins_more_often_where_sides_are_not_known(tmp_path: Path) -> None:
    items = [Comparison(prompt="p", left=f"l{row}", right=f"r{row}", choice="left") for row in range(1_000)]
    for form in ("trl", "unpaired"):
        write_comparisons(tmp_path / name_of(form), items, form=form)
        found = read_comparisons(tmp_path / name_of(form))
        assert [item.chosen for item in found] == [item.left for item in items]
        assert 430 < sum(item.choice == "left" for item in found) < 570
        assert found == read_comparisons(tmp_path / name_of(form))


# ---- trl ------------------------------------------------------------------------------------------------------------


def test_trl_rows_without_a_prompt_have_it_in_their_messages(tmp_path: Path) -> None:
    user, good, bad = (
        {"role": role, "content": text} for role, text in (("user", "hi"), ("assistant", "yo"), ("assistant", "no"))
    )
    path = write_lines(tmp_path / "data.jsonl", {"chosen": [user, good], "rejected": [user, bad], "score": 0.5})
    (item,) = read_comparisons(path)
    assert (item.prompt, item.chosen, item.rejected, item.metadata) == ("hi", "yo", "no", {"score": 0.5})


def test_prompts_of_several_messages_come_back_as_they_were(tmp_path: Path) -> None:
    prompt = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}]
    answers = {
        name: [{"role": "assistant", "content": text}] for name, text in (("chosen", "hello"), ("rejected", "go"))
    }
    path = write_lines(tmp_path / "data.jsonl", {"prompt": prompt, **answers})
    items = read_comparisons(path)
    assert items[0].prompt == "system: be kind\nuser: hi"
    write_comparisons(tmp_path / "again.jsonl", items, form="trl_messages")
    assert (tmp_path / "again.jsonl").read_text(encoding="utf-8") == path.read_text(encoding="utf-8")


def test_unpaired_texts_find_their_counterparts(tmp_path: Path) -> None:
    rows = [
        ("p", "a", True),
        ("q", "b", False),
        ("p", "c", True),
        ("p", "d", False),
        ("q", "e", True),
        ("q", "f", True),
    ]
    path = write_lines(
        tmp_path / "data.jsonl", *({"prompt": p, "completion": c, "label": label} for p, c, label in rows)
    )
    with pytest.warns(UserWarning, match="2 of 6 rows are left out: texts without one of the other label"):
        found = read_comparisons(path)
    assert [(item.prompt, item.chosen, item.rejected) for item in found] == [("p", "a", "d"), ("q", "e", "b")]


def test_csv_files_of_trl_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("prompt,chosen,rejected\np,good,bad\n", encoding="utf-8")
    (tmp_path / "texts.csv").write_text("prompt,completion,label\np,good,True\np,bad,0\n", encoding="utf-8")
    for name in ("pairs.csv", "texts.csv"):
        (item,) = read_comparisons(tmp_path / name)
        assert (item.chosen, item.rejected) == ("good", "bad")


def test_parquet_files_are_read_too(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    items = [replace(item, left_ids=(1, 2)) for item in some("left", "tie")]
    table = pyarrow.Table.from_pylist([{**to_record(item), "metadata": {"k": 1}} for item in items])
    parquet.write_table(table, tmp_path / "data.parquet")
    assert read_comparisons(tmp_path / "data.parquet") == [replace(item, metadata={"k": 1}) for item in items]


# ---- arena ----------------------------------------------------------------------------------------------------------


def test_arena_files_keep_sides_ties_and_models(tmp_path: Path) -> None:
    path = tmp_path / "arena.csv"
    path.write_text(
        "id,model_a,model_b,prompt,response_a,response_b,winner_model_a,winner_model_b,winner_tie\n"
        '30192,gpt,claude,"[""why?""]","[""because""]","[""so\\nit is""]",1,0,0\n'
        '30193,gpt,gpt,"[""how?""]","[""thus""]","[""so""]",0,0,1\n',
        encoding="utf-8",
    )
    first, second = read_comparisons(path)
    assert (first.prompt, first.left, first.right, first.choice) == ("why?", "because", "so\nit is", "left")
    assert (first.pair, first.policy) == ("30192", "gpt and claude")
    assert (second.choice, second.policy, second.metadata) == ("tie", "gpt", {})
    write_comparisons(tmp_path / "again.csv", [first.mirrored(), second], form="arena_winner")
    with (tmp_path / "again.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["model_a"], row["model_b"], row["winner"]) for row in rows] == [
        ("claude", "gpt", "model_b"),
        ("gpt", "gpt", "tie"),
    ]


def test_arena_winners_tell_bad_ties_apart(tmp_path: Path) -> None:
    items = some("left", "right", "tie", "both_bad", "skip")
    export = write_comparisons(tmp_path / "arena.csv", items, form="arena_winner")
    assert export.left_out == {"skip": 1}
    found = read_comparisons(tmp_path / "arena.csv")
    assert [item.choice for item in found] == ["left", "right", "tie", "both_bad"]
    write_comparisons(tmp_path / "arena.csv", items, form="arena")
    assert [item.choice for item in read_comparisons(tmp_path / "arena.csv")] == ["left", "right", "tie", "tie"]


def test_conversations_of_more_turns_are_counted_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "arena.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["prompt", "response_a", "response_b", "winner"])
        writer.writerow([json.dumps(["a", "b"]), json.dumps(["c", "d"]), json.dumps(["e", "f"]), "tie"])
        writer.writerow([json.dumps(["a"]), json.dumps(["c"]), json.dumps(["e"]), "model_b"])
    with pytest.warns(UserWarning, match="1 of 2 rows are left out: conversations"):
        found = read_comparisons(path)
    assert [(item.prompt, item.chosen) for item in found] == [("a", "e")]


# ---- what is wrong with a file --------------------------------------------------------------------------------------

GOOD = {"prompt": "p", "left": "l", "right": "r", "choice": "left"}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({**GOOD, "choice": "both"}, "line 2: choice='both'"),
        ({**GOOD, "choice": 1}, "line 2, column 'choice': 1; expected a text"),
        ({**GOOD, "prompt": None}, "line 2, column 'prompt': None; expected a text"),
        ({**GOOD, "left_ids": "12"}, "line 2, column 'left_ids': '12'; expected a list of token ids"),
        ({**GOOD, "right_ids": [1, 2.5]}, "line 2, column 'right_ids'"),
        ({**GOOD, "right_ids": [True]}, "line 2, column 'right_ids'"),
        ({**GOOD, "swapped": "no"}, "line 2, column 'swapped': 'no'; expected true or false"),
        ({**GOOD, "strength": "2"}, "line 2, column 'strength': '2'; expected a whole number"),
        ({**GOOD, "strength": 9}, "line 2: strength=9"),
        ({**GOOD, "seconds": -1}, "line 2: seconds=-1"),
        ({**GOOD, "metadata": []}, r"line 2, column 'metadata': \[\]; expected an object"),
        ({**GOOD, "anotator": "x"}, "line 2 'anotator'. Did you mean 'annotator'"),
        ({"prompt": "p", "left": "l", "choice": "left"}, "line 2: there is no column 'right'"),
        (["p", "l", "r"], "line 2: .*expected an object"),
    ],
)
def test_a_bad_record_is_named(row: Any, said: str, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "data.jsonl", GOOD, row)
    with pytest.raises((ConfigurationError, UnknownNameError), match=said) as caught:
        read_comparisons(path)
    assert "data.jsonl" in str(caught.value)


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ({"prompt": "p", "chosen": "c", "rejected": "r"}, {"rejected": 3}, "line 2, column 'rejected': 3"),
        ({"prompt": "p", "chosen": "c", "rejected": "r"}, {"chosen": []}, "line 2, column 'chosen'"),
        ({"prompt": "p", "chosen": "c", "rejected": "r"}, {"prompt": [1, 2]}, "line 2, column 'prompt'"),
        ({"prompt": "p", "completion": "c", "label": True}, {"label": "yes"}, "line 2, column 'label': 'yes'"),
    ],
)
def test_a_bad_row_of_trl_is_named(good: dict[str, Any], bad: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "data.jsonl", good, {**good, **bad})
    with pytest.raises(ConfigurationError, match=said):
        read_comparisons(path)


def test_a_missing_prompt_is_said(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "data.jsonl", {"chosen": "c", "rejected": "r"})
    with pytest.raises(ConfigurationError, match="line 1: there is no column 'prompt'"):
        read_comparisons(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "prompt,response_a,response_b,winner\np,a,b,model_c\n",
            "line 2, column 'winner': 'model_c'; expected 'model_a'",
        ),
        ("prompt,response_a,response_b\np,a,b\n", "line 2: there is no column 'winner_model_a'"),
        (
            "prompt,response_a,response_b,winner_model_a,winner_model_b,winner_tie\np,a,b,1,1,0\n",
            "line 2, columns .*: 1, 1, 0; expected a single 1",
        ),
        ("prompt,response_a,response_b,winner\np,a\n", "line 2: expected 4 columns"),
        ("prompt;response_a;response_b;winner\n", "expected commas"),
        ("prompt,answer\np,a\n", "answer, prompt are of no format"),
        ('prompt,response_a\np,"a\n', "not valid CSV"),
    ],
)
def test_a_bad_arena_file_is_named(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "arena.csv").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=said) as caught:
        read_comparisons(tmp_path / "arena.csv")
    assert "arena.csv" in str(caught.value)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.jsonl").write_bytes('{"prompt": "é"}'.encode("latin-1"))
    (tmp_path / "cut.jsonl").write_text('{"prompt": ', encoding="utf-8")
    (tmp_path / "folder.jsonl").mkdir()
    for name, said in (
        ("missing.jsonl", "does not exist"),
        ("folder.jsonl", "is no file"),
        ("data.pkl", "ends in .jsonl"),
        ("data.txt", "ends in .jsonl"),
        ("latin.jsonl", "not UTF-8"),
        ("cut.jsonl", "line 1: expected one JSON object"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            read_comparisons(tmp_path / name)
    (tmp_path / "empty.jsonl").write_text("\n", encoding="utf-8")
    assert read_comparisons(tmp_path / "empty.jsonl") == []


def test_formats_and_names_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="'trl'"):
        write_comparisons(tmp_path / "data.jsonl", some("left"), form="tlr")
    with pytest.raises(UnknownNameError, match="unknown format"):
        read_comparisons(write_lines(tmp_path / "data.jsonl", GOOD), form="x")
    with pytest.raises(ConfigurationError, match=r"ends in \.csv"):
        write_comparisons(tmp_path / "data.jsonl", some("left"), form="arena")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_comparisons(tmp_path / "nowhere" / "data.jsonl", some("left"))
    with pytest.raises(ConfigurationError, match="half a character"):
        write_comparisons(tmp_path / "a.csv", [replace(some("left")[0], left="\ud83d")], form="arena")


# ---- whole files ----------------------------------------------------------------------------------------------------


def test_a_file_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "note.txt"
    write_whole(path, "old\n")
    seen, move = [], os.replace

    def replace_after_a_look(scratch: Path, place: Path) -> None:
        seen.append((path.read_bytes(), Path(scratch).read_bytes()))
        move(scratch, place)

    monkeypatch.setattr("textgym.atomic.os.replace", replace_after_a_look)
    write_whole(path, "new\r\n")
    assert seen == [(b"old\n", b"new\r\n")]
    assert path.read_bytes() == b"new\r\n"


def test_nothing_is_left_behind_where_a_file_cannot_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "by a file").touch()
    with pytest.raises(ConfigurationError, match="taken"):
        write_whole(tmp_path / "taken", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
