"""Tuning: a search within a stated budget, that goes on after a kill and never sees a held-out prompt."""

import builtins
import contextlib
import json
import math
import subprocess
import sys
import time
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from first_legal import FirstLegal
from typer.testing import CliRunner

from textgym.agents.registry import AGENTS, make_agent
from textgym.benchmarks import tuning
from textgym.benchmarks.agent_configs import (
    AgentConfig,
    check_options,
    check_used,
    configured,
    read_agent_config,
    read_agent_configs,
)
from textgym.benchmarks.comparison import compare, read_results
from textgym.benchmarks.leaderboard import build_leaderboard
from textgym.benchmarks.records import RunResult, RunSpec
from textgym.benchmarks.report import build_report
from textgym.benchmarks.search_spaces import NOTHING_TO_TUNE, SPACES, Choice, Range, read_range, space_of
from textgym.benchmarks.suites import SUITES, Entry, Suite
from textgym.benchmarks.trials import Trial, best_of, judge
from textgym.benchmarks.tuning import FIRST_SEED, Search, trials_left, tune
from textgym.benchmarks.tuning_notes import tuning_of, tuning_sentences
from textgym.cli import app
from textgym.errors import ConfigurationError, MissingDependencyError, TextGymError, UnknownNameError

pytest.importorskip("optuna")

BASE = {"tasks": ("Reviews",), "steps": 1024, "level": "tiny", "episodes": 10}


def search(agent="q_learning", trials=3, **changes):
    return Search(agent=agent, trials=trials, **{**BASE, **changes})


class Fragile(FirstLegal):
    """An agent that some options break; ``level`` is what it earns."""

    search_space: ClassVar = {"gain": (0.0, 1.0), "way": ["crash", "fine"]}

    def __init__(self, seed=0, gain=0.0, way="fine"):
        self.gain, self.way = gain, way

    def learn(self, envs, total_steps):
        if self.way == "crash":
            raise FloatingPointError("the loss is no number")


OWN = f"{__name__}:Fragile"


# ---- search spaces -------------------------------------------------------------------------------------------------


def ends(option):
    return option.values if isinstance(option, Choice) else (option.low, option.high)


def needs(agent):
    if agent not in ("q_learning",):
        pytest.importorskip("torch")
        pytest.importorskip("stable_baselines3")
        pytest.importorskip("sb3_contrib")
        pytest.importorskip("transformers")


def test_every_agent_that_learns_has_a_search_space():
    assert set(SPACES) == set(AGENTS) - set(NOTHING_TO_TUNE)


@pytest.mark.parametrize("agent", SPACES)
def test_ranges_are_options_of_the_agent_hold_its_defaults_and_are_accepted(agent):
    needs(agent)
    defaults = make_agent(agent).config
    for name, option in space_of(agent).items():
        default = getattr(defaults, name)
        assert option.holds(list(default) if isinstance(default, tuple) else default), (name, default)
        for value in ends(option):
            found = make_agent(agent, **{name: value}).config
            assert getattr(found, name) == value
        if isinstance(option, Range):
            assert option.is_whole == isinstance(default, int), name


def test_agents_with_one_rollout_split_it_into_whole_minibatches():
    for agent in ("ppo", "maskable_ppo"):
        space = SPACES[agent]
        rollouts = {lanes * steps for lanes in space["lanes"].values for steps in space["n_steps"].values}
        assert all(rollout % batch == 0 for rollout in rollouts for batch in space["batch_size"].values)


@pytest.mark.parametrize("value", [(1,), (2.0, 1.0), (0.0, 1.0, "log"), (0, 1, "lin"), [3], [3, 3], 7, (0.0, math.inf)])
def test_a_range_that_makes_no_sense_is_refused_with_its_name(value):
    with pytest.raises(ConfigurationError, match="search_space, gain="):
        read_range("gain", value)


def test_an_agent_of_ones_own_brings_its_space():
    assert space_of(OWN) == {"gain": Range(0.0, 1.0), "way": Choice(("crash", "fine"))}
    with pytest.raises(ConfigurationError, match="no search space; give its class the attribute search_space"):
        space_of(f"{__name__}:CliRunner")
    with pytest.raises(ConfigurationError, match="uniform learns nothing"):
        space_of("uniform")
    with pytest.raises(UnknownNameError, match="Did you mean 'q_learning'"):
        space_of("q_leaning")


# ---- searches ------------------------------------------------------------------------------------------------------


def test_a_search_keeps_its_budget_and_writes_the_best_config(tmp_path):
    told = []
    found = tune(search(seeds=2), tmp_path, processes=0, on_trial=lambda *news: told.append(news))
    assert [trial.number for trial in found.trials] == [0, 1, 2]
    assert [news[1] for news in told] == list(found.trials)
    assert found.trials[0].options == {}  # the defaults
    assert all(set(trial.options) == set(SPACES["q_learning"]) for trial in found.trials[1:])
    assert found.best.value == max(trial.value for trial in found.trials)
    assert all(0 < trial.steps <= 2 * 1024 for trial in found.trials)
    data = json.loads(found.file.read_text(encoding="utf-8"))
    assert (data["agent"], data["config"]) == ("q_learning", found.best.options)
    budget = data["tuning"]
    assert budget["tokens"] == budget["reward_calls"] == search(seeds=2).tokens == 3 * 1024 * 2
    assert budget["tokens_spent"] == sum(trial.steps for trial in found.trials) <= budget["tokens"]
    assert budget["reward_calls_spent"] == sum(trial.reward_calls for trial in found.trials) > 0
    assert (budget["trials"], budget["failed"], budget["tasks"], budget["level"]) == (3, 0, ["Reviews"], "tiny")
    assert (budget["score"], budget["default_score"]) == (found.best.value, found.trials[0].value)


def test_it_looks_at_training_prompts_and_at_seeds_of_its_own_alone(tmp_path):
    found = tune(search(trials=2, seeds=2, level="easy"), tmp_path, processes=0)
    runs = [run for trial in found.trials for run in read_results(tmp_path / "q_learning" / trial.folder)]
    assert {run.spec.seed for run in runs} == {FIRST_SEED, FIRST_SEED + 1}
    assert all(max(suite.seeds) < FIRST_SEED for suite in SUITES.values())
    assert {measure.split for run in runs for measure in run.measures} == {"train"}
    assert all("held_out" not in run.texts for run in runs)
    gold = [[run.measure("greedy", "train", "gold").normalized for run in runs[place : place + 2]] for place in (0, 2)]
    assert [trial.value for trial in found.trials] == pytest.approx([sum(pair) / 2 for pair in gold])


def test_leaving_out_held_out_prompts_is_part_of_the_key_and_keys_of_old_runs_stay():
    one = RunSpec(agent="uniform", env_id="TextGen-v0", steps=10, seed=0)
    assert "held_out" not in one.parts()
    assert replace(one, held_out=False).key != one.key
    assert replace(one, tuning={"trials": 3}).key == one.key  # how a config was found decides nothing


def test_it_goes_on_as_an_undisturbed_search_would(tmp_path, monkeypatch):
    whole = tune(search(trials=4), tmp_path / "whole", processes=0)
    made, real = [], tuning.compare

    def killed(suite, out, **options):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(out.name)
        return real(suite, out, **options)

    monkeypatch.setattr(tuning, "compare", killed)
    with pytest.raises(KeyboardInterrupt):
        tune(search(trials=4), tmp_path / "killed", processes=0)
    state = json.loads((tmp_path / "killed" / "q_learning" / "search.json").read_text(encoding="utf-8"))
    assert [trial["state"] for trial in state["trials"]] == ["ok", "ok", "running"]
    monkeypatch.setattr(tuning, "compare", real)
    told = []
    again = tune(search(trials=4), tmp_path / "killed", processes=0, on_trial=lambda s, trial, b: told.append(trial))
    assert [trial.number for trial in told] == [2, 3]  # the one that was at work is made again
    assert [(t.options, t.value) for t in again.trials] == [(t.options, t.value) for t in whole.trials]
    more = tune(search(trials=5), tmp_path / "killed", processes=0)
    assert more.trials[:4] == again.trials
    assert len(more.trials) == 5


def test_another_search_in_the_same_folder_is_refused_and_named(tmp_path):
    tune(search(trials=1), tmp_path, processes=0)
    with pytest.raises(ConfigurationError, match=r"another search: steps was 1024, now 512\. Go on"):
        tune(search(trials=1, steps=512), tmp_path, processes=0)
    assert len(tune(search(trials=1, steps=512), tmp_path, processes=0, resume=False).trials) == 1
    assert (tmp_path / "q_learning-1" / "search.json").is_file()
    (tmp_path / "q_learning" / "search.json").write_text('{"plan": ', encoding="utf-8")
    with pytest.raises(ConfigurationError, match="is damaged"):
        tune(search(trials=1, steps=512), tmp_path, processes=0)


def test_a_budget_does_not_shrink_afterwards(tmp_path):
    tune(search(trials=3), tmp_path, processes=0)
    for ask in (lambda: tune(search(trials=2), tmp_path, processes=0), lambda: trials_left(search(trials=2), tmp_path)):
        with pytest.raises(ConfigurationError, match=r"trials=2: .* holds 3 already; ask for at least as many"):
            ask()
    assert json.loads((tmp_path / "q_learning" / "best.json").read_text(encoding="utf-8"))["tuning"]["trials"] == 3


def test_a_trial_that_crashes_is_recorded_and_the_search_goes_on(tmp_path):
    found = tune(search(OWN, trials=4, steps=64, seed=1), tmp_path, processes=0)
    states = {trial.options.get("way", "fine"): trial.state for trial in found.trials}
    assert states == {"crash": "failed", "fine": "ok"}
    broken = next(trial for trial in found.trials if trial.state == "failed")
    assert broken.value is None
    assert "FloatingPointError: the loss is no number" in broken.error
    assert found.best.state == "ok"
    budget = json.loads(found.file.read_text(encoding="utf-8"))["tuning"]
    assert budget["failed"] == sum(trial.state == "failed" for trial in found.trials)


def test_if_every_trial_fails_there_is_no_best(tmp_path):
    found = tune(search(trials=2, steps=4), tmp_path, processes=0)  # fewer steps than lanes
    assert found.best is found.file is None
    assert [trial.state for trial in found.trials] == ["failed", "failed"]


def test_a_trial_counts_every_task_the_same():
    def run(task, seed, value, status="ok"):
        spec = RunSpec(agent="a", env_id=f"TextGen/{task}-v0", steps=10, seed=seed)
        measure = {"play": "greedy", "split": "all", "score": "reward", "mean": 0.0, "standard_error": 0.0, "n": 1}
        record = {"spec": {**spec.parts()}, "status": status, "task": task, "training_split": "all"}
        return RunResult.from_json(json.dumps({**record, "measures": [{**measure, "normalized": value}]}))

    trial = Trial(number=1, options={})
    found = judge(trial, [run("A", 0, 0.2), run("A", 1, 0.4), run("B", 0, 0.9)])
    assert found.value == pytest.approx((0.3 + 0.9) / 2)
    assert found.scores == pytest.approx({"A": 0.3, "B": 0.9})
    with pytest.raises(ConfigurationError, match="random and best reward are not known"):
        judge(trial, [run("A", 0, None)])
    one, other = replace(found, number=4), replace(found, number=2)
    assert best_of([one, other]).number == 2  # the earliest of equals
    assert best_of([judge(trial, [run("A", 0, 0.2, status="failed")])]) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 0}, "trials=0"),
        ({"steps": 0}, "steps=0"),
        ({"seed": -1}, "seed=-1: expected a whole number of at least 0"),
        ({"tasks": ()}, "tasks="),
        ({"tasks": ("Copy", "Copy")}, "each once"),
        ({"tasks": ("Coppy",)}, "Did you mean 'Copy'"),
        ({"level": "tniy"}, "Did you mean 'tiny'"),
        ({"agent": "frozen_lm"}, "nothing to tune"),
    ],
)
def test_what_makes_no_search_is_refused(changes, message):
    with pytest.raises(TextGymError, match=message):
        search(**{"trials": 2, **changes})


def test_without_optuna_the_error_names_the_line_for_pip(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **options):
        if name.partition(".")[0] == "optuna":
            raise ImportError(name=name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependencyError, match=r"pip install 'textgym\[tune\]'"):
        tune(search(), tmp_path, processes=0)


# ---- what is done with the result ----------------------------------------------------------------------------------


def test_a_report_tells_with_which_budget_each_agent_was_tuned(tmp_path):
    best = tune(search(trials=2), tmp_path / "tune", processes=0).file
    entries = [Entry(agent=agent, steps=1024, env={"level": "tiny"}) for agent in ("uniform", "q_learning")]
    suite = Suite(name="small", title="Small", entries=tuple(entries), seeds=(0,), episodes=10)
    tuned = configured(suite, read_agent_configs([f"q_learning={best}"]))
    results = compare(tuned, tmp_path / "runs", processes=0)
    told = tuning_of(read_results(tmp_path / "runs"))
    assert told["uniform"] == "nothing to tune"
    assert told["q_learning"] == "2 trials of 1,024 steps on 1 task (Reviews, tiny) with 1 seed, 2,048 tokens"
    assert "Not all agents were tuned with the same budget." not in tuning_sentences(results)  # only one can be tuned
    others = [RunResult(spec=RunSpec(agent="ppo", env_id="TextGen-v0", steps=1, seed=0)), *results]
    assert "Not all agents were tuned with the same budget." in tuning_sentences(others)
    page = build_report(tmp_path / "runs").read_text(encoding="utf-8")
    assert told["q_learning"] in page
    assert "uniform: nothing to tune" in page
    assert compare(suite, tmp_path / "plain", processes=0)
    assert "No agent was tuned for this" in build_report(tmp_path / "plain").read_text(encoding="utf-8")


def test_defaults_that_a_search_found_best_are_the_same_runs_and_told_as_tuned(tmp_path):
    suite = Suite(name="s", title="S", entries=(Entry(agent="q_learning", steps=1024, env={"level": "tiny"}),),
                  seeds=(0,), episodes=10)  # fmt: skip
    budget = {"trials": 2, "steps": 9, "tasks": ["Reviews"], "level": "tiny", "seeds": [FIRST_SEED], "tokens": 18}
    tuned = configured(suite, {"q_learning": AgentConfig({}, budget)})
    compare(suite, tmp_path / "a", processes=0)
    ledger = (tmp_path / "a" / "ledger.jsonl").read_bytes()
    compare(tuned, tmp_path / "a", processes=0)
    compare(tuned, tmp_path / "b", processes=0)
    assert (tmp_path / "a" / "ledger.jsonl").read_bytes() == ledger  # no run was made again
    assert "2 trials of 9 steps on 1 task" in build_report(tmp_path / "a").read_text(encoding="utf-8")
    assert len(build_leaderboard([tmp_path / "a", tmp_path / "b"]).runs) == 1


def test_options_set_by_hand_are_not_called_defaults():
    spec = RunSpec(agent="ppo", env_id="TextGen-v0", steps=1, seed=0, config={"n_epochs": 2})
    assert "by hand" in tuning_of([RunResult(spec=spec)])["ppo"]
    assert "not told" in tuning_of([RunResult(spec=replace(spec, tuning={"trials": "many"}))])["ppo"]


def test_configs_are_read_from_files(tmp_path):
    file = tmp_path / "ppo.json"
    file.write_text('{"n_epochs": 2}', encoding="utf-8")
    assert read_agent_configs([f"ppo={file}"]) == {"ppo": AgentConfig({"n_epochs": 2})}
    guests = configured(SUITES["demo"], {"mylab:Agent": AgentConfig({"width": 3}, {"trials": 1})})
    assert [(entry.agent, dict(entry.config)) for entry in guests.entries[-1:]] == [("mylab:Agent", {"width": 3})]
    with pytest.raises(UnknownNameError, match="Did you mean 'ppo'"):
        configured(SUITES["demo"], {"pppo": AgentConfig({})})
    for pair, message in [("ppo", "expected AGENT=FILE"), (f"ppo={tmp_path}/none.json", "cannot be read")]:
        with pytest.raises(ConfigurationError, match=message):
            read_agent_configs([pair])
    with pytest.raises(ConfigurationError, match="has a config already"):
        read_agent_configs([f"ppo={file}", f"ppo={file}"])
    for text, message in [("[1]", "holds a list"), ("{", "is no JSON"), ('{"agent": "dqn", "config": {}}', "of dqn")]:
        file.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigurationError, match=message):
            read_agent_config(file, "ppo")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"learning_rat": 0.1}, "Did you mean 'learning_rate'"), ({"learning_rate": "fast"}, "expected a number from 0")],
)
def test_wrong_options_are_told_before_anything_is_touched(options, message, tmp_path):
    with pytest.raises(ConfigurationError, match=f"the config of q_learning cannot be used: .*{message}"):
        check_options([RunSpec(agent="q_learning", env_id="TextGen-v0", steps=9, seed=0, config=options)])
    file, out = tmp_path / "q.json", tmp_path / "out"
    out.mkdir()
    (out / "plan.json").write_text("{}", encoding="utf-8")
    file.write_text(json.dumps(options), encoding="utf-8")
    words = ["bench", "run", "--agent", "q_learning", "--config", f"q_learning={file}", "--out", str(out), "--new"]
    done = CliRunner().invoke(app, words)
    assert message in str(done.exception)
    assert [path.name for path in out.iterdir()] == ["plan.json"]
    assert not (tmp_path / "out-1").exists()


@pytest.mark.parametrize("agent", ["q_learning", "mylab.agent:Agent"])
def test_a_seed_is_no_option(agent):
    with pytest.raises(ConfigurationError, match="has a seed: expected options alone"):
        check_options([RunSpec(agent=agent, env_id="TextGen-v0", steps=9, seed=0, config={"seed": 3})])


def test_a_config_of_an_agent_that_is_not_run_is_refused():
    configs = {"dqn": AgentConfig({"lanes": 8})}
    check_used(configs, None)
    check_used(configs, ["dqn", "ppo"])
    with pytest.raises(ConfigurationError, match="a config for dqn, which is not run: only ppo was asked for"):
        check_used(configs, ["ppo"])


# ---- the command ---------------------------------------------------------------------------------------------------

COMMAND = ["bench", "tune", "--tasks", "Reviews", "--level", "tiny", "--trials", "2", "--steps", "512"]


def run_command(*words):
    return CliRunner().invoke(app, [*COMMAND, "--episodes", "10", "--processes", "0", *map(str, words)])


def test_the_command_states_the_budget_first_and_gives_every_agent_the_same(tmp_path):
    done = run_command("q_learning", OWN, "--out", tmp_path, "--steps", 64)
    lines = done.output.splitlines()
    planned = [line for line in lines if line.startswith("planned: ")]
    same = "2 trials x 64 steps x 1 task x 1 seed = 128 tokens, at most 128 reward calls"
    assert planned == [f"planned: q_learning: {same}", f"planned: {OWN}: {same}"]
    assert f"--config q_learning={tmp_path / 'q_learning' / 'best.json'}" in done.output
    assert done.exit_code == 0
    again = run_command("q_learning", "--out", tmp_path, "--steps", 64)
    assert "nothing is left to do" in again.output


def test_the_command_says_when_nothing_was_found(tmp_path):
    done = run_command("q_learning", "--out", tmp_path, "--steps", 4)
    assert done.exit_code == 1
    assert "all 2 trials failed; the first: TextGen/Reviews-v0(level=tiny), seed 1000000: in learn" in done.output


def test_ctrl_c_ends_the_command_with_what_to_do(tmp_path, monkeypatch):
    def interrupted(*rest, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(tuning, "compare", interrupted)
    done = run_command("q_learning", "--out", tmp_path)
    assert done.exit_code == 130
    assert "the same command goes on from here" in done.output


# ---- killed --------------------------------------------------------------------------------------------------------


def start(out):
    words = ["bench", "tune", "q_learning", "--tasks", "Reviews,Copy", "--level", "easy", "--trials", "4"]
    words += ["--steps", "4000", "--episodes", "20", "--out", str(out), "--processes", "2"]
    return subprocess.Popen([sys.executable, "-m", "textgym.cli", *words], stdout=subprocess.DEVNULL)


def ok_trials(out):
    file = out / "q_learning" / "search.json"
    data = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"trials": []}
    return [(trial["options"], trial["value"], trial["steps"]) for trial in data["trials"] if trial["state"] == "ok"]


@pytest.mark.slow
def test_killed_again_and_again_it_finds_the_same(tmp_path):
    assert start(tmp_path / "whole").wait(timeout=300) == 0
    rng = np.random.default_rng(0)
    for kill in range(6):
        process = start(tmp_path / "killed")
        deadline = time.monotonic() + 120
        before = len(ok_trials(tmp_path / "killed"))
        while len(ok_trials(tmp_path / "killed")) < min(before + kill % 2, 3) and time.monotonic() < deadline:
            time.sleep(0.05)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=float(rng.uniform(1.0, 4.0)))
        process.kill()
        process.wait()
    assert start(tmp_path / "killed").wait(timeout=300) == 0
    assert ok_trials(tmp_path / "killed") == ok_trials(tmp_path / "whole")
    assert len(ok_trials(tmp_path / "whole")) == 4
