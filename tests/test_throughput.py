"""The throughput benchmark: that it measures what it says. How fast is for the benchmark to say, not for a test."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from textgym import tasks
from textgym.benchmarks import throughput
from textgym.benchmarks.pages import marks_of, renew_page
from textgym.errors import ConfigurationError


def test_measures_in_turn_and_divides_round_by_round() -> None:
    calls: list[str] = []

    def fake(name: str, rates: list[float]) -> Any:
        def run(seconds: float) -> float:
            calls.append(name)
            return rates[calls.count(name) - 1]

        return run

    rates = throughput.measure(
        {"a": fake("a", [9.0, 2.0, 4.0, 12.0]), "b": fake("b", [9.0, 1.0, 4.0, 3.0])}, rounds=3, seconds=0.0
    )
    assert calls == ["a", "b"] * 4
    quotient = throughput.ratio(rates, "a", "b")
    assert (quotient.median, quotient.low, quotient.high, quotient.rate) == (2.0, 1.0, 4.0, 4.0)


def test_actions_are_legal_and_spare_the_end_when_asked() -> None:
    env: Any = gym.make_vec("TextGen-v0", num_envs=2).unwrapped
    mask = env.action_masks()[0]
    drawn = throughput._actions(env, env.single_action_space, (4000,))
    assert mask[drawn].all()
    assert env.eos_id in drawn
    spared = throughput._actions(env, env.single_action_space, (4000,), end=False)
    assert set(spared.tolist()) == set(np.flatnonzero(mask)) - {env.eos_id}


@pytest.mark.parametrize(
    "run",
    [
        lambda: throughput.single("TextGen-v0"),
        lambda: throughput.single("CartPole-v1"),
        lambda: throughput.vector("TextGen-v0", 3, native=True),
        lambda: throughput.vector("TextGen-v0", 3, native=False),
        lambda: throughput.vector("TextGen-v0", 3, native=True, end=False, max_new_tokens=32),
        lambda: throughput.vector("CartPole-v1", 3, native=True),
        lambda: throughput.growth(16, lanes=3),
    ],
)
def test_every_measurement_runs(run: Any) -> None:
    assert np.isfinite(run()(0.001))


def test_ppo_runs_through_both_adapters() -> None:
    pytest.importorskip("stable_baselines3")
    for lanes, native in ((256, True), (8, False)):
        assert throughput.ppo(lanes, native=native, rollout_only=True)(0.001) > 0


def test_no_text_is_decoded_before_an_episode_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Growth: a step in the middle of a text touches no string, whatever the length."""
    envs: Any = gym.make_vec("TextGen-v0", num_envs=4, max_new_tokens=64).unwrapped
    envs.reset(seed=0)

    def refuse(*arguments: object) -> str:
        raise AssertionError("decoded in mid-episode")

    monkeypatch.setattr(type(envs.task.tokenizer), "decode", refuse)
    actions = throughput._actions(envs, envs.single_action_space, (63, 4), end=False)
    for step in range(63):
        _, _, terminations, _, _ = envs.step(actions[step])
        assert not terminations.any()
    envs.step(actions[0])
    assert envs.last_episodes is not None
    with pytest.raises(AssertionError, match="mid-episode"):
        _ = envs.last_episodes.completions


def test_the_suite_as_a_table_names_tasks_machine_and_day() -> None:
    measured = [("Copy", throughput.Ratio(1.25, 1.0, 1.5, 2e6)), ("Noise", throughput.Ratio(0.5, 0.25, 1.0, 1e6))]
    head, _, copy, noise, blank, below = throughput.markdown(measured, rounds=7)
    assert head.count("|") == copy.count("|") == 6
    assert "1,024 lanes" in head
    assert "highest of 7" in head
    assert copy == "| Copy | puzzle, copying | 2,000,000 | 1.25 | 1.00 to 1.50 |"
    assert noise == "| Noise | diagnostic, noise | 1,000,000 | 0.50 | 0.25 to 1.00 |"
    assert blank == ""
    assert str(date.today().year) in below
    for fact in (platform.python_version(), np.__version__, gym.__version__, f"{os.cpu_count()} cores"):
        assert fact in below


def test_the_table_of_a_page_is_renewed_and_the_rest_stays(tmp_path: Path) -> None:
    page = tmp_path / "speed.md"
    begin, end = marks_of(throughput.TABLE)
    page.write_text(f"before\n{begin}\nold\n{end}\nafter é\n", encoding="utf-8")
    for lines in (["| new |"], ["| newer |", "below"]):
        renew_page(page, throughput.TABLE, lines)
        table = "\n".join(lines)
        assert page.read_text(encoding="utf-8") == f"before\n{begin}\n\n{table}\n\n{end}\nafter é\n"


def test_a_page_without_marks_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    def measure() -> Iterator[str]:
        raise AssertionError("measured")
        yield ""

    (tmp_path / "other.md").write_text("no marks\n", encoding="utf-8")
    for name in ("other.md", "missing.md"):
        with pytest.raises(ConfigurationError, match=f"{name}'?: expected a file with the lines"):
            renew_page(tmp_path / name, throughput.TABLE, measure())


def test_the_page_on_speed_has_a_place_for_the_table() -> None:
    text = (Path(__file__).parent.parent / "docs" / "speed.md").read_text(encoding="utf-8")
    begin, end = marks_of(throughput.TABLE)
    assert text.index(begin) < text.index(end)


def test_every_task_is_measured_against_cartpole() -> None:
    lines = list(throughput.suite(rounds=1, seconds=0.01, lanes=4))
    assert len(lines) == 1 + len(tasks.names())
    for name, line in zip(tasks.names(), lines[1:], strict=True):
        assert line.startswith(f"{name}, 4 lanes / CartPole-v1 native")
