"""Runs that die and go on end where they would have ended; what does not fit is refused."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch
from safetensors.torch import load_file
from small_lms import QUICK, TINY

import textgym
from textgym import folders
from textgym.agents.lm import checkpoints
from textgym.agents.lm.checkpoints import find_checkpoint, read_checkpoint, write_checkpoint
from textgym.agents.lm.learner import Learner
from textgym.agents.registry import make_agent
from textgym.errors import ConfigurationError

STEPS = 900
LEARNERS: dict[str, dict[str, Any]] = {
    "grpo": {"group": 4, "sft_steps": 3},
    "lm_ppo": {"top_p": 0.95, "mask_every": 3, "kl_coefficient": 0.1, "kl_target": 1.0},
    "rloo": {"group": 4, "minibatches": 2},
    "dpo": {"steps": 8, "rollouts": 2, "batch_size": 8},
}


class Killed(BaseException):
    """Nobody catches it, as nobody catches SIGKILL."""


def learner(name: str, **changes: Any) -> Any:
    return make_agent(name, seed=1, **{**QUICK, "checkpoint_every": 2, **LEARNERS[name], **changes})


def weights(agent: Learner) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in agent.ready_policy.state_dict().items()}


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def train(name: str, folder: Path, *, resume: bool, **changes: Any) -> Any:
    agent = learner(name, **changes)
    agent.keep_in(folder, resume=resume)
    agent.learn(TINY, STEPS)
    return agent


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "training.jsonl").read_text(encoding="utf-8").splitlines()]


def without_times(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if "per_second" not in name} for row in rows]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict[str, torch.Tensor], Any]]:
    found = {}
    for name in LEARNERS:
        folder = tmp_path_factory.mktemp(name)
        agent = train(name, folder, resume=False)
        found[name] = weights(agent), without_times(rows_of(folder))
    return found


@pytest.mark.parametrize("update", [1, 3, 5])
@pytest.mark.parametrize("name", LEARNERS)
def test_a_run_that_died_between_checkpoints_ends_the_same(
    name: str, update: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: Any
) -> None:
    note = checkpoints_noted(monkeypatch, dies_at=update)
    with pytest.raises(Killed):
        train(name, tmp_path, resume=True)
    monkeypatch.setattr("textgym.agents.lm.training.Trainer.finish_update", note)
    agent = train(name, tmp_path, resume=True)
    assert_same(weights(agent), undisturbed[name][0])
    assert without_times(rows_of(tmp_path)) == undisturbed[name][1]


def checkpoints_noted(monkeypatch: pytest.MonkeyPatch, dies_at: int) -> Any:
    """Lets a run die at the end of an update; returns the method as it was."""
    from textgym.agents.lm.training import Trainer

    finish = Trainer.finish_update

    def dying(self: Trainer) -> None:
        if self.update >= dies_at:
            raise Killed
        finish(self)

    monkeypatch.setattr(Trainer, "finish_update", dying)
    return finish


class Deadly:
    """Lets the process die before the n-th change of the file system."""

    def __init__(self, moment: int) -> None:
        self.left = moment

    def guard(self, function: Any) -> Any:
        def guarded(*args: Any, **kwargs: Any) -> Any:
            if self.left == 0:
                raise Killed
            self.left -= 1
            return function(*args, **kwargs)

        return guarded


def deadly(monkeypatch: pytest.MonkeyPatch, moment: int) -> Deadly:
    death = Deadly(moment)
    monkeypatch.setattr(checkpoints, "save_file", death.guard(checkpoints.save_file))
    for name in ("replace", "rmdir", "unlink"):
        monkeypatch.setattr(os, name, death.guard(getattr(os, name)))
    return death


@pytest.mark.parametrize("moment", range(0, 60, 3))
def test_whenever_it_dies_during_a_checkpoint_the_old_or_the_new_one_is_whole(
    moment: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    written = -1
    with monkeypatch.context() as patch:
        deadly(patch, moment)
        try:
            for version in range(4):
                with torch.no_grad():
                    model.weight.fill_(version)
                write_checkpoint(tmp_path, {"policy": model}, optimizer, {"version": version})
                written = version
        except Killed:
            pass
    path = find_checkpoint(tmp_path)
    assert (path is None) == (written < 0) or written < 0
    if path is not None:
        twin = torch.nn.Linear(3, 2)
        state, _ = read_checkpoint(tmp_path, {"policy": twin}, torch.optim.Adam(twin.parameters()))
        assert state["version"] in (written, written + 1)
        assert (twin.weight == state["version"]).all()
    write_checkpoint(tmp_path, {"policy": model}, optimizer, {"version": 9})  # litter is no obstacle
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["checkpoint"]


def test_a_fresh_run_forgets_the_checkpoint_of_an_earlier_one(tmp_path: Path) -> None:
    train("rloo", tmp_path, resume=False)
    assert find_checkpoint(tmp_path) is not None
    fresh = learner("rloo")
    fresh.keep_in(tmp_path)
    assert find_checkpoint(tmp_path) is None
    assert not (tmp_path / "training.jsonl").exists()


def test_resuming_where_nothing_is_begins_anew(tmp_path: Path, undisturbed: Any) -> None:
    assert_same(weights(train("rloo", tmp_path, resume=True)), undisturbed["rloo"][0])


def test_a_finished_run_that_is_resumed_stays_as_it_is(tmp_path: Path, undisturbed: Any) -> None:
    train("rloo", tmp_path, resume=False)
    assert_same(weights(train("rloo", tmp_path, resume=True)), undisturbed["rloo"][0])
    assert without_times(rows_of(tmp_path)) == undisturbed["rloo"][1]


@pytest.mark.parametrize(
    "changes", [{"learning_rate": 0.5}, {"texts": 64}, {"width": 32}, {"kl_coefficient": 1.0}], ids=str
)
def test_other_options_on_resume_are_refused_by_name(tmp_path: Path, changes: dict[str, Any]) -> None:
    train("rloo", tmp_path, resume=False)
    field, value = next(iter(changes.items()))
    with pytest.raises(ConfigurationError, match=f"{field}={value}, but the checkpoint"):
        train("rloo", tmp_path, resume=True, **changes)


def test_another_budget_seed_or_environment_is_refused_too(tmp_path: Path) -> None:
    train("rloo", tmp_path, resume=False)
    cases: list[tuple[str, Any, Any, int]] = [
        ("total_steps", learner("rloo"), TINY, STEPS + 100),
        ("seed", make_agent("rloo", seed=2, **{**QUICK, "checkpoint_every": 2, **LEARNERS["rloo"]}), TINY, STEPS),
        (
            "env.illegal_reward",
            learner("rloo"),
            textgym.EnvFactory("TextGen-v0", {**TINY.kwargs, "illegal_reward": -9.0}),
            STEPS,
        ),
    ]
    for field, agent, envs, steps in cases:
        agent.keep_in(tmp_path, resume=True)
        with pytest.raises(ConfigurationError, match=field):
            agent.learn(envs, steps)


def test_what_only_changes_the_speed_may_change(tmp_path: Path, undisturbed: Any) -> None:
    train("rloo", tmp_path, resume=False)
    agent = train("rloo", tmp_path, resume=True, checkpoint_every=1, device="cpu")
    assert_same(weights(agent), undisturbed["rloo"][0])


@pytest.mark.parametrize("file", ["policy.safetensors", "optimizer.safetensors", "state.json"])
def test_a_damaged_checkpoint_is_explained(tmp_path: Path, file: str) -> None:
    train("rloo", tmp_path, resume=False)
    (tmp_path / "checkpoint" / file).write_bytes(b"torn")
    with pytest.raises(ConfigurationError, match="does not fit this run.*begin anew"):
        train("rloo", tmp_path, resume=True)


def test_checkpoints_hold_no_pickles(tmp_path: Path) -> None:
    train("dpo", tmp_path, resume=False)
    names = {path.name for path in (tmp_path / "checkpoint").iterdir()}
    assert {name.rpartition(".")[2] for name in names} == {"safetensors", "json"}
    assert {"policy.safetensors", "reference.safetensors", "tensors.safetensors", "state.json"} <= names


# ---- processes that are killed ------------------------------------------------------------------------------------

OPTIONS: dict[str, Any] = {**QUICK, "sft_steps": 20, "group": 4, "checkpoint_every": 1}
COMMAND = [
    *(sys.executable, "-m", "textgym.cli", "train", "grpo", "--set", "level=tiny", "--steps", "3000", "--resume"),
    *(word for name, value in OPTIONS.items()
      for word in ("--option", f"{name}={value}")),
]  # fmt: skip


def run_once(folder: Path, kill_at: int | None) -> bool:
    """Trains in a process of its own; kills it when the log has so many lines. True if it ended by itself."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "80"}
    process = subprocess.Popen(
        [*COMMAND, "--save", str(folder)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    log = folder / "training.jsonl"
    while kill_at is not None and process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.02)
        if log.is_file() and log.read_bytes().count(b"\n") >= kill_at:
            process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
            break
    _, errors = process.communicate()
    if kill_at is None:
        assert process.returncode == 0, errors.decode()
    return process.returncode == 0


def check_killed_runs(tmp_path: Path, kills: list[int]) -> None:
    agent = make_agent("grpo", seed=0, **OPTIONS)
    agent.keep_in(tmp_path / "whole")  # type: ignore[attr-defined]
    agent.learn(TINY, 3000)
    agent.save(tmp_path / "whole")
    for kill_at in kills:
        run_once(tmp_path / "killed", kill_at)
    run_once(tmp_path / "killed", None)
    whole, killed = (load_file(tmp_path / run / "model" / "model.safetensors") for run in ("whole", "killed"))
    assert_same(whole, killed)
    rows = rows_of(tmp_path / "killed")
    assert without_times(rows) == without_times(rows_of(tmp_path / "whole"))
    assert [row["update"] for row in rows] == list(range(len(rows)))


@pytest.mark.slow
def test_a_process_that_is_killed_and_resumed_ends_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    check_killed_runs(tmp_path, sorted(rng.integers(1, 50, size=12).tolist()))


def test_a_process_that_is_killed_once_ends_the_same(tmp_path: Path) -> None:
    check_killed_runs(tmp_path, [7])


def test_the_folder_of_an_export_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path, scratch = tmp_path / "model", tmp_path / "new"
    for folder, content in ((path, "old"), (scratch, "new")):
        folder.mkdir()
        (folder / "file").write_text(content, encoding="utf-8")
    os.replace(path, folders.old_of(path))  # where a process died between the two renames
    found = folders.find_folder(path)
    assert found is not None
    assert (found / "file").read_text(encoding="utf-8") == "old"
    folders.replace_folder(scratch, path)
    assert (path / "file").read_text(encoding="utf-8") == "new"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["model"]
