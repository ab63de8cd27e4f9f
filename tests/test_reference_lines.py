"""Reference lines: what writers that need no training earn, measured once for each environment of a comparison."""

import itertools
import json

import numpy as np
import pytest

from textgym.audit import audit
from textgym.benchmarks import reference_lines
from textgym.benchmarks.comparison import compare
from textgym.benchmarks.reference_lines import (
    BEST_OF_DEMONSTRATIONS,
    BEST_OF_RANDOM,
    BLIND,
    DEGENERATE,
    DEMONSTRATIONS,
    FILE,
    NAMES,
    ORACLE,
    RANDOM,
    TEXTS,
    complete,
    measure,
    read,
)
from textgym.benchmarks.suites import Entry, Suite
from textgym.benchmarks.summary import environment_of
from textgym.errors import ConfigurationError
from textgym.factory import EnvFactory
from textgym.tasks import get

TINY = {"level": "tiny"}
EASY = EnvFactory("TextGen-v0", {"level": "easy"})


@pytest.fixture(scope="module")
def lines():
    return {(line.split, line.score, line.name): line for line in measure(EASY)}


def length(prompt, completion):
    """A reward of one's own."""
    return float(len(completion))


def test_every_split_and_score_has_every_line(lines):
    assert set(lines) == set(itertools.product(("train", "test"), ("reward", "gold"), NAMES))
    assert set(reference_lines.MEANINGS) == set(NAMES)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("score", ["reward", "gold"])
def test_random_and_blind_are_what_the_task_states(split, score, lines):
    known = get("Reviews", "easy").returns(split, score)
    assert lines[split, score, RANDOM].value == known.random
    assert lines[split, score, BLIND].value == known.blind
    assert lines[split, score, RANDOM].normalized == 0.0
    assert lines[split, score, BLIND].exact is known.is_exact("blind")


def test_the_degenerate_line_is_that_of_the_audit(lines):
    found = audit(EASY, split="train")
    line = lines["train", "gold", DEGENERATE]
    assert line.note == found.best_degenerate.writer
    assert line.value == pytest.approx(found.best_degenerate.gold)
    assert lines["train", "reward", DEGENERATE].value == pytest.approx(found.best_degenerate.reward)
    assert line.exact


def test_the_oracle_writes_the_best_text(lines):
    assert lines["train", "gold", ORACLE].normalized == pytest.approx(1.0)
    assert lines["test", "gold", ORACLE].value == pytest.approx(get("Reviews", "easy").returns("test", "gold").best)


def test_the_best_of_many_is_chosen_by_the_reward(lines):
    for split in ("train", "test"):
        value = {name: lines[split, "reward", name].value for name in NAMES}
        assert value[RANDOM] < value[BEST_OF_RANDOM] < value[ORACLE]
        assert value[DEMONSTRATIONS] < value[BEST_OF_DEMONSTRATIONS] <= value[ORACLE]
        assert value[RANDOM] < value[DEMONSTRATIONS]
    scores = reference_lines._Scores(np.array([[1.0, 3.0], [2.0, 0.0]]), np.array([[10.0, 20.0], [30.0, 99.0]]))
    assert scores.best().means() == {"reward": 2.5, "gold": 25.0}


def test_best_of_random_agrees_with_its_expectation():
    """One of four answers is right, so that the chance that one of n random texts is right is known."""
    envs = EnvFactory("TextGen/Entail-v0", {"level": "easy"})
    (line,) = [line for line in measure(envs) if line.name == BEST_OF_RANDOM and line.split == "train"]
    right = 1 - 0.75**TEXTS
    prompts = len(envs.task().prompts.rows("train"))
    assert abs(line.value - right) < 4 * np.sqrt(right * (1 - right) / prompts)


def test_a_conversation_cannot_be_taken_back():
    found = {line.name for line in measure(EnvFactory("TextGen/Dialogue-v0", {"level": "easy"}))}
    assert found == {RANDOM, BLIND, DEGENERATE, ORACLE}


def test_many_prompts_are_sampled_and_that_is_said(monkeypatch):
    monkeypatch.setattr(reference_lines, "MOST_PROMPTS", 10)
    found = [line for line in measure(EnvFactory("TextGen/Entail-v0", {"level": "easy"})) if line.split == "train"]
    notes = {line.name: line.note for line in found}
    assert notes[ORACLE] == "10 of 72 prompts"
    assert notes[RANDOM] == ""  # the task knows it
    assert not any(line.exact for line in found if line.note)


def test_the_same_seed_gives_the_same_lines():
    envs = EnvFactory("TextGen-v0", TINY)
    assert measure(envs) == measure(envs)
    values = {line.value for seed in (0, 1) for line in measure(envs, seed=seed) if line.name == BEST_OF_RANDOM}
    assert len(values) > 1


def test_a_reward_of_ones_own_has_lines_without_a_scale():
    found = measure(EnvFactory("TextGen-v0", {**TINY, "reward": length}))
    rewards = {line.name: line for line in found if line.score == "reward"}
    assert BLIND not in rewards  # nobody knows it
    assert {line.normalized for line in rewards.values()} == {None}
    assert all(line.normalized is not None for line in found if line.score == "gold" and line.name == RANDOM)


# ---- in the folder of a comparison ---------------------------------------------------------------------------------


def comparison(folder, *environments):
    entries = tuple(Entry(agent="uniform", steps=64, env=env) for env in environments)
    suite = Suite(name="small", title="small", entries=entries, seeds=(0,), episodes=10)
    return compare(suite, folder, processes=0)


def test_each_environment_is_measured_once(tmp_path):
    results = comparison(tmp_path, TINY)
    measured = []
    lines = complete(tmp_path, on_environment=measured.append)
    assert measured == [environment_of(results[0])] == ["TextGen-v0(level=tiny)"]
    assert lines == read(tmp_path)
    assert [line.name for line in lines[measured[0]] if line.score == "gold"] == list(NAMES)
    assert complete(tmp_path, on_environment=measured.append) == lines
    assert len(measured) == 1
    comparison(tmp_path, TINY, {"level": "tiny", "reward_timing": "step"})
    assert len(complete(tmp_path, on_environment=measured.append)) == 2
    assert measured[1:] == ["TextGen-v0(level=tiny, reward_timing=step)"]


def test_what_cannot_be_measured_has_no_lines(tmp_path):
    plan = {"runs": [{"agent": "uniform", "env_id": "TextGen-v0", "steps": 1, "seed": 0, "env": {"level": "huge"}}]}
    (tmp_path / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    assert complete(tmp_path) == {}
    assert read(tmp_path) == {}


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / FILE
    for content in ("{", "[]", '{"format": 1}', '{"format": 1, "environments": {"a": [{"name": 1}]}}'):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(ConfigurationError, match="holds no reference lines .* delete it"):
            read(tmp_path)
    path.write_text('{"format": 0, "environments": {"a": []}}', encoding="utf-8")
    assert read(tmp_path) == {}
