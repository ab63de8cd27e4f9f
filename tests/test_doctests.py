"""The examples in the docstrings, run as a reader would run them."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"textgym": ROOT / "textgym", "textgym.agents": ROOT / "agents", "textgym.benchmarks": ROOT / "benchmarks"}


def modules_with_examples() -> list[str]:
    """Names of all modules whose text has a doctest prompt."""
    names = []
    for package, folder in FOLDERS.items():
        for path in sorted(folder.rglob("*.py")):
            if ">>> " in path.read_text(encoding="utf-8"):
                parts = path.relative_to(folder).with_suffix("").parts
                names.append(".".join([package, *(part for part in parts if part != "__init__")]))
    return names


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_in_docstrings(name: str) -> None:
    module = importlib.import_module(name)
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for test in finder.find(module, name):
        if any(example.source.startswith(("import torch", "import stable_baselines3")) for example in test.examples):
            pytest.importorskip("torch")
            pytest.importorskip("stable_baselines3")
        runner.run(test)
    assert runner.summarize(verbose=False).attempted > 0
    assert runner.summarize(verbose=False).failed == 0
