"""Sources of prompts for the tests of streams: the same rows as a stream and in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from textgym.tokenizers import CharTokenizer

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

SIZE = 300
NAMES = {"prompt": "question", "reference": "answer"}
DIGITS = CharTokenizer("0123456789+")


def rows(size: int = SIZE) -> list[dict[str, Any]]:
    return [
        {"question": f"{n}+{n}", "answer": [str(2 * n)], "n": n, "split": "test" if n % 7 == 0 else "train"}
        for n in range(size)
    ]


def write(folder: Path, kind: str, size: int = SIZE) -> str:
    path, data = folder / f"q{size}.{kind}", rows(size)
    if kind == "parquet":
        parquet.write_table(pyarrow.Table.from_pylist(data), path)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in data), encoding="utf-8")
    else:
        lines = [f"{row['question']},{row['answer'][0]},{row['n']},{row['split']}" for row in data]
        path.write_text("\n".join(["question,answer,n,split", *lines]), encoding="utf-8")
    return str(path)


def both(folder: Path, kind: str = "parquet", size: int = SIZE) -> tuple[Any, Any]:
    """The same source, streamed and in memory."""
    spec = {"path": write(folder, kind, size), **NAMES}
    return {**spec, "stream": True}, spec
