"""``textgym new-task``: what it writes works as it stands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from textgym import tasks
from textgym.cli import app
from textgym.cli.new_task import new_task
from textgym.errors import ConfigurationError, TaskError, UnknownNameError


def test_the_files_pass_their_own_test(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["new-task", "ColourWords", "--folder", str(tmp_path / "mine")])
    assert result.exit_code == 0, result.output
    assert "task=colour_words:TASK" in result.output
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_colour_words.py"]
    ran = subprocess.run(command, cwd=tmp_path / "mine", capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
    assert "4 passed" in ran.stdout


def test_a_task_of_ones_own_is_named_by_its_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new_task("MyOwnTask", tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    task = tasks.get("my_own_task:TASK", "medium")
    assert (task.name, task.level, task.settings.words) == ("MyOwnTask", "medium", 4)
    assert not task.registered
    with pytest.raises(UnknownNameError, match="Did you mean 'TASK'"):
        tasks.get("my_own_task:TAKS")
    with pytest.raises(TaskError, match="tuple, expected a textgym Task"):
        tasks.get("my_own_task:COLOURS")
    with pytest.raises(ConfigurationError, match="task='nowhere:TASK': there is no module"):
        tasks.get("nowhere:TASK")


@pytest.mark.parametrize("name", ["two words", "Random", "class", "numpy", "Pytest", "../x", "", "9lives", "Ünï"])
def test_names_that_cannot_be_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        new_task(name, tmp_path)
    assert not [*tmp_path.iterdir()]


def test_files_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "test_rhyme.py").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="is there already"):
        new_task("Rhyme", tmp_path)
    assert (tmp_path / "test_rhyme.py").read_text(encoding="utf-8") == "mine"
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        new_task("Other", tmp_path / "file")
