"""``textgym list`` and ``textgym info``: what they say is what the environments do."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from playing import ENVS, SUITE, SUITE_IDS
from test_cli import textgym
from toys import PLAIN, Noisy, Weighted, toy
from typer.testing import CliRunner

from textgym import registration, tasks
from textgym.cli import app
from textgym.cli.facts import describe, describe_space, open_env, step_through
from textgym.errors import ConfigurationError
from textgym.exact import solve
from textgym.factory import EnvFactory
from textgym.rewards import PerText
from textgym.writing import score


def facts_of(task: Any, **kwargs: Any) -> dict[str, Any]:
    return describe(EnvFactory("TextGen-v0", {"task": task, **kwargs}))


def run(*words: str) -> str:
    """What a command prints, in this process."""
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


# ---- list ----------------------------------------------------------------------------------------------------------


def test_list_names_every_id_with_levels_tags_and_summary() -> None:
    rows = json.loads(run("list", "--json"))
    assert [row["id"] for row in rows] == registration.env_ids()
    for row in rows:
        task = tasks.get(row["task"])
        assert (row["levels"], row["level"], row["tags"]) == ([*task.levels], task.level, [*task.tags])
        assert row["summary"].startswith(task.summary)
    text = run("list")
    assert all(row["id"] in text and row["summary"] in text for row in rows)
    assert "easy*" in text
    exact = {row["task"]: row["exact"] for row in rows}
    for task in map(tasks.get, exact):
        stated = [returns for kinds in task.facts.values() for returns in kinds.values()]
        assert exact[task.name] == (stated != [] and all(returns.inexact == () for returns in stated))
    assert text.count("; returns: exact\n") == sum(row["exact"] for row in rows)
    assert (exact["Copy"], exact["Dialogue"]) == (True, False)


def test_list_names_the_suites_with_what_they_compare() -> None:
    from textgym.benchmarks.suites import SUITES

    lines = run("list").splitlines()
    below = lines[lines.index("benchmark suites, for `textgym bench run --suite NAME`:") + 1 :]
    assert [line.split()[0] for line in below] == list(SUITES)
    for line, suite in zip(below, SUITES.values(), strict=True):
        assert suite.title in line
        assert all((entry.label or entry.agent) in line for entry in suite.entries)
    assert "q_learning, dqn, ppo on TextGen-v0, 5 seeds" in below[0]


def test_list_imports_nothing_heavy() -> None:
    code = "import sys; from textgym.cli.listing import list_envs; list_envs(); print([*sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1]
    assert "'textgym.benchmarks.suites'" in loaded
    for heavy in ("torch", "stable_baselines3", "transformers", "scipy", "pandas", "reasoning_gym"):
        assert f"'{heavy}'" not in loaded


# ---- facts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SUITE_IDS)
def test_facts_of_the_suite_are_those_of_the_environments(name: str) -> None:
    env_id, kwargs = dict(zip(SUITE_IDS, SUITE, strict=True))[name]
    factory = EnvFactory(env_id, kwargs)
    facts, env, task = describe(factory), open_env(factory), factory.task()
    assert facts["action_space"] == f"Discrete({env.action_space.n})"
    assert facts["vocabulary"] == env.action_space.n
    space: Any = env.observation_space
    tokens = space["tokens"] if env.unwrapped.config.observation == "dict" else space  # large vocabularies
    assert tokens.shape == (facts["prompt_tokens"] + facts["max_new_tokens"],)
    assert facts["mask"]["legal_at_first"] == env.action_masks().sum()
    assert sum(facts["prompts"].values()) == len(task.prompts)
    assert tuple(facts["reward"]["range"]) == task.reward.range
    for row in facts["returns"]:
        returns = task.returns(row["split"], row["kind"])
        assert (row["random"], row["blind"], row["best"]) == (returns.random, returns.blind, returns.best)
        assert tuple(row["inexact"]) == returns.inexact
    assert {(row["split"], row["kind"]) for row in facts["returns"]} == {
        (split, kind)
        for split in task.prompts.splits
        for kind in (("reward", "gold") if task.gold is not None else ("reward",))
    }
    assert not facts["unknown_returns"]
    if task.partner is None and not getattr(task.reward, "stochastic", False):
        check_examples(factory, facts["example"])


def check_examples(factory: EnvFactory, example: dict[str, Any]) -> None:
    assert example["best"]["text"] == factory.task().best_text(example["prompt"])
    for written in (example["best"], example["demonstration"]):
        assert written["reward"] == pytest.approx(score(factory, [example["prompt"]], [written["text"]])[0])
    kind = "reward" if example["best"]["gold"] is None else "gold"
    best, shown = (written[kind] for written in (example["best"], example["demonstration"]))
    assert best >= shown


@pytest.mark.parametrize("name", ENVS)
def test_every_environment_can_be_described_and_shown(name: str) -> None:
    env_id, kwargs = ENVS[name]
    facts = describe(EnvFactory(env_id, kwargs), max_seconds=1e-9)
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["example"]["prompt"] in tuple(EnvFactory(env_id, kwargs).task().prompts.texts)


def test_what_the_task_does_not_state_is_solved() -> None:
    factory = EnvFactory("TextGen-v0", {"max_new_tokens": 2})
    facts = describe(factory)
    exact = {kind: solve(factory, kind=kind) for kind in ("reward", "gold")}
    assert facts["overridden"] == ["max_new_tokens"]
    assert {row["kind"]: row["best"] for row in facts["returns"]} == {k: s.optimal_return for k, s in exact.items()}
    assert {row["kind"]: row["random"] for row in facts["returns"]} == {k: s.returns.random for k, s in exact.items()}
    assert facts["example"]["best"]["text"] in exact["gold"].optimal_texts["praise the movie"]


def test_what_cannot_be_solved_has_its_reason() -> None:
    facts = facts_of(toy(reward=Weighted(), budget=30), max_new_tokens=29)
    assert not facts["returns"]
    assert "max_new_tokens was overridden" in facts["unknown_returns"]["reward"]
    assert "too large" in facts["unknown_returns"]["reward"]
    assert facts["example"]["best"] is None


def test_no_more_time_is_taken_than_allowed() -> None:
    facts = describe(EnvFactory("TextGen-v0", {"max_new_tokens": 2}), max_seconds=1e-9)
    assert "too large" in facts["unknown_returns"]["gold"]


def test_where_only_the_best_is_known_it_is_said() -> None:
    facts = describe(EnvFactory("TextGen-v0", {"level": "medium", "max_new_tokens": 7}))
    (row,) = facts["returns"]
    assert (row["kind"], row["random"], row["blind"]) == ("reward", None, None)
    assert row["best"] > 4.0
    assert "automaton" in facts["unknown_returns"]["reward"]
    assert facts["example"]["best_under"] == "reward"


def test_a_reward_that_fails_is_explained_and_ends_nothing() -> None:
    facts = describe(EnvFactory("TextGen-v0", {"level": "tiny", "reward": "exact_match"}))
    assert "no reference" in facts["unknown_returns"]["reward"]
    assert facts["example"]["best"] is None
    assert [row["kind"] for row in facts["returns"]] == ["gold"]


def test_ranges_masks_names_and_ends() -> None:
    def brevity(completion: str) -> float:
        return -float(len(completion))

    facts = facts_of(PLAIN, reward=PerText(brevity))
    assert facts["reward"]["name"] == "brevity"
    assert facts["reward"]["range"] == [None, None]
    assert facts["illegal_reward"] == -1.0
    assert facts["mask"]["fixed"]
    changing = facts_of(ENVS["toy ruled and stopping"][1]["task"])
    assert not changing["mask"]["fixed"]
    assert changing["ends"] == ["eos", "stop", "length", "illegal"]
    assert facts_of(toy(reward=Noisy()))["reward"]["stochastic"]


def test_spaces_in_one_line() -> None:
    assert describe_space(spaces.Box(0, 1, (3,), np.float32)) == "Box(0.0, 1.0, (3,), float32)"
    assert describe_space(spaces.Dict(a=spaces.Discrete(2))) == "Dict(a: Discrete(2))"
    assert describe_space(spaces.MultiDiscrete([2, 3])) == "MultiDiscrete([2 3])"
    text = spaces.Text(min_length=0, max_length=4, charset="ab")
    assert describe_space(text) == "Text(0 to 4 of 2 characters)"


def test_texts_are_stepped_as_they_would_be_written() -> None:
    env = open_env(EnvFactory("TextGen-v0", {"level": "tiny", "reward_timing": "step"}))
    written = step_through(env, 0, "was great")
    assert written["tokens"] == ["was", "great", "<eos>"]
    assert math.fsum(written["token_rewards"]) == pytest.approx(written["reward"])
    assert written["reward"] == pytest.approx(score("TextGen-v0", ["praise the movie"], ["was great"], level="tiny")[0])


def test_other_environments_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="not a textgym environment"):
        describe(EnvFactory("CartPole-v1"))


# ---- info ----------------------------------------------------------------------------------------------------------


def test_info_shows_the_facts() -> None:
    factory = EnvFactory("TextGen-v0", {"level": "medium"})
    text, task = run("info", "TextGen-v0", "--set", "level=medium"), factory.task()
    for expected in (
        "Discrete(72); 61 of 72 ids are legal, always the same",
        "MultiDiscrete([73] * 11) (tokens)",
        "16 train, 8 test; drawn from train",
        "PreferenceReward, -9.5 to 6.2, at the end of the text",
        "ReviewGold, -10 to 1",
        "eos, length, illegal (an illegal token pays -9.5)",
        f"about {task.random_return:.3f}",
        f"at least {task.blind_return:.3f}",
        f" {task.max_return:.3f}",
        task.best_text("praise the movie"),
    ):
        assert expected in text
    assert all(
        line.endswith("exact")
        for line in run("info", "TextGen-v0").splitlines()
        if line.startswith("gold  ") and "train" in line
    )


def test_info_says_what_is_missing_and_what_changes() -> None:
    text = run("info", "TextGen-v0", "--set", "level=hard", "--set", "max_new_tokens=5")
    assert "unknown" in text
    assert "too large" in text
    assert "overridden    max_new_tokens" in text
    assert "demonstration " in text


def test_texts_that_nobody_would_see_stand_in_quotes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.jsonl").write_text('{"prompt": " ", "reference": " "}\n', encoding="utf-8")
    own = ["prompts=p.jsonl", "tokenizer=char", "reward=exact_match", "max_new_tokens=1"]
    text = run("info", "TextGen-v0", *(word for setting in own for word in ("--set", setting)))
    assert 'example       " "\n' in text
    assert 'best text     " "  [length, reward 1.000]' in text


def test_info_of_an_environment_without_gold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.csv").write_text("prompt,reference\nsay hi,hi\nsay no,no\n", encoding="utf-8")
    (tmp_path / "env.json").write_text(
        '{"prompts": "p.csv", "tokenizer": "word", "max_new_tokens": 2}', encoding="utf-8"
    )
    words = ["info", "TextGen-v0", "--env-config", "env.json", "--set", "reward=exact_match"]
    text, facts = run(*words), json.loads(run(*words, "--json"))
    assert text.startswith("TextGen-v0: Texts for prompts of your own.\n")
    assert "gold          none: the reward is the true score" in text
    assert "best text     hi  [eos, reward 1.000]" in text
    assert "demonstration not known" in text
    assert facts["returns"][0]["best"] == 1.0
    assert facts["returns"][0]["blind"] == 0.5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["info", "TextGen-v0", "--set", "levl=tiny"], "Did you mean 'level'"),
        (["info", "CartPole-v1"], "not a textgym"),
    ],
)
def test_mistakes_are_one_line_and_exit_status_2(words: list[str], message: str) -> None:
    result = textgym(*words)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
