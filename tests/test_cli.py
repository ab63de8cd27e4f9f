"""The command line, as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
        (["train", "uniform", "--env", "TextGen-v7"], "TextGen"),
        (["train", "uniform", "--env-config", "none.json"], "none.json"),
        (["train", "q_learning", "--option", "lanes=0"], "lanes"),
        (["train", "uniform", "--set", "prompts=none.csv"], "does not exist"),
        (["generate", "no_such_run"], "no agent"),
        (["bench", "run", "--suite", "demmo"], "demo"),
        (["bench", "report", "no_such_run"], "no_such_run"),
    ],
)
def test_mistakes_are_one_line_and_exit_status_2(words: list[str], message: str, tmp_path: Path) -> None:
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
    results = (tmp_path / "demo" / "results.jsonl").read_text(encoding="utf-8")
    assert len(results.splitlines()) == 4
    again = textgym(*words, "--budget", "0.01", "--out", out)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "demo" / "results.jsonl").read_text(encoding="utf-8") == results
    assert textgym("bench", "report", out).returncode == 0


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
    assert "is impossible: 1 is the exact best" in trained.stdout
