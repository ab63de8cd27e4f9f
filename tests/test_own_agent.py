"""An agent of one's own: tried before anything starts, and compared by one command."""

import itertools
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from textgym.benchmarks.agent_check import AgentError, check_agent
from textgym.benchmarks.agent_trials import check_agents, try_agent
from textgym.benchmarks.comparison import read_results
from textgym.benchmarks.records import RunSpec
from textgym.errors import ConfigurationError, UnknownNameError

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "docs" / "examples" / "own_agent.py"
HERE = __name__


class Fair:
    """Meets the protocol: writes the legal token that its seed prefers."""

    def __init__(self, seed=0, *, order=None):
        self.seed, self.order = seed, order

    def learn(self, envs, total_steps):
        env = envs.vector(4)
        self.order = np.random.default_rng(self.seed).random(env.single_action_space.n)
        env.reset(seed=self.seed)
        for _ in range(total_steps // 4):
            env.step(np.full(4, env.eos_id))

    def act(self, observations, action_masks=None, *, deterministic=True, episode_starts=None):
        return np.where(action_masks, self.order, -1.0).argmax(axis=1)

    def save(self, path):
        path.mkdir()
        np.save(path / "order.npy", self.order)

    @classmethod
    def load(cls, path):
        return cls(order=np.load(path / "order.npy"))


class Endless(Fair):
    swallowed = Exception

    def learn(self, envs, total_steps):
        env = envs.vector(4)
        env.reset(seed=0)
        while True:
            try:
                env.step(np.full(4, env.eos_id))
            except self.swallowed:
                continue


class Stubborn(Endless):
    swallowed = BaseException


class Hanging(Fair):
    def learn(self, envs, total_steps):
        while True:
            pass


class Exits(Fair):
    def learn(self, envs, total_steps):
        os._exit(3)


class Crashes(Fair):
    def learn(self, envs, total_steps):
        raise FloatingPointError("the loss is <nan>")


class NoLearn:
    def __init__(self, seed=0):
        pass

    save = act = load = None


class NoSave(Fair):
    save = None


class NoLoad(Fair):
    load = None


class NoAct(Fair):
    act = None


class NoSteps(Fair):
    def learn(self, envs):
        pass


class NoSeed(Fair):
    def __init__(self):
        pass


class Scores(Fair):
    def act(self, observations, action_masks=None, *, deterministic=True, episode_starts=None):
        return np.where(action_masks, self.order, -1.0)


class Floats(Fair):
    def act(self, *args, **kwargs):
        return super().act(*args, **kwargs).astype(float)


class Outside(Fair):
    def act(self, observations, action_masks=None, *, deterministic=True, episode_starts=None):
        return np.full(len(observations), 10_000)


class ShapelessLearner(Fair):
    """Learns from what it does, and does what cannot be done."""

    def learn(self, envs, total_steps):
        env = envs.vector(4)
        observations, _ = env.reset(seed=0)
        env.step(self.act(observations))

    def act(self, observations, action_masks=None, *, deterministic=True, episode_starts=None):
        return np.zeros((len(observations), 2), dtype=int)


class Ragged(Fair):
    def act(self, observations, action_masks=None, *, deterministic=True, episode_starts=None):
        return [[1], [1, 2], 3]


class Silent(Fair):
    def act(self, observations, action_masks=None, *, deterministic=True, episode_starts=None):
        return None


class Leaves(Fair):
    def learn(self, envs, total_steps):
        sys.exit(0)


class LoadsByInstance(Fair):
    def load(self, path):
        return self


class Deep(Fair):
    """Fails in a library, by a line of its own."""

    def learn(self, envs, total_steps):
        np.reshape(np.zeros(3), (2, 2))


class OneArgument(Fair):
    def act(self, observations):
        return np.zeros(len(observations), dtype=int)


class Meddling(Fair):
    def act(self, observations, action_masks=None, *, deterministic=True, episode_starts=None):
        action_masks[:] = True
        return super().act(observations, action_masks)


class SavesNothing(Fair):
    def save(self, path):
        pass


class SavesAFile(Fair):
    def save(self, path):
        path.write_bytes(b"")


class Forgets(Fair):
    @classmethod
    def load(cls, path):
        order = np.load(path / "order.npy")
        return cls(order=-order - 1e-9 + order.min() + order.max())  # prefers what it liked least


class LoadsNothing(Fair):
    @classmethod
    def load(cls, path):
        return None


class FromTheClock(Fair):
    """Learns what the time decides, which in a test is a count: every other time it prefers what it liked least."""

    trainings: ClassVar = itertools.count()

    def learn(self, envs, total_steps):
        super().learn(envs, total_steps)
        self.order = -self.order if next(self.trainings) % 2 else self.order


class Wavering(Fair):
    def act(self, observations, action_masks=None, *, deterministic=True, episode_starts=None):
        self.order = np.roll(self.order, 1)
        return super().act(observations, action_masks)


class Unlawful(Fair):
    def act(self, observations, action_masks=None, *, deterministic=True, episode_starts=None):
        return np.argmin(action_masks, axis=1)


class Idle(Fair):
    def learn(self, envs, total_steps):
        self.order = np.ones(envs.single().action_space.n)


class Pickling(Fair):
    def save(self, path):
        super().save(path)
        (path / "model.pkl").write_bytes(b"")


class Writer(Fair):
    """Writes whole texts."""

    act = None

    def write(self, envs, prompt_indices):
        eos = envs.single().unwrapped.eos_id
        return [[eos] for _ in prompt_indices]


class BadWriter(Writer):
    def write(self, envs, prompt_indices):
        return [[1, 2]]


NOT_A_CLASS = Fair()


@pytest.mark.parametrize("name", ["Fair", "Writer"])
def test_an_agent_that_meets_the_protocol_passes(name):
    found = check_agent(f"{HERE}:{name}", steps=400)
    assert (found.agent, found.steps, found.warnings) == (
        f"{HERE}:{name}",
        200,
        (),
    )  # every second step is a free reset


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("NoLearn", r"learn: there is no such method; expected learn\(self, envs, total_steps\)"),
        ("NoSave", r"save: there is no such method; expected save\(self, path\)"),
        ("NoLoad", r"load: there is no such method; expected a class method load\(cls, path\)"),
        ("NoAct", r"act: there is no such method; expected act\(self, observations, action_masks"),
        ("NoSteps", r"learn: cannot be called \(too many positional arguments\); expected learn\(self, envs, total"),
        ("NoSeed", r"__init__: raised TypeError: .*'seed'.*; expected a class that is made as Agent\(seed=0\)"),
        ("NOT_A_CLASS", r"is of type Fair; expected a class"),
        ("Crashes", r"learn: raised FloatingPointError: the loss is <nan> \(test_own_agent.py, line \d+\); expected"),
        (
            "Endless",
            r"learn: went on after its budget of 400 steps was spent .*; expected that it lets",
        ),
        ("Scores", r"act: returned shape \(3, 11\) of type float64 for 3 observations; expected one token id each"),
        ("Floats", r"act: returned shape \(3,\) of type float64 for 3 observations; .* integer array of shape \(3,\)"),
        ("Outside", r"act: returned the token id 10000; expected ids from 0 to 10"),
        ("ShapelessLearner", r"act: returned shape \(3, 2\) of type int64 for 3 observations; expected one token id"),
        ("Ragged", r"act: returned what is no array, \[\[1\], \[1, 2\], 3\]; expected one token id each"),
        ("Silent", r"act: returned None for 3 observations; expected one token id each"),
        ("Leaves", r"learn: raised SystemExit: 0 \(test_own_agent.py, line \d+\); expected that it learns"),
        ("LoadsByInstance", r"load: raised TypeError: [^()]*\(\) missing 1 [^()]*; expected a class method"),
        ("Deep", r"learn: raised ValueError: cannot reshape .* \(test_own_agent.py, line \d+\); expected"),
        ("OneArgument", r"act cannot be called as an agent .*; expected def act\(observations, action_masks"),
        ("Meddling", r"act: changed the observations or masks it was given; expected that it only reads them"),
        ("SavesNothing", r"save: left nothing at its path; expected that it makes the folder of that path"),
        ("SavesAFile", r"save: left a file at its path; expected that it makes the folder of that path"),
        ("Forgets", r"load: the agent it returned plays greedily in another way .*; expected the same agent"),
        ("LoadsNothing", r"load: returned NoneType; expected a class method that returns the agent"),
        ("BadWriter", r"write"),
    ],
)
def test_what_breaks_the_protocol_is_named(name, message):
    with pytest.raises(AgentError, match=message) as caught:
        check_agent(f"{HERE}:{name}", steps=400)
    assert f"{HERE}:{name}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("FromTheClock", "trained twice from seed 0 it plays differently"),
        ("Wavering", "gives other tokens when it is asked again"),
        ("Unlawful", "wrote tokens that action_masks forbids"),
        ("Idle", "wrote no token in the environments"),
        ("Pickling", r"save\(\) wrote model.pkl: pickles run code"),
    ],
)
def test_what_one_should_know_is_a_warning(name, message):
    (warning,) = check_agent(f"{HERE}:{name}", steps=400).warnings
    assert re.search(message, warning)


def test_agents_that_are_not_there_are_named():
    with pytest.raises(ConfigurationError, match="there is no module 'no_such_lab.agent'"):
        check_agent("no_such_lab.agent:Agent")
    with pytest.raises(UnknownNameError, match="Did you mean 'Fair'"):
        check_agent(f"{HERE}:Fairr")


def test_textgyms_own_agents_meet_the_protocol():
    assert check_agent("q_learning", steps=2000).warnings == ()
    assert check_agent("uniform", steps=2000).warnings == ()


# ---- in a process of its own ---------------------------------------------------------------------------------------


def spec(agent, **config):
    return RunSpec(agent=agent, env_id="TextGen-v0", steps=100, seed=0, config=config)


def test_agents_are_tried_once_each_and_registered_ones_not_at_all():
    mine = f"{HERE}:Fair"
    specs = [spec("q_learning"), spec(mine), spec(mine), spec("uniform")]
    assert [found.agent for found in check_agents(specs)] == [mine]


def test_one_that_hangs_is_ended():
    with pytest.raises(AgentError, match=r"Hanging': its trial .* has not ended within 2 seconds; it was in \w+: look"):
        try_agent(f"{HERE}:Hanging", {}, seconds=2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Exits", "Exits', learn: .* exit code 3"),
        ("Stubborn", "Stubborn', learn: .* swallowed every exception"),
        ("Crashes", "the loss is <nan>"),
    ],
)
def test_one_that_crashes_takes_nothing_with_it(name, message):
    with pytest.raises(AgentError, match=message):
        try_agent(f"{HERE}:{name}", {})


def test_options_that_cannot_be_sent_say_so():
    with pytest.raises(AgentError, match="cannot be sent to another process"):
        try_agent(f"{HERE}:Fair", {"order": lambda: 0})


# ---- the example ---------------------------------------------------------------------------------------------------


def lines_of_code(path):
    code = path.read_text(encoding="utf-8").split("class Agent:")[1]
    return 1 + sum(1 for line in code.splitlines() if line.strip())


def test_the_example_is_short_and_meets_the_protocol(monkeypatch):
    assert lines_of_code(EXAMPLE) <= 25
    monkeypatch.syspath_prepend(str(EXAMPLE.parent))
    monkeypatch.delitem(sys.modules, "own_agent", raising=False)
    found = check_agent("own_agent:Agent")
    assert (found.steps, found.warnings) == (4096, ())


def bench(tmp_path, *words):
    """``textgym bench run`` beside a copy of the example."""
    shutil.copy(EXAMPLE, tmp_path / "mine.py")
    command = [sys.executable, "-m", "textgym.cli", "bench", "run", *words, "--out", "out"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent)}
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)


def test_one_command_compares_it(tmp_path):
    done = bench(tmp_path, "--suite", "demo", "--agent", "mine:Agent", "--seeds", "1", "--budget", "0.01")
    assert done.returncode == 0, done.stderr
    assert "agent mine:Agent: meets the protocol" in done.stdout
    assert "planned: 1 run, 5,000 steps (= tokens)" in done.stdout
    (result,) = read_results(tmp_path / "out")
    assert (result.status, result.spec.agent, result.spec.steps) == ("ok", "mine:Agent", 5000)
    assert (tmp_path / "out" / "report.html").is_file()
    assert (tmp_path / "out" / "reference_lines.json").is_file()


def test_one_that_breaks_the_protocol_runs_nothing(tmp_path):
    done = bench(tmp_path, "--suite", "core", "--agent", f"{HERE}:Floats")
    assert done.returncode == 2
    assert "error: agent 'test_own_agent:Floats', act: returned shape (3,) of type float64" in done.stderr
    assert not (tmp_path / "out" / "ledger.jsonl").exists()


@pytest.mark.slow
def test_one_command_runs_the_core_suite(tmp_path):
    start = time.monotonic()
    done = bench(tmp_path, "--suite", "core", "--agent", "mine:Agent", "--seeds", "3", "--budget", "0.05")
    minutes = (time.monotonic() - start) / 60
    assert done.returncode == 0, done.stderr
    results = read_results(tmp_path / "out")
    assert [result.status for result in results] == ["ok"] * 36
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"(?:src|href)=[\"']?https?:|@import|url\(\s*[\"']?https?:", page)
    print(f"core, 3 seeds, 5 % of the budget: {minutes:.1f} minutes")
