"""Suites: what is run, with which budgets, and what it will cost."""

import math
from dataclasses import replace

import numpy as np
import pytest

from textgym import tasks
from textgym.agents.registry import AGENTS
from textgym.benchmarks.costs import (
    Cost,
    Size,
    cost_of_rest,
    duration,
    estimate,
    guess,
    measure_slowness,
    measured,
    size_of,
)
from textgym.benchmarks.forecast import Forecast
from textgym.benchmarks.ledger import Ledger
from textgym.benchmarks.meter import Meter
from textgym.benchmarks.metering import MeteredFactory
from textgym.benchmarks.records import RunResult, RunSpec
from textgym.benchmarks.runs import run
from textgym.benchmarks.suites import CORE, DIAGNOSTICS, SUITES, Entry, Suite, get_suite
from textgym.errors import BudgetSpent, ConfigurationError, UnknownNameError
from textgym.factory import EnvFactory
from textgym.writing import score

TINY = {"level": "tiny"}


def names(suite):
    return list(dict.fromkeys(entry.env_id.removeprefix("TextGen/").removesuffix("-v0") for entry in suite.entries))


def family(name):
    tags = tasks.TASKS[name].tags
    return next((tag for tag in ("diagnostic", "conversation", "puzzle") if tag in tags), "language")


def test_core_has_twelve_tasks_of_four_families_at_level_easy():
    core = get_suite("core")
    assert names(core) == list(CORE)
    assert len(CORE) == 12
    assert {family(name) for name in CORE} == {"language", "puzzle", "conversation", "diagnostic"}
    assert all(entry.env == {"level": "easy"} for entry in core.entries)
    assert len(core.entries) == 12 * len({entry.agent for entry in core.entries})
    assert len(core.seeds) == 5


def test_full_has_every_task_at_every_level():
    places = {(entry.env_id, entry.env["level"]) for entry in get_suite("full").entries}
    assert places == {
        (f"TextGen/{name}-v0", level) for name, listing in tasks.TASKS.items() for level in listing.levels
    }


def test_diagnostics_have_one_weakness_each():
    assert (
        set(names(get_suite("diagnostics")))
        == set(DIAGNOSTICS)
        == {n for n in tasks.names() if family(n) == "diagnostic"}
    )


def test_language_meets_language_models_with_the_tasks_of_core():
    language = get_suite("language")
    assert set(names(language)) == {name for name in CORE if family(name) == "language"}
    assert {"sft", "rloo", "lm_ppo"} <= {entry.agent for entry in language.entries}
    assert all("textgym.agents.lm" in AGENTS[entry.agent] for entry in language.entries)


@pytest.mark.parametrize("name", SUITES)
def test_every_suite_can_be_planned_and_its_agents_are_registered(name):
    suite = get_suite(name)
    specs = suite.specs(seeds=[0], budget=0.1)
    assert len(specs) == len(suite.entries)
    assert {spec.agent for spec in specs} <= set(AGENTS)
    assert all(spec.env_id == "TextGen-v0" or tasks.TASKS[spec.env_id[8:-3]] for spec in specs)


def test_one_factor_scales_all_budgets():
    entry = Entry(agent="uniform", steps=1000, reward_calls=300)
    suite = Suite(name="s", title="s", entries=(entry,), seeds=(0,))
    (whole,), (tenth,), (least,) = (suite.specs(budget=budget) for budget in (1.0, 0.1, 1e-9))
    assert [(s.steps, s.reward_calls) for s in (whole, tenth, least)] == [(1000, 300), (100, 30), (1, 1)]
    assert Suite(name="s", title="s", entries=(Entry(agent="uniform", steps=10),)).specs()[0].reward_calls is None
    for budget in (0, -1, math.nan, math.inf):
        with pytest.raises(ConfigurationError, match="expected a factor above 0"):
            suite.specs(budget=budget)


def test_an_agent_of_ones_own_gets_the_largest_budget_of_each_environment():
    suite = get_suite("demo")
    (spec,) = suite.specs(seeds=[0], agents=["mylab.agent:Agent"])
    assert (spec.agent, spec.label, spec.steps) == ("mylab.agent:Agent", "mylab.agent:Agent", 500_000)
    specs = get_suite("core").specs(seeds=[3], agents=["mylab.agent:Agent", "ppo"])
    assert (
        [spec.agent for spec in specs].count("ppo") == [spec.agent for spec in specs].count("mylab.agent:Agent") == 12
    )
    assert {(spec.steps, spec.reward_calls, spec.seed) for spec in specs} == {(100_000, 100_000, 3)}


def test_a_registered_agent_may_join_and_others_are_unknown():
    specs = get_suite("core").specs(seeds=[0], agents=["rloo"])
    assert {spec.agent for spec in specs} == {"rloo"}
    assert len(specs) == 12
    with pytest.raises(UnknownNameError, match="Did you mean 'rloo'"):
        get_suite("core").specs(agents=["rlooo"])


# ---- the budget of reward calls ------------------------------------------------------------------------------------


def spend(meter, lanes):
    """Ends text after text until the meter says no, and returns what it says."""
    factory = MeteredFactory.around(EnvFactory("TextGen-v0", TINY), meter)
    envs = factory.vector(lanes, autoreset_mode="SameStep")
    envs.reset(seed=0)
    try:
        for _ in range(10_000):
            envs.step(np.full(lanes, envs.eos_id))
    except BudgetSpent as error:
        return str(error)
    return ""


def test_training_ends_when_the_first_budget_is_spent():
    meter = Meter(1000, reward_calls=12)
    assert "the budget of 12 reward calls is spent (12 steps made)" in spend(meter, 4)
    assert (meter.steps, meter.reward_calls) == (12, 12)
    meter = Meter(10, reward_calls=1000)
    assert "the budget of 10 steps" in spend(meter, 5)
    assert (meter.steps, meter.reward_calls) == (10, 10)


def test_lanes_that_end_together_spend_at_most_one_call_each_too_many():
    meter = Meter(1000, reward_calls=10)
    spend(meter, 4)
    assert meter.reward_calls == 12


def test_prefixes_and_scored_texts_are_calls_too():
    meter = Meter(1000, reward_calls=5)
    envs = MeteredFactory.around(EnvFactory("TextGen-v0", TINY), meter)
    score(envs, envs.task().prompts.texts[:1] * 5, ["was great"] * 5)
    assert meter.reward_calls == 5
    with pytest.raises(BudgetSpent, match="5 reward calls"):
        envs.single().step(0)


def test_illegal_texts_are_no_calls():
    meter = Meter(40, reward_calls=10)
    envs = MeteredFactory.around(EnvFactory("TextGen-v0", TINY), meter).vector(4, autoreset_mode="SameStep")
    envs.reset(seed=0)
    unknown = envs.unwrapped.task.tokenizer.unk_id
    for _ in range(10):
        envs.step(np.full(4, unknown))
    assert (meter.steps, meter.reward_calls) == (40, 0)


def test_a_run_keeps_within_its_reward_calls(tmp_path):
    spec = RunSpec(agent="q_learning", env_id="TextGen-v0", steps=5000, reward_calls=200, seed=0, env=TINY, episodes=4)
    result = run(spec, tmp_path / "run")
    assert result.status == "ok"
    assert 200 <= result.reward_calls < 200 + 32  # its lanes
    assert result.steps < 2000


# ---- what it will cost ---------------------------------------------------------------------------------------------


def spec(label="a", *, seed=0, steps=1000, reward_calls=None, agent="uniform"):
    return RunSpec(
        agent=agent, env_id="TextGen-v0", steps=steps, seed=seed, env=TINY, label=label, reward_calls=reward_calls
    )


def done(found, *, seconds=10.0, evaluation=2.0):
    return RunResult(spec=found, status="ok", steps=found.steps, train_seconds=seconds, evaluation_seconds=evaluation)


def test_the_cost_is_judged_by_earlier_runs():
    left = [spec(seed=seed, steps=2000) for seed in range(1, 5)]
    cost = estimate(left, processes=2, earlier=[done(spec(steps=1000))])
    assert (cost.runs, cost.steps, cost.reward_calls) == (4, 8000, None)
    assert cost.seconds == pytest.approx(4 * (2 + 2 + 20) / 2)  # start, evaluation, training; two at a time
    assert "by the runs in this folder" in str(cost)
    alone = estimate(left[:1], processes=8, earlier=[done(spec(steps=1000))])
    assert alone.seconds == pytest.approx(24)  # one run does not get faster by more processes


def test_failed_runs_say_nothing_of_time():
    failed = RunResult(spec=spec(), status="failed", steps=1000, train_seconds=1e6)
    assert estimate([spec(seed=1)], processes=1, earlier=[failed], slowness=1.0).seconds < 60


def test_without_runs_it_is_a_guess_that_grows_with_steps_and_slowness():
    left = [spec(agent="ppo", steps=100_000)]
    one, slow = (estimate(left, processes=1, slowness=slowness) for slowness in (1.0, 3.0))
    more = estimate([spec(agent="ppo", steps=200_000)], processes=1, slowness=1.0)
    assert slow.seconds == pytest.approx(3 * one.seconds)
    assert more.seconds > one.seconds
    assert "rough guess" in str(one)
    assert measure_slowness() > 0


def test_the_line_says_all():
    cost = Cost(runs=36, steps=180_000, reward_calls=90_000, seconds=600, megabytes=3.4, basis="by the runs here")
    assert str(cost) == (
        "planned: 36 runs, 180,000 steps (= tokens), at most 90,000 reward calls; "
        "about 10 min (by the runs here), 3 MB on disk"
    )
    assert [duration(seconds) for seconds in (1, 5900, 36_000)] == ["1 min", "98 min", "10.0 h"]


def test_what_is_finished_costs_nothing_more(tmp_path):
    specs = [spec(seed=seed, reward_calls=500) for seed in range(3)]
    ledger = Ledger(tmp_path, specs)
    ledger.finished(done(specs[0]))
    folder = tmp_path / specs[0].folder_name
    folder.mkdir()
    (folder / "model.npz").write_bytes(b"0" * 2_000_000)
    cost = cost_of_rest(ledger, 1)
    assert (cost.runs, cost.steps, cost.reward_calls) == (2, 2000, 1000)
    assert cost.megabytes == pytest.approx(4.0)


# Seconds of a run of 100,000 tokens on an idle core of the reference machine.
SEEN = [("ppo", "Reviews", "hard", 51), ("dqn", "Reviews", "hard", 99), ("ppo", "Copy", "hard", 26),
        ("dqn", "Copy", "hard", 53), ("a2c", "Reviews", "hard", 17), ("ppo", "Reviews", "easy", 9),
        ("dqn", "Reviews", "easy", 20), ("ppo", "Noise", "hard", 9), ("ppo", "Translate", "hard", 82),
        ("dqn", "Translate", "hard", 162), ("ppo", "Recall", "hard", 60), ("dqn", "Recall", "hard", 122)]  # fmt: skip


@pytest.mark.parametrize(("agent", "task", "level", "seconds"), SEEN)
def test_the_guess_grows_with_the_environment_and_stays_within_a_factor_of_two(agent, task, level, seconds):
    run = RunSpec(agent=agent, env_id=f"TextGen/{task}-v0", steps=100_000, seed=0, env={"level": level})
    training = guess(run) - guess(replace(run, steps=0))
    assert seconds / 1.5 < training < 1.5 * seconds


def test_runs_in_a_small_environment_say_what_a_large_one_takes():
    small, large = (
        RunSpec(agent="ppo", env_id="TextGen/Copy-v0", steps=1000, seed=0, env={"level": level})
        for level in ("easy", "hard")
    )
    times = [measured([done(small, seconds=seconds)])["ppo"].seconds(large) for seconds in (10.0, 20.0)]
    assert times[0] > 20.0
    assert times[1] - times[0] == pytest.approx(times[0] - 4.0)  # but for the start and the evaluation, twice as long


def test_an_environment_that_cannot_be_made_has_a_guess_all_the_same():
    broken = RunSpec(agent="ppo", env_id="TextGen-v0", steps=1000, seed=0, env={"prompts": "nowhere.csv"})
    assert size_of(broken) == Size()
    assert size_of(spec(agent="ppo")).outputs == EnvFactory("TextGen-v0", TINY).task().tokenizer.vocab_size


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_the_time_left_is_judged_by_the_runs_of_this_session(tmp_path):
    specs = [spec(seed=seed) for seed in range(10)]
    earlier = Ledger(tmp_path, specs)
    earlier.finished(done(specs[0], seconds=1e6, evaluation=0.0))  # by another start: it says nothing
    told, clock = [], Clock()
    ledger = Ledger(tmp_path, specs, told.append)
    ledger.forecast = Forecast(ledger, clock=clock)
    assert ledger.forecast() == ""  # nothing is known yet
    clock.now = 300.0  # two at a time: the other one is half done
    ledger.progress(specs[2], 500)
    ledger.finished(done(specs[1], seconds=396.0, evaluation=2.0))
    assert told[-1].message.endswith("398 s; about 25 min left")  # 7.5 runs, a run and a half in 300 s
    assert ledger.forecast.seconds() == pytest.approx(7.5 / 1.5 * 300)
    for found in specs[2:]:
        ledger.finished(done(found))
    assert told[-1].message.endswith("12 s")


def test_an_agent_without_finished_runs_is_judged_by_the_others(tmp_path):
    specs = [spec("table", agent="q_learning", seed=seed) for seed in (0, 1)]
    specs.append(spec("net", agent="ppo", steps=100_000))
    clock = Clock()
    ledger = Ledger(tmp_path, specs)
    forecast = Forecast(ledger, clock=clock)
    clock.now = 30.0
    ledger.finished(done(specs[0], seconds=26.0, evaluation=2.0))
    slow = 30.0 / guess(specs[0])
    assert forecast.seconds() == pytest.approx(30.0 + slow * guess(specs[2]))
