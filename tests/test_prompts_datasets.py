"""Prompts from Parquet files and Hugging Face datasets, good and broken, and the columns that a user names."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from textgym.episodes import Prompt
from textgym.errors import MissingDependencyError, PromptError
from textgym.prompts import PromptTable, load_prompts
from textgym.tokenizers import ByteTokenizer

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
datasets = pytest.importorskip("datasets")

ROWS = {"question": ["1+1", "1+2"], "answer": ["2", "3"], "level": [1, 2], "day": [date(2024, 1, 1), None]}
WANTED = [
    Prompt("1+1", ("2",), {"level": 1, "day": date(2024, 1, 1)}),
    Prompt("1+2", ("3",), {"level": 2, "day": None}),
]
NAMES = {"prompt": "question", "reference": "answer"}


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub")
    shown = datasets.utils.logging.is_progress_bar_enabled()
    datasets.disable_progress_bar()
    yield
    if shown:
        datasets.enable_progress_bar()


def write_parquet(path: Path, columns: dict[str, list[Any]]) -> str:
    parquet.write_table(pyarrow.table(columns), path)
    return str(path)


def parts(**sizes: int) -> Any:
    return datasets.DatasetDict(
        {
            part: datasets.Dataset.from_dict({"text": [f"{part} {n}" for n in range(size)]})
            for part, size in sizes.items()
        }
    )


def sides(source: Any) -> dict[str, str | None]:
    return {prompt.text: prompt.split for prompt in load_prompts(source)}


# Parquet


def test_parquet_with_named_columns(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "q.parquet", ROWS)
    assert load_prompts({"path": path, **NAMES}) == WANTED
    some = load_prompts({"path": path, **NAMES, "metadata": ["level"]})
    assert [prompt.metadata for prompt in some] == [{"level": 1}, {"level": 2}]
    assert [prompt.metadata for prompt in load_prompts({"path": path, **NAMES, "metadata": []})] == [{}, {}]


@pytest.mark.parametrize("columns", [{"prompt": ["a"], "text": ["b"]}, {"text": ["a"], "n": [1]}, {"x": ["a"]}])
def test_a_plain_parquet_path_looks_for_the_prompt(tmp_path: Path, columns: dict[str, list[Any]]) -> None:
    assert load_prompts(write_parquet(tmp_path / "q.parquet", columns))[0].text == "a"


@pytest.mark.parametrize(
    ("columns", "named", "message"),
    [
        (
            ROWS,
            {"prompt": "qestion"},
            "row 0: which column is the prompt.*'question', 'answer'.*Did you mean 'question'",
        ),
        (ROWS, {**NAMES, "metadata": ["levle"]}, "no column 'levle'; there are 'question', .*Did you mean 'level'"),
        (ROWS, {"prompt": "question", "reference": "anser"}, "no column 'anser'.*Did you mean 'answer'"),
        ({"prompt": ["a", None]}, {}, "row 1: expected a text in the column 'prompt', got nothing"),
        ({"prompt": ["a", ""]}, {}, "row 1: the prompt in the column 'prompt' is empty; fill it in"),
        ({"prompt": [["a"]]}, {}, "row 0: expected a text.*got a list.*a nested column cannot be it"),
        ({"prompt": [{"role": "user"}]}, {}, "row 0: expected a text.*got an object.*a nested column"),
        ({"prompt": ["a", "b"], "y": ["x", None]}, {"reference": "y"}, r"row 1: the answer in the column 'y' is empty"),
        ({"prompt": ["a"], "y": [""]}, {"reference": "y"}, r"row 0: the answer in the column 'y' is empty \(''\)"),
        ({"prompt": ["a"], "y": [[]]}, {"reference": "y"}, r"row 0: the answer in the column 'y' is empty \(\[\]\)"),
        ({"prompt": ["a"], "y": [[["x"]]]}, {"reference": "y"}, "row 0: expected a text or a list of them in 'y'"),
        ({"prompt": []}, {}, "q.parquet' has no prompts: expected at least one row"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_bad_parquet_columns(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    columns: dict[str, Any],
    named: dict[str, Any],
    message: str,
    stream: bool,
) -> None:
    monkeypatch.setenv("TEXTGYM_CACHE", str(tmp_path / "cache"))
    path = write_parquet(tmp_path / "q.parquet", columns)
    with pytest.raises(PromptError, match=message):
        load_prompts({"path": path, **named, "stream": stream})
    assert not list((tmp_path / "cache").glob("*"))  # nothing half written stays


@pytest.mark.parametrize(
    ("name", "content"), [("p.parquet", b""), ("p.parquet", b"prompt\na\n"), ("P.PARQUET", b"PAR1")]
)
def test_a_parquet_file_that_is_none(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PromptError, match=f"{name}' is not a Parquet file .*write it again"):
        load_prompts(tmp_path / name)


def test_a_parquet_file_with_a_damaged_middle(tmp_path: Path) -> None:
    path = Path(write_parquet(tmp_path / "p.parquet", {"prompt": [f"{n} " * 50 for n in range(100)]}))
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\xff" * 400 + content[404:])
    with pytest.raises(PromptError, match="the Parquet file is damaged after 0 rows"):
        load_prompts(path)


@pytest.mark.parametrize("name", ["rows.pkl", "rows.pt", "ROWS.PICKLE"])
def test_pickles_are_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04N.")
    with pytest.raises(
        PromptError, match="pickles are not read, since loading one runs code; save the rows as Parquet"
    ):
        load_prompts(tmp_path / name)


@pytest.mark.parametrize(
    ("package", "source"),
    [("pyarrow", "q.parquet"), ("datasets", {"dataset": "q"}), ("pyarrow", {"path": "q.csv", "stream": True})],
)
def test_a_missing_package_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, source: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    write_parquet(tmp_path / "q.parquet", {"prompt": ["a"]})
    (tmp_path / "q.csv").write_text("prompt\na\n", encoding="utf-8")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=rf"needs the package '{package}': pip install 'textgym\[data\]'"):
        load_prompts(source)


# Datasets


def test_dataset_objects_and_saved_folders(tmp_path: Path) -> None:
    data = datasets.Dataset.from_dict(ROWS)
    data.save_to_disk(tmp_path / "saved")
    for source in (data, str(tmp_path / "saved"), tmp_path / "saved"):
        assert load_prompts({"dataset": source, **NAMES}) == WANTED
    assert load_prompts({"path": str(tmp_path / "saved"), **NAMES}) == WANTED
    plain = datasets.Dataset.from_dict({"text": ["a", "b"]})
    plain.save_to_disk(tmp_path / "plain")
    assert load_prompts(plain) == load_prompts(tmp_path / "plain") == [Prompt("a"), Prompt("b")]


def test_a_folder_of_data_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "csv"  # a name that the library would take for one of its own loaders
    folder.mkdir()
    (folder / "train.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n', encoding="utf-8")
    (folder / "test.jsonl").write_text('{"text": "c"}\n', encoding="utf-8")
    assert sides(folder) == {"a": "train", "b": "train", "c": "test"}
    assert sides({"dataset": str(folder), "split": "test"}) == {"c": None}
    monkeypatch.chdir(tmp_path)
    assert sides({"dataset": "csv", "split": "test"}) == {"c": None}


def test_the_parts_of_a_dataset_are_splits(tmp_path: Path) -> None:
    two = {"train 0": "train", "train 1": "train"}
    assert sides(parts(train=2, validation=1)) == {**two, "validation 0": "test"}
    assert sides(parts(validation=1, test=1, train=2)) == {**two, "test 0": "test"}
    assert sides(parts(train=2)) == dict.fromkeys(two)
    data = parts(a=1, b=1)
    assert sides({"dataset": data, "split": {"train": "b", "test": "a"}}) == {"b 0": "train", "a 0": "test"}
    assert sides({"dataset": data, "split": {"test": "b"}}) == {"b 0": "test"}
    assert sides({"dataset": data, "split": "b"}) == {"b 0": None}
    data.save_to_disk(tmp_path / "saved")
    assert sides({"dataset": tmp_path / "saved", "split": "a"}) == {"a 0": None}
    table = PromptTable(load_prompts(parts(train=2, test=1)), ByteTokenizer())
    assert (table.rows("train").tolist(), table.rows("test").tolist()) == ([0, 1], [2])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (parts(a=1, b=1), "has the parts 'a', 'b'; say which to take"),
        (parts(train=1, unsupervised=1), "has the parts 'train', 'unsupervised'"),
        ({"dataset": parts(train=1, test=1), "split": "tset"}, "no part 'tset'; there are 'train', 'test'.*'test'?"),
        ({"dataset": parts(train=1), "split": {"dev": "train"}}, "expected a name or {'train': NAME, 'test': NAME}"),
        ({"dataset": parts(train=1), "split": 3}, "split=3; expected a name"),
        ({"dataset": parts(train=1), "split": {}}, "split={}; expected a name"),
        ({"dataset": parts(train=1)["train"], "split": "train"}, "has no parts, so split='train' names none"),
        (parts(train=1)["train"].to_iterable_dataset(), "is of the type IterableDataset, which has no rows by number"),
        ({"path": "x.csv", "split": "train"}, "expected the keys 'path' and maybe"),
        ({"path": "x.csv", "dataset": "x"}, "expected the keys 'path' and maybe"),
        ({"path": "x.csv", "stream": "yes"}, "'stream': 'yes'; expected True or False"),
        ({"path": "x.csv", "metadata": "level"}, "'metadata': 'level'; expected a list of columns"),
        ({"path": 5}, "'path': 5; expected the name of a file or folder"),
        ({"path": None}, "'path': None; expected the name of a file or folder"),
        ({"path": "x.csv", "prompt": 3}, "'prompt': 3; expected one column"),
        ({"path": "x.csv", "reference": ["a"]}, r"'reference': \['a'\]; expected one column"),
        ({"dataset": None}, "'dataset': None; expected a Dataset, a folder or a name of the hub"),
        ({"a", "b"}, r"prompts= is a set, which has no order; expected a list: sorted\(prompts\)"),
        (pyarrow.table({"prompt": ["a"]}), r"prompts= is a Table; expected a list of dicts: table.to_pylist\(\)"),
    ],
)
def test_bad_specifications(source: Any, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        load_prompts(source)


def test_a_file_is_no_dataset(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("prompt\na\n", encoding="utf-8")
    with pytest.raises(PromptError, match=r"is a file; say prompts=\{'path': "):
        load_prompts({"dataset": str(tmp_path / "x.csv")})


def test_parts_with_other_columns_are_refused() -> None:
    data = parts(train=1, test=1)
    data["test"] = data["test"].add_column("n", [1])
    with pytest.raises(PromptError, match=r"different columns, \['text'\] and \['text', 'n'\]"):
        load_prompts(data)


def test_a_hub_name_goes_to_the_hub_and_never_trusts_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    asked = []

    def load(*arguments: Any, **options: Any) -> Any:
        asked.append((arguments, options))
        return parts(train=2, validation=1)

    monkeypatch.setattr(datasets, "load_dataset", load)
    found = sides({"dataset": "someone/some", "config": "main", "split": {"train": "train", "test": "validation"}})
    assert found == {"train 0": "train", "train 1": "train", "validation 0": "test"}
    assert asked == [(("someone/some", "main"), {})]


def test_a_hub_name_offline_says_how_to_use_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)

    def load(*arguments: Any, **options: Any) -> Any:
        raise ConnectionError("Couldn't reach 'someone/some' on the Hub\nmore")

    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(PromptError) as caught:
        load_prompts({"dataset": "someone/some"})
    for part in ("Couldn't reach", "there is no such folder", "Offline", "save_to_disk(FOLDER)", "{'dataset': FOLDER}"):
        assert part in str(caught.value)
    assert "more" not in str(caught.value)


def test_folders_without_data(tmp_path: Path) -> None:
    (tmp_path / "rows.pkl").write_bytes(b"\x80\x04N.")
    for source in (tmp_path, {"dataset": str(tmp_path)}):
        with pytest.raises(PromptError, match="cannot be loaded .*expected a folder of save_to_disk, or one with CSV"):
            load_prompts(source)


# Where they are used


def test_lists_of_dicts_and_tables() -> None:
    rows = [dict(zip(ROWS, row, strict=True)) for row in zip(*ROWS.values(), strict=True)]
    assert [prompt.text for prompt in load_prompts([{"prompt": row["question"]} for row in rows])] == ["1+1", "1+2"]

    class Frame(list[str]):
        def to_dict(self) -> None: ...

    with pytest.raises(PromptError, match=r"prompts= is a Frame; expected a list of dicts: table.to_dict\('records'\)"):
        load_prompts(Frame(["prompt"]))


def test_environments_take_a_parquet_file_and_a_dataset(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "q.parquet", ROWS)
    for prompts in ({"path": path, **NAMES}, {"dataset": datasets.Dataset.from_dict(ROWS), **NAMES}):
        env = gym.make("TextGen-v0", prompts=prompts, tokenizer="char", reward="exact_match", max_new_tokens=2)
        _, info = env.reset(seed=0, options={"prompt_index": 1})
        tokenizer = env.unwrapped.task.tokenizer  # type: ignore[attr-defined]
        env.step(tokenizer.encode("3")[0])
        _, reward, terminated, _, info = env.step(tokenizer.eos_ids[0])
        assert (reward, terminated, info["prompt"], info["completion"]) == (1.0, True, "1+2", "3")
