"""Metered environments count what is spent and record every text, in every autoreset mode."""

import copy

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from meters import LoggingMeter

from textgym import EnvFactory
from textgym.benchmarks.meter import Meter
from textgym.benchmarks.metering import MeteredFactory
from textgym.episodes import ILLEGAL, LENGTH
from textgym.errors import BudgetSpent
from textgym.rewards import PerText
from textgym.vector_env import RESTS
from textgym.writers import CountedFactory

TINY = EnvFactory("TextGen-v0", {"level": "tiny"})
MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED]


class CountingReward:
    """The number of texts it was asked about is the truth that the meter must match."""

    range = (-1.0, 1.0)

    def __init__(self):
        self.asked = 0

    def __call__(self, batch):
        self.asked += len(batch)
        return batch.lengths / 10.0

    def __deepcopy__(self, memo):
        return self


def play(env, steps, *, seed=0, vocabulary=None):
    """Random play, illegal tokens included; returns the tokens written and the rewards and ends by lane."""
    rng = np.random.default_rng(seed)
    mode = env.metadata["autoreset_mode"]
    env.reset(seed=seed)
    resting = np.zeros(env.num_envs, dtype=bool)
    written, earned, ended = 0, [], []
    current = np.zeros(env.num_envs)
    for _ in range(steps):
        actions = rng.integers(vocabulary or env.single_action_space.n, size=env.num_envs)
        if mode is AutoresetMode.DISABLED:
            resting = rng.random(env.num_envs) < 0.3
            actions[resting] = RESTS
        written += int((~resting).sum())
        _, rewards, terminations, _, _ = env.step(actions)
        current += rewards
        earned += current[terminations].tolist()
        ended.append(int(terminations.sum()))
        current[terminations] = 0.0
        resting = terminations if mode is AutoresetMode.NEXT_STEP else np.zeros_like(terminations)
        if mode is AutoresetMode.DISABLED and terminations.any():
            env.reset(options={"reset_mask": terminations})
    return written, earned, ended


@pytest.mark.parametrize("timing", ["end", "step"])
@pytest.mark.parametrize("mode", MODES)
def test_vector_counts_tokens_episodes_returns_and_reward_calls(mode, timing):
    reward, meter = CountingReward(), LoggingMeter()
    factory = EnvFactory("TextGen-v0", {"level": "tiny", "reward": reward, "reward_timing": timing})
    env = MeteredFactory.around(factory, meter).vector(5, autoreset_mode=mode)
    written, earned, ended = play(env, 60)
    log = meter.log
    assert meter.steps == written
    assert meter.episodes == len(log["returns"]) == sum(ended)
    assert meter.episodes == sum(point["n"] for point in meter.learning_curve())
    assert meter.reward_calls == reward.asked
    np.testing.assert_allclose(log["returns"], earned, atol=1e-12)
    assert (log["stop_codes"] == ILLEGAL).any()
    unfinished = written - int(log["lengths"].sum())
    assert 0 <= unfinished <= 5 * 4
    assert (np.diff(log["steps"]) >= 0).all()
    assert log["steps"][-1] <= meter.steps


@pytest.mark.parametrize("timing", ["end", "step"])
def test_single_counts_the_same(timing):
    reward, meter = CountingReward(), LoggingMeter()
    factory = EnvFactory("TextGen-v0", {"level": "tiny", "reward": reward, "reward_timing": timing})
    env = MeteredFactory.around(factory, meter).single()
    rng, returns, total = np.random.default_rng(0), [], 0.0
    env.reset(seed=0)
    for _ in range(200):
        _, paid, terminated, _, _ = env.step(rng.integers(env.action_space.n))
        total += paid
        if terminated:
            returns.append(total)
            total = 0.0
            env.reset()
    assert meter.steps == 200
    assert meter.reward_calls == reward.asked
    np.testing.assert_allclose(meter.log["returns"], returns, atol=1e-12)
    assert meter.log["lengths"].sum() <= 200


@pytest.mark.parametrize("mode", MODES)
def test_a_reward_that_is_asked_after_every_turn_is_counted(mode):
    reward, meter = CountingReward(), Meter()
    factory = EnvFactory("TextGen/GuessNumber-v0", {"reward": reward, "reward_timing": "turn"})
    play(MeteredFactory.around(factory, meter).vector(4, autoreset_mode=mode), 80)
    assert meter.reward_calls == reward.asked
    assert 0 < meter.scored_apart < meter.steps
    env = MeteredFactory.around(factory, meter).single()
    for seed in range(20):
        env.reset(seed=seed)
        rng, over = np.random.default_rng(seed), False
        while not over:
            over = env.step(rng.choice(np.flatnonzero(env.get_wrapper_attr("action_masks")())))[2]
    assert meter.reward_calls == reward.asked


def test_the_timing_may_stand_in_the_registration(monkeypatch):
    registered = copy.deepcopy(gym.spec("TextGen-v0"))
    registered.kwargs |= {"level": "tiny", "reward_timing": "step"}
    monkeypatch.setitem(gym.registry, "TextGen-v0", registered)
    reward, meter = CountingReward(), Meter()
    factory = MeteredFactory.around(EnvFactory("TextGen-v0", {"reward": reward}), meter)
    play(factory.vector(3), 20)
    assert meter.reward_calls == reward.asked
    single = factory.single()
    single.reset(seed=0)
    while not single.step(np.flatnonzero(single.get_wrapper_attr("action_masks")())[0])[2]:
        pass
    assert meter.reward_calls == reward.asked


def curve_of(log, budget):
    """The curve, from all numbers; gold left out."""
    edges = np.unique(np.linspace(0, budget, 51)[1:].astype(int))
    place = np.minimum(np.searchsorted(edges, log["steps"]), len(edges) - 1)
    points = []
    for at in np.unique(place).tolist():
        returns, codes = log["returns"][place == at], log["stop_codes"][place == at]
        shares = {"cut": np.mean(codes == LENGTH), "illegal": np.mean(codes == ILLEGAL)}
        points.append(
            {"steps": edges[at], "reward": returns.mean(), "n": len(returns), "spread": returns.std(), **shares}
        )
    return points


@pytest.mark.parametrize("reward_calls", [None, 40])
@pytest.mark.parametrize("budget", [5, 49, 50, 51, 100, 333])
@pytest.mark.parametrize("mode", [*MODES, "single"])
def test_the_curve_of_a_run_is_that_of_all_its_episodes(mode, budget, reward_calls):
    meter = LoggingMeter(budget, reward_calls=reward_calls)
    factory = MeteredFactory.around(TINY, meter)
    with pytest.raises(BudgetSpent):
        play_alone(factory.single()) if mode == "single" else play(factory.vector(3, autoreset_mode=mode), budget + 1)
    found = [{name: value for name, value in point.items() if name != "gold"} for point in meter.learning_curve()]
    assert found == [pytest.approx(point, abs=1e-12) for point in curve_of(meter.log, budget)]
    assert sum(point["n"] for point in found) == meter.episodes > 0


def play_alone(env):
    rng, over = np.random.default_rng(0), True
    while True:
        if over:
            env.reset()
        over = env.step(rng.integers(env.action_space.n))[2]


def test_progress_that_raises_loses_nothing():
    def interrupt(steps):
        raise KeyboardInterrupt

    meter = LoggingMeter(300, on_progress=interrupt)
    env = MeteredFactory.around(TINY, meter).vector(2, autoreset_mode="SameStep")
    env.reset(seed=0)
    interrupted = 0
    for _ in range(100):
        try:
            env.step(np.full(2, env.eos_id))
        except KeyboardInterrupt:
            interrupted += 1
    assert 0 < interrupted < 100
    assert (meter.steps, meter.episodes) == (200, 2 * (100 - interrupted))
    assert [point["n"] for point in meter.learning_curve()] == [point["n"] for point in curve_of(meter.log, 300)]


def test_lanes_that_were_reset_by_hand_write_again():
    meter = Meter()
    env = MeteredFactory.around(TINY, meter).vector(4)
    env.reset(seed=0)
    env.step(np.full(4, env.eos_id))
    env.reset(options={"reset_mask": np.array([True, False, False, True])})
    env.step(np.full(4, env.eos_id))  # which resets the two others
    assert meter.steps == 4 + 2
    env.step(np.full(4, env.eos_id))
    assert meter.steps == 4 + 2 + 2


def test_metering_changes_nothing():
    plain = play(TINY.vector(4), 40)
    metered = play(MeteredFactory.around(TINY, Meter()).vector(4), 40)
    assert plain == metered


@pytest.mark.parametrize("kind", ["single", "vector"])
def test_the_first_step_over_budget_raises_and_takes_nothing(kind):
    meter = Meter(10)
    factory = MeteredFactory.around(TINY, meter)
    env = factory.single() if kind == "single" else factory.vector(4, autoreset_mode="SameStep")
    env.reset(seed=0)
    legal = int(np.flatnonzero(np.atleast_2d(env.unwrapped.action_masks())[0])[0])
    action = legal if kind == "single" else np.full(4, legal)

    def spend_it_all():
        while True:
            if env.step(action)[2] is True:
                env.reset()

    with pytest.raises(BudgetSpent, match="budget of 10 steps"):
        spend_it_all()
    assert meter.steps == (10 if kind == "single" else 8)


def test_environments_of_one_factory_share_the_budget():
    factory = MeteredFactory.around(TINY, Meter(6))
    first, second = factory.vector(2, autoreset_mode="SameStep"), factory.vector(4, autoreset_mode="SameStep")
    for env in (first, second):
        env.reset(seed=0)
        env.step(np.zeros(env.num_envs, dtype=int))
    with pytest.raises(BudgetSpent):
        first.step(np.zeros(2, dtype=int))
    assert factory.meter.steps == 6


def test_autoreset_steps_are_free_per_lane():
    meter = Meter()
    env = MeteredFactory.around(TINY, meter).vector(3)
    env.reset(seed=0)
    going = next(
        token for token in range(env.single_action_space.n) if token != env.eos_id and env.action_masks()[0][token]
    )
    env.step(np.array([env.eos_id, going, going]))  # lane 0 ends
    assert meter.steps == 3
    env.step(np.array([going, going, going]))  # lane 0 only resets
    assert meter.steps == 5
    env.reset(seed=1)
    env.step(np.array([env.eos_id, env.eos_id, going]))
    env.reset(options={"reset_mask": np.array([True, False, False])})
    env.step(np.array([going, going, going]))  # only lane 1 is still to be reset
    assert meter.steps == 5 + 3 + 2


def test_the_wrappers_let_everything_else_through():
    factory = MeteredFactory.around(TINY, Meter())
    vector, single = factory.vector(2, observation="dict"), factory.single(gold=True)
    assert vector.action_masks().shape == (2, vector.single_action_space.n)
    assert vector.eos_id == vector.unwrapped.eos_id == single.get_wrapper_attr("eos_id")
    assert set(vector.reset(seed=0)[0]) >= {"tokens", "attention_mask"}
    assert single.get_wrapper_attr("action_masks")().dtype == bool
    assert single.unwrapped.config.gold
    assert factory.task().level == "tiny"
    with pytest.raises(AttributeError):
        vector.no_such_thing  # noqa: B018


def test_texts_from_the_start_and_the_end_carry_reward_and_gold():
    meter = Meter(400, texts=5)
    env = MeteredFactory.around(TINY, meter).vector(4)
    env.reset(seed=0)
    shown = []
    rng = np.random.default_rng(0)
    for _ in range(60):
        env.step(rng.integers(env.single_action_space.n, size=4))
        batch = env.unwrapped.last_episodes
        if batch is not None:
            shown += list(zip(batch.completions, env.unwrapped.last_returns.tolist(), strict=True))
    kept = meter.texts.describe()
    first, last = kept["start"], kept["end"]
    assert [(text["completion"], text["reward"]) for text in last] == shown[-5:]
    assert len(first) == 5
    assert first[0]["completion"] == shown[0][0]
    task = TINY.task()
    for text in first + last:
        assert text["prompt"] in task.prompts.texts
        assert isinstance(text["gold"], float)


@pytest.mark.parametrize("budget", [300, 40_000])
def test_the_last_texts_are_the_very_last_and_the_first_are_among_the_first(budget):
    meter = Meter(budget, samples=10, texts=5)
    env = MeteredFactory.around(TINY, meter).vector(4, autoreset_mode="SameStep")
    env.reset(seed=0)
    rng, shown, pool = np.random.default_rng(0), [], 0
    for _ in range(budget // 4):
        env.step(rng.integers(env.single_action_space.n, size=4))
        batch = env.unwrapped.last_episodes
        if batch is not None:
            shown += zip(batch.prompt_texts, batch.completions, env.unwrapped.last_returns.tolist(), strict=True)
            pool = len(shown) if len(shown) - len(batch) < 400 else pool  # a whole batch is in it or none of it
    kept = meter.texts.describe()
    assert [tuple(text.values())[:3] for text in kept["end"]] == shown[-5:]
    assert [tuple(text.values())[:3] for text in kept["start"]] == [shown[row * pool // 5] for row in range(5)]
    assert len(kept["moments"]) == 20


def test_gold_of_the_sample_is_the_tasks_gold_and_the_sample_is_thin():
    meter = Meter(4000, samples=50)
    env = MeteredFactory.around(TINY, meter).vector(8)
    with pytest.raises(BudgetSpent):
        play(env, 10_000)
    steps, golds = meter.texts.gold_samples()
    assert 30 <= len(golds) <= 70
    assert steps.min() < 400
    assert steps.max() > 3500
    assert golds.min() >= TINY.task().gold.range[0]
    assert np.unique(golds).size > 3


@pytest.mark.parametrize("lanes", [4, 1000])
def test_a_sample_is_of_one_piece_in_small_batches_and_in_large_ones(lanes):
    meter = Meter(100 * lanes, samples=200)
    factory = EnvFactory("TextGen-v0", {"level": "tiny", "reward": CountingReward()})
    play(MeteredFactory.around(factory, meter).vector(lanes, autoreset_mode="SameStep"), 100)
    steps, golds = meter.texts.gold_samples()
    kept = list(meter.texts.sampled())
    for _, batch, returns in kept:
        expected = np.where(batch.stop_codes == ILLEGAL, -1.0, batch.lengths / 10.0)
        np.testing.assert_array_equal(returns, expected)
    np.testing.assert_array_equal(golds, np.concatenate([batch.gold() for _, batch, _ in kept]))
    np.testing.assert_array_equal(steps, np.repeat([at for at, *_ in kept], [len(returns) for *_, returns in kept]))
    assert len(golds) == pytest.approx(200, rel=0.3)


def test_the_sample_is_fair_to_long_texts_that_end_together():
    meter = LoggingMeter(60_000, samples=500)
    env = MeteredFactory.around(TINY, meter).vector(16)
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    going = next(t for t in range(env.single_action_space.n) if t != env.eos_id and env.action_masks()[0][t])
    for _ in range(60_000 // 16):  # lanes run in step: long texts, but now and then one ends at once
        env.step(np.where(rng.random(16) < 0.03, env.eos_id, going))
    sampled = np.concatenate([batch.lengths for _, batch, _ in meter.texts.sampled()])
    assert len(sampled) == pytest.approx(500, rel=0.3)
    assert sampled.mean() == pytest.approx(meter.log["lengths"].mean(), abs=0.15)


def test_environments_of_several_kinds_share_a_meter():
    meter = Meter(1_000, samples=10_000, texts=500)
    factory = MeteredFactory.around(EnvFactory("TextGen-v0"), meter)
    own = {"prompts": ["a b"], "tokenizer": "char", "reward": CountingReward()}  # has no gold
    changes = ({"max_new_tokens": 2}, {"max_new_tokens": 4}, {"level": "tiny"}, own)
    kinds = [factory.vector(2, autoreset_mode="SameStep", **changed) for changed in changes]
    steps, golds, texts = [], [], []
    for env in kinds:
        env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(40):
        for env in kinds:
            env.step(rng.integers(env.single_action_space.n, size=2))
            ended = env.unwrapped.last_episodes
            if ended is not None:
                found = [None] * len(ended) if ended.gold() is None else ended.gold().tolist()
                paid = env.unwrapped.last_returns.tolist()
                texts += zip(ended.prompt_texts, ended.completions, paid, found, strict=True)
                scored = [gold for gold in found if gold is not None]
                golds += scored
                steps += [meter.steps] * len(scored)
    assert [array.tolist() for array in meter.texts.gold_samples()] == [steps, golds]
    kept = meter.texts.describe()
    for place in ("start", "end"):
        assert [tuple(text.values()) for text in kept[place]] == texts
    assert None in [gold for *_, gold in texts]


def test_without_gold_there_is_none():
    reward = PerText(lambda prompt, completion: float(len(completion)), range=(0.0, 99.0))
    meter = Meter(100)
    play(
        MeteredFactory.around(
            EnvFactory("TextGen-v0", {"prompts": ["a b"], "tokenizer": "char", "reward": reward}), meter
        ).vector(2),
        30,
    )
    assert len(meter.texts.gold_samples()[1]) == 0
    assert {text["gold"] for text in meter.texts.describe()["start"]} == {None}


def test_progress_is_told_about_a_hundred_times():
    told = []
    meter = Meter(10_000, on_progress=told.append)
    with pytest.raises(BudgetSpent):
        play(MeteredFactory.around(TINY, meter).vector(10), 10_000)
    assert told == sorted(told)
    assert 90 <= len(told) <= 100


def test_an_unused_meter_is_empty():
    meter = Meter(10)
    assert (meter.steps, meter.episodes, meter.reward_calls) == (0, 0, 0)
    assert meter.learning_curve() == []
    assert meter.texts.describe() == {"start": [], "end": [], "moments": []}


class ColumnReward(CountingReward):
    """Pays with a column of a table that it fills again each time."""

    def __init__(self, columns):
        super().__init__()
        self.table = np.zeros((64, columns))

    def __call__(self, batch):
        self.table[: len(batch), 0] = super().__call__(batch)
        return self.table[: len(batch), 0]


@pytest.mark.parametrize("columns", [1, 3])
def test_a_reward_may_return_a_column_of_its_own_table(columns):
    meter = Meter(60)
    factory = EnvFactory("TextGen-v0", {"level": "tiny", "reward": ColumnReward(columns)})
    env = MeteredFactory.around(factory, meter).vector(2, autoreset_mode="SameStep")
    env.reset(seed=0)
    legal = [np.flatnonzero(mask)[0] for mask in env.action_masks()]
    for _ in range(10):  # texts of one token and of two, all legal
        env.step(np.full(2, env.eos_id))
        env.step(legal)
        env.step(np.full(2, env.eos_id))
    paid = [0.1, 0.1, 0.2, 0.2] * 10
    assert [text["reward"] for text in meter.texts.describe()["end"]] == paid[-20:]
    curve = meter.learning_curve()
    assert sum(point["n"] * point["reward"] for point in curve) == pytest.approx(sum(paid))


@pytest.mark.parametrize("timing", ["end", "step"])
@pytest.mark.parametrize("limit", [1, 7, 23, 60])
def test_no_step_is_made_once_the_reward_calls_are_spent(limit, timing):
    reward, meter = CountingReward(), Meter(reward_calls=limit)
    factory = EnvFactory("TextGen-v0", {"level": "tiny", "reward": reward, "reward_timing": timing})
    env = MeteredFactory.around(factory, meter).vector(3, autoreset_mode="SameStep")
    env.reset(seed=0)
    rng, before, codes = np.random.default_rng(1), [], []

    def step():
        before.append(reward.asked)
        env.step(rng.integers(env.single_action_space.n, size=3))
        ended = env.unwrapped.last_episodes
        codes.extend([] if ended is None else ended.stop_codes.tolist())

    def play_on():
        while True:
            step()

    with pytest.raises(BudgetSpent, match=f"the budget of {limit} reward calls is spent"):
        play_on()
    assert before[-1] == reward.asked == meter.reward_calls >= limit > before[-2]
    assert ILLEGAL in codes or limit == 1  # which was no call


def end_at_once(env, steps):
    for _ in range(steps + 1):
        env.step(np.full(env.num_envs, env.eos_id))


@pytest.mark.parametrize("limit", [1, 3, 5, 6, 12, 60])
def test_reward_calls_are_spent_to_the_last_one_where_every_token_is_one(limit):
    meter = Meter(reward_calls=limit)
    env = MeteredFactory.around(TINY, meter).vector(3, autoreset_mode="SameStep")
    env.reset(seed=0)
    with pytest.raises(BudgetSpent):
        end_at_once(env, steps=limit)
    assert meter.steps == meter.reward_calls == -(-limit // 3) * 3


def test_what_is_scored_besides_counts_at_once():
    meter = Meter(reward_calls=10)
    factory = MeteredFactory.around(TINY, meter)
    env = factory.vector(2, autoreset_mode="SameStep")
    env.reset(seed=0)
    env.step(np.full(2, env.eos_id))
    meter.scored_apart += 8
    with pytest.raises(BudgetSpent):
        env.step(np.full(2, env.eos_id))
    assert (meter.steps, meter.reward_calls) == (2, 10)


CONVERSATION, PLAIN = "TextGen/GuessNumber-v0", "TextGen-v0"


@pytest.mark.parametrize(
    ("task", "timing"),
    [(CONVERSATION, "end"), (CONVERSATION, "turn"), (CONVERSATION, "step"), (PLAIN, "end"), (PLAIN, "step")],
)
@pytest.mark.parametrize("mode", MODES)
def test_a_counted_factory_counts_the_same(mode, task, timing):
    reward = CountingReward()
    factory = CountedFactory(task, {"reward": reward, "reward_timing": timing})
    written, _, ended = play(factory.vector(4, autoreset_mode=mode), 60)
    assert (factory.meter.steps, factory.meter.reward_calls) == (written, reward.asked)
    assert sum(ended) > 0
    single = factory.single()
    single.reset(seed=0)
    while not single.step(np.flatnonzero(single.get_wrapper_attr("action_masks")())[0])[2]:
        written += 1
    assert (factory.meter.steps, factory.meter.reward_calls) == (written + 1, reward.asked)
