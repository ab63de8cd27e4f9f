"""The single files: what they store is what happened, no token is illegal, and they learn."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from scripts import load_script

pytest.importorskip("torch")

import torch

PPO, DQN = "docs/examples/cleanrl_ppo.py", "docs/examples/cleanrl_dqn.py"
SMALL = {PPO: ["--num-envs", "16"], DQN: ["--learning-starts", "200", "--buffer-size", "1000"]}


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("path", [PPO, DQN])
@pytest.mark.parametrize("env_id", ["TextGen-v0", "TextGen/Brackets-v0"])
def test_no_token_is_illegal_in_training_and_in_play(path: str, env_id: str) -> None:
    script = load_script(path)
    args = script.read_args(["--env-id", env_id, "--total-steps", "1500", *SMALL[path]])
    agent, illegal = script.train(args)
    assert illegal == 0
    width, actions = next(agent.parameters()).shape[1], list(agent.parameters())[-1].shape[0]
    for token in range(actions):
        mask = np.arange(actions)[None] == token
        for deterministic in (True, False):
            assert agent.act(np.zeros((1, width), np.float32), mask, deterministic=deterministic).tolist() == [token]


@pytest.mark.parametrize("path", [PPO, DQN])
def test_the_same_seed_learns_the_same(path: str) -> None:
    script = load_script(path)
    args = script.read_args(["--total-steps", "1500", "--seed", "4", *SMALL[path]])
    one, two = (script.train(args)[0].state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_the_buffer_keeps_the_latest_transitions() -> None:
    buffer = load_script(DQN).Buffer(5, 2, 3)
    for number in range(4):
        lanes = np.array([2 * number, 2 * number + 1])
        buffer.add(np.ones((2, 2)), lanes, lanes, np.ones((2, 2)), np.ones((2, 3)), lanes % 2 == 1)
    assert buffer.count == 5
    assert sorted(buffer.actions.tolist()) == [3, 4, 5, 6, 7]
    assert (buffer.dones == buffer.actions % 2).all()
    drawn = buffer.sample(50, np.random.default_rng(0))
    assert set(drawn[1].tolist()) == {3, 4, 5, 6, 7}
    assert (drawn[1] == drawn[2]).all()


def test_the_target_takes_the_best_legal_token() -> None:
    script = load_script(DQN)
    agent, target = script.Agent(2, 3), script.Agent(2, 3)
    for network, values in ((agent, [1.0, 5.0, 2.0]), (target, [10.0, 20.0, 30.0])):
        for layer in network.network:
            if hasattr(layer, "weight"):
                torch.nn.init.zeros_(layer.weight)
                torch.nn.init.zeros_(layer.bias)
        network.network[-1].bias.data = torch.tensor(values)
    seen = torch.zeros((2, 2))
    legal = torch.tensor([[True, False, True], [True, True, True]])
    batch = [seen, torch.tensor([0, 0]), torch.tensor([0.5, 0.5]), seen, legal, torch.tensor([0.0, 1.0])]
    wanted = []
    loss = torch.nn.functional.smooth_l1_loss
    torch.nn.functional.smooth_l1_loss = lambda value, goal: wanted.extend(goal.tolist()) or loss(value, goal)
    try:
        script.update(agent, target, torch.optim.SGD(agent.parameters(), lr=0.0), batch, 1.0)
    finally:
        torch.nn.functional.smooth_l1_loss = loss
    assert wanted == [30.5, 0.5]


@pytest.mark.slow
@pytest.mark.parametrize("path", [PPO, DQN, "docs/examples/torchrl_ppo.py"])
@pytest.mark.parametrize("seed", ["0", "1", "2"])
@pytest.mark.filterwarnings("ignore:Creating .* which inherits from WeightUpdaterBase:DeprecationWarning")
def test_they_learn(path: str, seed: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if "torchrl" in path:
        pytest.importorskip("torchrl")
    script = load_script(path)
    monkeypatch.setattr("sys.argv", [path, "--seed", seed])
    if hasattr(script, "read_args"):
        script.main(script.read_args())
    else:
        script.main()
    printed = capsys.readouterr().out
    found = re.search(r"normalised (\S+), illegal tokens in training: (\d+)", printed)
    assert found is not None
    assert float(found[1]) >= 0.85
    assert found[2] == "0"
