"""The command line, as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from textgym import __version__
from textgym.cli import options


def textgym(*words: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the command in a fresh process, as a shell would."""
    command = [sys.executable, "-m", "textgym.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", cwd=folder, check=False)


def test_lists_agents_and_environments() -> None:
    agents, envs = textgym("agents"), textgym("list")
    assert agents.returncode == envs.returncode == 0
    assert {line.split()[0] for line in agents.stdout.splitlines()} >= {"uniform", "q_learning", "dqn", "ppo"}
    assert "TextGen-v0" in envs.stdout
    assert "tiny, easy" in envs.stdout


def test_help_needs_no_heavy_import() -> None:
    code = "import sys, textgym.cli; print(sorted({'torch', 'stable_baselines3', 'rich.progress'} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"


def test_train_save_generate(tmp_path: Path) -> None:
    trained = textgym(
        "train", "q_learning", "--set", "level=tiny", "--steps", "20000", "--save", "runs/q", folder=tmp_path
    )
    assert trained.returncode == 0, trained.stderr
    assert "normalised 1.000" in trained.stdout
    assert json.loads((tmp_path / "runs/q/env.json").read_text(encoding="utf-8")) == {
        "env_id": "TextGen-v0",
        "kwargs": {"level": "tiny"},
    }
    written = textgym("generate", "runs/q", "--prompt", "praise the movie", "-n", "3", "--greedy", folder=tmp_path)
    assert written.returncode == 0, written.stderr
    head, *lines = written.stdout.splitlines()
    assert head.split() == ["reward", "gold"]
    assert len(lines) == 3
    assert all(line.startswith("praise the movie > was ") for line in lines)


def test_own_csv_and_own_reward_function(tmp_path: Path) -> None:
    """A user's file and function: prompts, word tokenizer and reward from the command line alone."""
    (tmp_path / "mine.csv").write_text("text,target\nsay hi,hi\nsay no,no\n", encoding="utf-8")
    (tmp_path / "mylab.py").write_text(
        "def starts(prompt, completion, target):\n    return float(completion.startswith(target))\n", encoding="utf-8"
    )
    (tmp_path / "env.json").write_text(json.dumps({"max_new_tokens": 3}), encoding="utf-8")
    own = ["--set", "prompts=mine.csv", "--set", "tokenizer=word", "--set", "reward=mylab:starts"]
    own += ["--env-config", "env.json"]
    trained = textgym("train", "q_learning", *own, "--steps", "6000", "--save", "run", folder=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert "all prompts: reward 1.000 ± 0.000" in trained.stdout
    written = textgym("generate", "run", "--prompt", "say no", "--greedy", "-n", "1", folder=tmp_path)
    assert written.returncode == 0, written.stderr
    assert "say no > no" in written.stdout
    assert "1.000" in written.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "qlearning"], "Did you mean 'q_learning'"),
        (["train", "uniform", "--set", "levl=tiny"], "Did you mean 'level'"),
        (["train", "uniform", "--set", "level=tniy"], "Did you mean 'tiny'"),
        (["train", "uniform", "--set", "tiny"], "expected KEY=VALUE"),
        (["train", "uniform", "--set", "prompts={path:x.csv}"], "begins like JSON and is none"),
        (["train", "uniform", "--env", "TextGen-v7"], "TextGen"),
        (["info", "copy"], "Did you mean 'TextGen/Copy-v0'?"),
        (["info", "TextGen/Rhyme-v0"], "`textgym list` shows the ids; a task of your own is --set task=MODULE:TASK"),
        (["train", "uniform", "--env-config", "none.json"], "'none.json' cannot be read: No such file"),
        (
            ["train", "uniform", "--env-config", "empty.json"],
            'is no JSON; expected an object in UTF-8, such as {"level"',
        ),
        (["train", "uniform", "--env-config", "list.json"], "holds a list; expected an object"),
        (["train", "uniform", "--set", "level=[]"], "expected the name of a level"),
        (["train", "uniform", "--set", "reward=broken:f"], "'broken' cannot be imported: SyntaxError"),
        (["train", "uniform", "--set", "prompts=folder.csv"], "is no file"),
        (["generate", "list.json"], "expected the folder of an agent"),
        (["info", "TextGen-v0", "--max-new-tokens=3"], "--set max_new_tokens=VALUE"),
        (["train", "q_learning", "--option", "lanes=0"], "lanes"),
        (["train", "uniform", "--set", "prompts=none.csv"], "does not exist"),
        (["generate", "no_such_run"], "no agent"),
        (["bench", "run", "--suite", "demmo"], "demo"),
        (
            ["bench", "run", "--agent", "empty.py:Agent"],
            "expected the name of a module and not of its file: empty:NAME",
        ),
        (["bench", "run", "--timeout", "0"], "--timeout 0: expected minutes, more than 0"),
        (["bench", "report", "no_such_run"], "no_such_run"),
    ],
)
def test_mistakes_are_one_line_and_exit_status_2(words: list[str], message: str, tmp_path: Path) -> None:
    for name, text in (("empty.json", ""), ("list.json", "[1]"), ("broken.py", "def f(:")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "folder.csv").mkdir()
    result = textgym(*words, folder=tmp_path)
    assert result.returncode == 2, result.stdout
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_bench_run_prints_a_table_and_builds_a_report(tmp_path: Path) -> None:
    out = str(tmp_path / "demo")
    words = ["bench", "run", "--suite", "demo", "--agent", "uniform", "--agent", "q_learning", "--seeds", "2"]
    first = textgym(*words, "--budget", "0.01", "--out", out)
    assert first.returncode == 0, first.stderr
    assert "q_learning" in first.stdout
    report = (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")
    assert "q_learning" in report
    results = (tmp_path / "demo" / "ledger.jsonl").read_text(encoding="utf-8")
    assert len(results.splitlines()) == 4
    again = textgym(*words, "--budget", "0.01", "--out", out)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "demo" / "ledger.jsonl").read_text(encoding="utf-8") == results
    assert textgym("bench", "report", out).returncode == 0


def test_bench_run_fails_where_every_run_failed(tmp_path: Path) -> None:
    (tmp_path / "hopeless.py").write_text(
        "class Agent:\n"
        "    def __init__(self, *, seed=0): pass\n"
        "    def learn(self, envs, total_steps):\n"
        "        if total_steps != 4096: raise ValueError('no hope')\n"  # it passes the trial before the runs
        "    def act(self, observations, action_masks=None, *, deterministic=True, episode_starts=None):\n"
        "        return action_masks.argmax(axis=1)\n"
        "    def save(self, path): (path.mkdir(parents=True), (path / 'agent.json').write_text('{}'))\n"
        "    @classmethod\n"
        "    def load(cls, path): return cls()\n",
        encoding="utf-8",
    )
    words = ["bench", "run", "--suite", "demo", "--agent", "hopeless:Agent", "--seeds", "1", "--budget", "0.01"]
    alone = textgym(*words, "--out", "alone", folder=tmp_path)
    assert alone.returncode == 1
    assert "every run failed, the first because: " in alone.stderr
    assert "no hope" in alone.stderr
    beside = textgym(*words, "--agent", "uniform", "--out", "beside", folder=tmp_path)
    assert beside.returncode == 0, beside.stderr


def test_a_misspelt_suite_leaves_no_folder(tmp_path: Path) -> None:
    assert textgym("bench", "run", "--suite", "demmo", folder=tmp_path).returncode == 2
    assert not list(tmp_path.iterdir())


def test_version_is_that_of_the_package() -> None:
    assert textgym("--version").stdout.strip() == f"textgym {__version__}"


def test_a_byte_order_mark_is_no_fault_of_a_settings_file(tmp_path: Path) -> None:
    (tmp_path / "env.json").write_text('{"level": "tiny"}', encoding="utf-8-sig")
    assert options.read_settings(None, tmp_path / "env.json") == {"level": "tiny"}


@pytest.mark.parametrize("words", [["info"], ["audit"], ["play"]], ids=str)
def test_characters_that_an_output_does_not_know_are_shown_as_code_points(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("prompt,reference\n写,好\n", encoding="utf-8")
    own = ["--set", "prompts=mine.csv", "--set", "tokenizer=char", "--set", "reward=exact_match"]
    command = [sys.executable, "-m", "textgym.cli", *words, "TextGen-v0", *own, "--set", "max_new_tokens=1"]
    result = subprocess.run(
        command,
        capture_output=True,
        encoding="cp1252",
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
        input="",
        check=True,
    )
    assert "\\u5199" in result.stdout


def test_settings_read_json_values_and_later_ones_win(tmp_path: Path) -> None:
    file = tmp_path / "env.json"
    file.write_text('{"level": "easy", "max_new_tokens": 3}', encoding="utf-8")
    values = options.read_settings(["level=tiny", "gold=true", 'reward={"name": "reviews"}'], file)
    assert values == {"level": "tiny", "max_new_tokens": 3, "gold": True, "reward": {"name": "reviews"}}


def test_an_agent_of_ones_own_is_saved_and_loaded_with_trust(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "class First:\n"
        "    def __init__(self, *, seed=0): pass\n"
        "    def learn(self, envs, total_steps): envs.vector(2).reset()\n"
        "    def act(self, observations, action_masks=None, *, deterministic=True, episode_starts=None):\n"
        "        return np.argmax(action_masks, axis=1)\n"
        "    def save(self, path): pass\n"
        "    @classmethod\n"
        "    def load(cls, path): return cls()\n",
        encoding="utf-8",
    )
    trained = textgym("train", "mine:First", "--steps", "10", "--save", "runs/first", folder=tmp_path)
    assert trained.returncode == 0, trained.stderr
    refused = textgym("generate", "runs/first", folder=tmp_path)
    assert refused.returncode == 2
    assert "--trust" in refused.stderr
    written = textgym("generate", "runs/first", "--trust", "-n", "2", folder=tmp_path)
    assert written.returncode == 0, written.stderr
    assert len(written.stdout.splitlines()) == 3


def test_only_splits_that_exist_are_scored(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("prompt,split\nsay hi,train\n", encoding="utf-8")
    own = ["--set", "prompts=p.csv", "--set", "tokenizer=word", "--set", "reward=len_reward:brief"]
    (tmp_path / "len_reward.py").write_text(
        "def brief(completion):\n    return -float(len(completion))\n", encoding="utf-8"
    )
    result = textgym("train", "uniform", *own, "--steps", "200", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "train prompts" in result.stdout
    assert "test prompts" not in result.stdout


def test_a_folder_that_cannot_be_made_is_said_before_the_training(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    result = textgym("train", "uniform", "--save", "taken", folder=tmp_path)
    assert result.returncode == 2
    assert "cannot be made" in result.stderr
    assert "trained" not in result.stdout


def test_a_folder_of_tables_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    run = textgym("bench", "run", "--agent", "uniform", "--seeds", "1", "--budget", "0.02", folder=tmp_path)
    assert run.returncode == 0, run.stderr
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    result = textgym("bench", "report", "runs/demo", "--files", "taken", folder=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert "error: the folder 'taken' cannot be made" in result.stderr


def test_an_option_that_a_command_has_is_no_argument_of_the_environment(tmp_path: Path) -> None:
    result = textgym("bench", "tune", "q_learning", "--level", "tiny", "--trials", "0", folder=tmp_path)
    assert result.returncode == 2
    assert "--trials" in result.stderr
    assert "--set" not in result.stderr


def test_an_impossible_score_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "class Unlawful:\n"
        "    def __init__(self, *, seed=0): pass\n"
        "    def learn(self, envs, total_steps): pass\n"
        "    def act(self, observations, action_masks=None, *, deterministic=True, episode_starts=None):\n"
        "        return np.argmin(action_masks, axis=1)\n",
        encoding="utf-8",
    )
    settings = ["--set", "level=tiny", "--set", "illegal_reward=100", "--steps", "10"]
    trained = textgym("train", "mine:Unlawful", *settings, folder=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert "warning: a normalised reward of 28." in trained.stdout
    assert "is impossible with legal texts; illegal ones are paid 100" in trained.stdout
