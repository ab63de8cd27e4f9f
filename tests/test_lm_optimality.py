"""The share of the exact soft optimum: what it is for the reference, for the optimum, and after training."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from textgym import EnvFactory
from textgym.agents.lm import optimality
from textgym.agents.lm.exactness import Distribution
from textgym.agents.registry import make_agent
from textgym.cli import app
from textgym.errors import ConfigurationError
from textgym.exact import solve

TINY = EnvFactory("TextGen-v0", {"level": "tiny"})


@pytest.fixture(scope="module")
def trained():
    agent = make_agent("rloo", seed=0, kl_coefficient=0.2, texts=64, sft_steps=60)
    agent.learn(TINY, 6_000)
    return agent


def test_the_share_lies_between_reference_and_optimum(trained):
    found = optimality.soft_share(trained, TINY, temperature=0.2)
    assert found.reference < found.agent < found.optimum
    assert 0.2 < found.share < 1.0
    assert found.kl > 0.05


def test_the_reference_itself_has_share_0(trained):
    policy, trained.policy = trained.policy, trained.reference
    try:
        found = optimality.soft_share(trained, TINY, temperature=0.2)
    finally:
        trained.policy = policy
    assert found.share == pytest.approx(0.0, abs=1e-9)
    assert found.kl == pytest.approx(0.0, abs=1e-9)


def test_the_objective_of_the_optimum_is_that_of_its_own_policy(trained):
    """What no policy exceeds is attained by the optimal policy, measured like any other."""
    solution = solve(TINY, temperature=0.2, reference=Distribution(trained.reference))
    mine = solution.policy_value(solution.soft.policy)
    assert optimality.mean_objective(mine.mean_return, mine.kl, 0.2) == pytest.approx(solution.soft.objective, abs=1e-9)
    found = optimality.soft_share(trained, TINY, temperature=0.2)
    assert found.optimum == pytest.approx(solution.soft.objective, abs=1e-12)
    assert found.optimal_kl == pytest.approx(mine.kl, abs=1e-9)


def test_agents_without_a_reference_are_refused():
    agent = make_agent("uniform")
    with pytest.raises(ConfigurationError, match="has no reference; expected rloo"):
        optimality.soft_share(agent, TINY, temperature=0.2)


def test_the_command_prints_a_row_for_every_run(monkeypatch):
    monkeypatch.setattr(optimality, "make_agent", small)
    words = ["bench", "optimality", "--agent", "rloo", "--seeds", "2", "--steps", "3000"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    head, _, *rows = result.output.splitlines()
    assert head.startswith("| agent | seed | reference |")
    assert [row.split(" | ")[:2] for row in rows] == [["| rloo", "0"], ["| rloo", "1"]]
    shares = [float(row.split(" | ")[5]) for row in rows]
    assert np.all(np.array(shares) > 0.0)


def small(name, **options):
    return make_agent(name, **options, texts=64, sft_steps=30)


@pytest.mark.slow
@pytest.mark.parametrize("name", optimality.AGENTS)
def test_language_models_reach_the_soft_optimum(name):
    """Five seeds, the default options; the table of the docs has all numbers."""
    for seed in range(5):
        agent = make_agent(name, seed=seed, kl_coefficient=0.2)
        agent.learn(TINY, 60_000)
        assert optimality.soft_share(agent, TINY, temperature=0.2).share >= 0.93, seed
