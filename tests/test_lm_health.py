"""The log of a run, and each alarm where its signal dies."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch
from small_lms import QUICK, TINY, make_policy, write

import textgym
from textgym.agents.lm.health import ALARMS, FILE, HealthWarning, Log, describe
from textgym.agents.registry import make_agent
from textgym.errors import MissingDependencyError, TrainingError
from textgym.exact import solve

FINE = {"update": 3, "steps": 10, "texts": 8, "reward": 0.5, "reward_deviation": 0.2, "entropy": 1.0, "kl": 0.5}


def learn(envs: textgym.EnvFactory = TINY, steps: int = 300, **options: Any) -> Any:
    agent: Any = make_agent("rloo", **{**QUICK, "group": 4, **options})
    agent.learn(envs, steps)
    return agent


def test_a_healthy_row_sounds_nothing() -> None:
    log = Log()
    log.note(FINE)
    assert log.rows == [FINE]


@pytest.mark.parametrize(
    ("name", "sick", "text"),
    [
        ("entropy", {"entropy": 0.001}, "update 3: the policy has almost no entropy left .0.0010 nats"),
        ("rewards", {"reward_deviation": 0.0}, "all 8 texts of an update earned the same .0.5"),
        ("length", {"stopped_length": 1.0}, "every text of an update was cut off"),
        ("kl", {"kl": 200.0, "kl_bound": 100.0}, "200.00 nats a text away from its reference, above the bound of 100"),
        ("clipping", {"clip_fraction": 0.75}, "75% of the probability ratios were clipped"),
    ],
)
def test_each_alarm_in_plain_words_once(name: str, sick: dict[str, Any], text: str) -> None:
    log = Log()
    with pytest.warns(HealthWarning, match=text):
        log.note({**FINE, **sick})
    log.note({**FINE, **sick, "update": 4})
    assert [row["alarms"] for row in log.rows] == [[name], [name]]
    assert name in ALARMS


def alarms_of(agent: Any) -> set[str]:
    return {name for row in agent.log.rows for name in row.get("alarms", ())}


@pytest.mark.filterwarnings("ignore::textgym.agents.lm.health.HealthWarning")
def test_every_alarm_is_triggered_by_a_run() -> None:
    """The signals that alarms listen to are in the rows that algorithms write."""
    flat = textgym.EnvFactory("TextGen-v0", {"level": "tiny", "reward": one})
    short = textgym.EnvFactory("TextGen-v0", {"level": "tiny", "max_new_tokens": 2})
    hasty: Any = make_agent("grpo", **{**QUICK, "group": 4, "epochs": 8, "learning_rate": 1.0})
    hasty.learn(TINY, 300)
    assert alarms_of(learn()) == set()
    assert "rewards" in alarms_of(learn(flat))
    assert "entropy" in alarms_of(learn(temperature=1e-3))
    assert "length" in alarms_of(learn(short, texts=4))
    assert "kl" in alarms_of(learn(kl_bound=0.001, learning_rate=0.1))
    assert "clipping" in alarms_of(hasty)


def one(batch: Any) -> Any:
    return np.ones(len(batch))


def test_texts_that_cannot_end_are_no_alarm() -> None:
    agent = learn(textgym.EnvFactory("TextGen/GuessNumber-v0"), steps=800)
    assert agent.log.known["may_end"] is False
    assert learn().log.known["may_end"] is True


def test_rows_say_what_was_written() -> None:
    rollout = write(make_policy(TINY), TINY, 40)
    row = describe(rollout)
    assert row["reward"] == pytest.approx(rollout.returns.mean())
    assert row["gold"] == pytest.approx(np.mean(rollout.episodes.gold()))  # type: ignore[arg-type]
    assert row["length"] == pytest.approx(rollout.episodes.lengths.mean())
    shares = {reason: row[f"stopped_{reason}"] for reason in ("eos", "length", "stop", "illegal")}
    assert shares["eos"] == np.mean([reason == "eos" for reason in rollout.episodes.stop_reasons])
    assert sum(shares.values()) == pytest.approx(1.0)
    assert row["rollout_tokens_per_second"] > 0


def test_the_log_is_kept_without_a_folder_and_saved_with_the_agent(tmp_path: Path) -> None:
    agent = learn()
    agent.save(tmp_path / "run")
    lines = (tmp_path / "run" / FILE).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == agent.log.rows
    assert len(lines) == agent.log.rows[-1]["update"] + 1


def test_the_log_grows_line_by_line_in_the_folder(tmp_path: Path) -> None:
    log = Log(tmp_path / "run")
    for update in range(3):
        log.note({**FINE, "update": update})
        assert len((tmp_path / "run" / FILE).read_text(encoding="utf-8").splitlines()) == update + 1
    with (tmp_path / "run" / FILE).open("a", encoding="utf-8") as file:
        file.write('{"update": 3, "rew')  # where a process was killed
    again = Log(tmp_path / "run")
    again.rewind(2)
    assert [row["update"] for row in again.rows] == [0, 1]


def test_tensorboard_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    agent: Any = make_agent("rloo", tensorboard=True)
    with pytest.raises(MissingDependencyError, match=r"pip install 'textgym\[tensorboard\]'"):
        agent.keep_in(tmp_path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of packages that TensorBoard reads its files with
def test_tensorboard_gets_every_number(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = Log(tmp_path, tensorboard=True)
    log.note({**FINE, "words": "no number"})
    log.close()
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert set(found.Tags()["scalars"]) == set(FINE)
    for name, value in FINE.items():
        (event,) = found.Scalars(name)
        assert (event.step, event.value) == (10, pytest.approx(value))


@pytest.mark.parametrize("kept", [True, False])
def test_a_loss_that_is_no_number_stops_and_names_the_last_good_checkpoint(
    kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from textgym.agents.lm.reinforce import Reinforce

    agent: Any = make_agent("rloo", **{**QUICK, "group": 4, "checkpoint_every": 2})
    loss = Reinforce.loss

    def broken(self: Reinforce, scored: Any, columns: Any) -> Any:
        value, metrics = loss(self, scored, columns)
        return (value * torch.nan if len(agent.log.rows) == 3 else value), metrics

    monkeypatch.setattr(Reinforce, "loss", broken)
    if kept:
        agent.keep_in(tmp_path)
    expected = f"update 3: the loss is nan.*{tmp_path.name}.*checkpoint" if kept else "there is no checkpoint"
    with pytest.raises(TrainingError, match=expected):
        agent.learn(TINY, 900)
    weights = torch.cat([parameter.reshape(-1) for parameter in agent.policy.parameters()])
    assert torch.isfinite(weights).all()
    assert solve(TINY).policy_value(agent).mean_return < 2.0  # type: ignore[union-attr]
