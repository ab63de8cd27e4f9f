"""A run is recorded whatever happens in it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from meters import LoggingMeter

from textgym.benchmarks import runs
from textgym.benchmarks.metering import MeteredFactory
from textgym.benchmarks.records import RunResult, RunSpec
from textgym.benchmarks.runs import run, spawn_seed

TINY = {"level": "tiny"}


def spec(agent="q_learning", *, steps=2000, env=TINY, **more):
    return RunSpec(agent=agent, env_id="TextGen-v0", steps=steps, seed=0, env=env, episodes=20, **more)


def length(prompt, completion):
    """A reward of one's own."""
    return float(len(completion))


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return run(spec(steps=20_000), folder / "q"), folder / "q"


def test_a_run_says_what_it_measured(learned):
    result, _ = learned
    assert (result.status, result.error) == ("ok", "")
    assert (result.task, result.level, result.training_split) == ("Reviews", "tiny", "all")
    assert 19_900 <= result.steps <= 20_000
    assert result.episodes > 4000
    assert result.reward_calls == result.episodes  # a masked agent writes nothing illegal
    kinds = {(m.play, m.split, m.score) for m in result.measures}
    assert kinds == {(play, "all", score) for play in ("greedy", "sampled") for score in ("reward", "gold")}
    greedy = result.measure("greedy", "all", "reward")
    assert greedy.n == 20
    assert greedy.normalized > 0.9
    assert result.measure("sampled", "all", "reward").mean < greedy.mean  # it still explores
    facts = result.references["all"]["reward"]
    assert greedy.normalized == pytest.approx((greedy.mean - facts["random"]) / (facts["best"] - facts["random"]))
    assert result.measure("greedy", "test", "reward") is None
    assert set(result.versions) >= {"python", "numpy", "gymnasium"}


def test_a_run_shows_texts_and_a_rising_curve(learned):
    result, _ = learned
    assert len(result.texts["start"]) == len(result.texts["end"]) == 20
    assert len(result.texts["greedy"]) == 1  # one prompt, greedy play: one text
    assert result.texts["greedy"][0]["reward"] == pytest.approx(result.measure("greedy", "all", "reward").mean)
    assert 40 <= len(result.curve) <= 50
    assert sum(point["n"] for point in result.curve) == result.episodes
    assert result.curve[-1]["reward"] > result.curve[0]["reward"] + 1.0
    assert result.curve[-1]["gold"] > result.curve[0]["gold"]
    assert result.curve[-1]["steps"] == 20_000


def test_the_record_is_on_disk_and_survives_json(learned):
    result, folder = learned
    text = (folder / "run.json").read_text(encoding="utf-8")
    assert RunResult.from_json(text) == result
    assert RunResult.from_json(result.to_json()).spec.key == result.spec.key
    assert (folder / "agent" / "agent.json").is_file()
    assert not list(folder.glob("*.tmp"))


def test_the_same_spec_gives_the_same_numbers(learned, tmp_path):
    again = run(spec(steps=20_000), tmp_path)
    assert again.measures == learned[0].measures
    assert again.curve == learned[0].curve
    assert again.texts == learned[0].texts
    other = run(replace(spec(steps=20_000), seed=1), tmp_path)
    assert other.curve != again.curve


def test_held_out_prompts_are_measured_where_the_task_has_them(tmp_path):
    result = run(spec("uniform", env={"level": "easy"}), tmp_path)
    assert result.training_split == "train"
    assert len(result.measures) == 8
    train, test = (result.measure("greedy", split, "gold") for split in ("train", "test"))
    assert train.mean != test.mean
    assert result.texts["held_out"]
    assert not {t["prompt"] for t in result.texts["held_out"]} & {t["prompt"] for t in result.texts["greedy"]}
    assert set(result.references) == {"train", "test"}


def test_a_reward_of_ones_own_is_not_normalised_but_gold_is(tmp_path):
    result = run(spec("uniform", env={"level": "tiny", "reward": length}), tmp_path)
    assert result.status == "ok"
    assert result.measure("greedy", "all", "reward").normalized is None
    assert result.measure("greedy", "all", "gold").normalized is not None
    assert set(result.references["all"]) == {"gold"}
    assert json.loads(result.to_json())["spec"]["env"]["reward"] == "test_runs:length"
    assert RunResult.from_json(result.to_json()).spec.key == result.spec.key


def test_a_score_that_nobody_can_earn_is_recorded_as_impossible(learned, tmp_path):
    generous = run(spec("fake_agents:Unlawful", steps=100, env={"level": "tiny", "illegal_reward": 100.0}), tmp_path)
    assert (generous.status, generous.measure("greedy", "all", "reward").mean) == ("ok", 100.0)
    assert "normalised reward of 28." in generous.measure("greedy", "all", "reward").impossible
    assert generous.measure("greedy", "all", "gold").impossible is None
    assert RunResult.from_json(generous.to_json()) == generous
    assert all(measure.impossible is None for measure in learned[0].measures)


def test_the_spent_budget_is_the_normal_end(tmp_path):
    result = run(spec("fake_agents:Steady", steps=102), tmp_path)
    assert (result.status, result.steps, result.episodes) == ("ok", 100, 100)


@pytest.mark.parametrize(
    ("agent", "message"),
    [
        ("fake_agents:Crashing", "FloatingPointError: the loss is <nan>"),
        ("fake_agents:Exiting", "SystemExit: 3"),
        ("fake_agents:Illegal", "10000 is outside the action space"),
        ("no_such_agent", "unknown agent 'no_such_agent'"),
    ],
)
def test_whatever_goes_wrong_is_a_failed_run(agent, message, tmp_path):
    result = run(spec(agent, steps=40), tmp_path)
    assert result.status == "failed"
    assert message in result.error
    assert "Traceback" in result.trace
    assert RunResult.from_json((tmp_path / "run.json").read_text(encoding="utf-8")) == result


def test_a_failed_run_keeps_what_it_spent(tmp_path):
    result = run(spec("fake_agents:Crashing", steps=40), tmp_path)
    assert (result.steps, result.episodes) == (20, 20)
    assert result.curve
    assert result.texts["start"]


def test_a_broken_environment_is_a_failed_run(tmp_path):
    result = run(spec(env={"level": "huge"}), tmp_path)
    assert result.status == "failed"
    assert "huge" in result.error


def test_a_score_that_is_no_number_is_a_failed_run(tmp_path, monkeypatch):
    evaluate = runs.evaluate

    def broken(*args, **kwargs):
        return replace(evaluate(*args, **kwargs), golds=np.full(20, np.nan))

    monkeypatch.setattr(runs, "evaluate", broken)
    result = run(spec("uniform"), tmp_path)
    assert result.status == "failed"
    assert "gold of greedy play on the all prompts is nan" in result.error


def test_ctrl_c_is_recorded_and_let_through(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(spec("fake_agents:Interrupted"), tmp_path)
    assert RunResult.from_json((tmp_path / "run.json").read_text(encoding="utf-8")).status == "interrupted"


def test_progress_is_told(tmp_path):
    told = []
    run(spec("uniform", steps=5000), tmp_path, on_progress=told.append)
    assert len(told) > 20
    assert told == sorted(told)


def test_the_key_tells_runs_apart_but_not_labels():
    one = spec(config={"lanes": 4})
    assert one.key == replace(one, label="mine").key
    changes = [{"seed": 1}, {"steps": 1}, {"agent": "uniform"}, {"config": {"lanes": 5}}, {"env": {}}, {"episodes": 3}]
    keys = {replace(one, **change).key for change in changes}
    assert len(keys | {one.key}) == 7
    assert len({replace(one, **change).folder_name for change in changes}) == 6


def test_spawned_seeds_are_fixed_and_unrelated():
    seeds = {
        spawn_seed(base, name, env) for base in range(50) for name in ("agent", "evaluation") for env in ("a", "b")
    }
    assert len(seeds) == 200
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert spawn_seed(0, "agent", "ppo", "TextGen-v0") == 696850093


def test_learning_curve_averages_within_stretches():
    meter = LoggingMeter(100)
    env = MeteredFactory.around(spec().factory(), meter).vector(2, autoreset_mode="SameStep")
    env.reset(seed=0)
    for _ in range(50):
        env.step(np.full(2, env.eos_id))
    curve = meter.learning_curve()
    assert [point["steps"] for point in curve] == list(range(2, 101, 2))
    assert [point["n"] for point in curve] == [2] * 50
    np.testing.assert_allclose([point["reward"] for point in curve], meter.log["returns"].reshape(50, 2).mean(axis=1))


@pytest.mark.parametrize("line", ["[]", "{}", '{"spec": {"agent": "x"}}', '{"spec": 3}'])
def test_a_line_that_is_no_record_says_so(line):
    with pytest.raises(ValueError, match="not a record of a run"):
        RunResult.from_json(line)
