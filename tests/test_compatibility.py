"""The compatibility table: every claim is tried, and a claim that does not hold is found."""

from __future__ import annotations

import importlib.metadata
from dataclasses import replace
from typing import Any

import gymnasium as gym
import pytest
from typer.testing import CliRunner

from textgym.benchmarks import compatibility
from textgym.benchmarks.compatibility import (
    FORMATS,
    NOT_HERE,
    NOT_TRIED,
    USES,
    WORKS,
    Use,
    markdown,
    table_name,
    try_all,
)
from textgym.benchmarks.compatibility_probes import LANES, ProbeError, _Counter, describe_error
from textgym.cli import app
from textgym.errors import MissingDependencyError


def fine(observation: str) -> None:
    assert observation in FORMATS


def broken(observation: str) -> None:
    raise ValueError("not today. Perhaps\n tomorrow")


def missing(observation: str) -> None:
    raise MissingDependencyError("pip install it")


USE = Use("gymnasium", "a trial", "–", True, ("tokens", "text"), fine)


@pytest.mark.parametrize("use", USES, ids=lambda use: f"{use.package}: {use.what} {use.autoreset}")
def test_every_claim_holds_in_one_of_its_formats(use: Use) -> None:
    (outcome,) = try_all([replace(use, formats=use.formats[-1:])])
    assert outcome.broken == []
    assert outcome.cells[use.formats[-1]] in (WORKS, NOT_HERE)


def test_what_does_not_work_is_told() -> None:
    works, fails, lacks = try_all([USE, replace(USE, probe=broken), replace(USE, probe=missing)])
    assert works.cells == {"tokens": WORKS, "dict": NOT_TRIED, "one_hot": NOT_TRIED, "text": WORKS}
    assert fails.cells["tokens"] == "ValueError: not today"
    assert len(fails.broken) == 2
    assert "a trial, text: ValueError: not today" in fails.broken[1]
    assert (lacks.cells["text"], lacks.broken) == (NOT_HERE, [])


def test_a_package_that_is_not_installed_is_no_failure() -> None:
    (outcome,) = try_all([replace(USE, package="no-such-package", probe=broken)])
    assert (outcome.version, outcome.cells["tokens"], outcome.broken) == ("", NOT_HERE, [])


def test_a_lost_episode_and_an_illegal_token_are_found() -> None:
    envs: Any = gym.make_vec("TextGen/Brackets-v0", num_envs=LANES, autoreset_mode="SameStep").unwrapped
    counter = _Counter(envs)
    envs.action_space.seed(0)
    envs.reset(seed=0)
    seen = 0
    for _ in range(30):
        _, _, terminated, _, _ = envs.step(envs.action_space.sample())
        seen += int(terminated.sum())
    counter.seen = seen
    counter.check(masked=False)
    with pytest.raises(ProbeError, match="illegal tokens in spite of the masks"):
        counter.check(masked=True)
    counter.seen -= 1
    with pytest.raises(ProbeError, match=f"{seen - 1} episodes seen, {seen} ended"):
        counter.check(masked=False)


def test_single_environments_are_counted_too() -> None:
    envs = [gym.make("TextGen/Brackets-v0", level="easy").unwrapped for _ in range(2)]
    counter = _Counter(*envs)
    for env in envs:
        env.reset(seed=0)
        env.step(5)  # <unk>, which nobody may write
    assert (counter.ended, counter.illegal) == (2, 2)
    with pytest.raises(ProbeError, match="0 episodes seen, 2 ended"):
        counter.check(masked=False)


def test_the_table_names_versions() -> None:
    lines = list(markdown(list(try_all([USE]))))
    version = importlib.metadata.version("gymnasium")
    assert table_name() == f"compatibility with gymnasium {version}"
    assert lines[2] == f"| gymnasium {version} | a trial | – | yes | works | – | – | works |"
    assert lines[-1].startswith("Tried on ")


def test_errors_become_one_short_line() -> None:
    assert describe_error(ValueError("a\n b. And c")) == "a b"
    assert describe_error(KeyError()) == "KeyError"
    assert len(describe_error(ValueError("x" * 500))) == 100


def test_the_command_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compatibility.try_all, "__defaults__", ((USE,),))
    good = CliRunner().invoke(app, ["bench", "compatibility", "--check"])
    assert (good.exit_code, "| a trial |" in good.output) == (0, True)
    monkeypatch.setattr(compatibility.try_all, "__defaults__", ((replace(USE, probe=broken),),))
    bad = CliRunner().invoke(app, ["bench", "compatibility", "--check"])
    assert (bad.exit_code, "BROKEN: gymnasium" in bad.output) == (1, True)
    assert CliRunner().invoke(app, ["bench", "compatibility"]).exit_code == 0
