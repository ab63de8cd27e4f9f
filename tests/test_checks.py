"""The checker: every planted fault is caught by its own rule, and everything that is sound passes."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from faulty_envs import ZOO
from faulty_tasks import ANSWERED, HONEST, with_facts
from playing import SUITE, SUITE_IDS
from toys import TOYS, FastWeighted, Noisy, Weighted, constant, stop_at_c

from textgym import cli
from textgym.checks import RULES, Verdict, check_env_id, check_task, find_faults, run_rules
from textgym.checks.comparing import difference
from textgym.checks.rules import judge
from textgym.checks.subject import Subject
from textgym.constraints import NoRepeat
from textgym.env import TextGenerationEnv
from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import CheckError, ConfigurationError, UnknownNameError
from textgym.factory import EnvFactory
from textgym.rewards import WeightedSum
from textgym.task import Returns


def verdicts(what: Any, **kwargs: Any) -> dict[str, Verdict]:
    """What came of every rule, by its name."""
    return {verdict.rule.name: verdict for verdict in run_rules(what, **kwargs)}


# ---- what is faulty -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ZOO)
def test_every_planted_fault_is_caught_by_exactly_its_rule(fault: str) -> None:
    planted = ZOO[fault]
    assert [found.rule for found in find_faults(planted.what, fast=not planted.full)] == [planted.rule]


def test_the_zoo_is_large_and_every_rule_has_a_fault() -> None:
    assert len(ZOO) >= 18
    caught = {planted.rule for planted in ZOO.values()}
    assert {rule.name for rule in RULES} - caught == {"plays"}  # which has a test of its own


class CannotBeMade(TextGenerationEnv):
    def __init__(self, **kwargs: Any) -> None:
        raise ZeroDivisionError("no such luck")


class BreaksWhenStepped(TextGenerationEnv):
    def step(self, action: Any) -> Any:
        raise KeyError("lost")


class EndsOnTheThirdToken(TextGenerationEnv):
    """Two faults that have nothing to do with each other."""

    def step(self, action: Any) -> Any:
        obs, reward, terminated, truncated, info = super().step(action)
        if terminated:
            info["completion"] += "!"
        return obs.astype(np.int64), reward, terminated, truncated, info


@pytest.fixture
def register() -> Iterator[Any]:
    """Registers a class for the length of a test."""
    ids = []

    def make(kind: type[Any], defaults: dict[str, Any] | None = None, **kwargs: Any) -> str:
        ids.append(f"Passing/{kind.__name__}-v0")
        gym.register(ids[-1], entry_point=kind, kwargs={"task": HONEST, **(defaults or {})}, **kwargs)
        return ids[-1]

    yield make
    for env_id in ids:
        del gym.registry[env_id]


@pytest.mark.parametrize(("kind", "seen"), [(CannotBeMade, "ZeroDivisionError"), (BreaksWhenStepped, "lost")])
def test_what_does_not_run_at_all(kind: type[Any], seen: str, register: Any) -> None:
    found = verdicts(register(kind), fast=True)
    assert found.pop("plays").status == "broken"
    assert {verdict.status for verdict in found.values()} <= {"skipped", "ok"}
    assert seen in find_faults(f"Passing/{kind.__name__}-v0", fast=True)[0].seen


def test_the_error_names_every_broken_rule_with_what_was_seen_and_what_to_do(register: Any) -> None:
    with pytest.raises(CheckError) as error:
        check_env_id(register(EndsOnTheThirdToken), fast=True)
    head, *lines = str(error.value).splitlines()
    assert head == "Passing/EndsOnTheThirdToken-v0 breaks 2 rules:"
    assert lines[0].startswith("- spaces: an observation has dtype int64, its space int32. Make the spaces")
    assert lines[1].startswith("- what_was_written: after the ids")


def test_a_broken_rule_silences_those_that_need_it_and_no_others() -> None:
    found = verdicts(ZOO["an end id as the last token of the budget counts as length"].what, fast=True)
    assert found["vector_equals_single"].seen == "it means little while stop_reason is broken"
    assert found["vector_equals_single"].because_of == "stop_reason"
    assert found["same_seed"].status == "ok"
    root = ZOO["the reward of an empty text is NaN"].what
    blocked = [verdict for verdict in verdicts(root, fast=True).values() if verdict.because_of]
    assert len(blocked) > 25
    assert {verdict.because_of for verdict in blocked} == {"reward_finite"}


def test_check_task_raises_too() -> None:
    with pytest.raises(CheckError, match=r"Task\('Toy', level='one'\) breaks a rule:\n- facts: .*best 1"):
        check_task(with_facts(best=1.0), fast=True)


# ---- what is sound ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("env_id", "kwargs"), SUITE, ids=SUITE_IDS)
def test_every_registered_id_and_level_passes(env_id: str, kwargs: dict[str, Any]) -> None:
    check_env_id(env_id, fast=True, **kwargs)


def test_the_full_form_passes_and_starts_processes() -> None:
    found = verdicts("TextGen-v0", level="tiny")
    assert {verdict.status for verdict in found.values()} == {"ok", "skipped"}
    assert found["processes"].status == "ok"


@pytest.mark.parametrize("name", TOYS)
def test_what_the_suite_has_not(name: str) -> None:
    check_task(replace(TOYS[name], make_facts=None), fast=True)


def test_a_task_with_oracle_and_facts() -> None:
    found = verdicts(ANSWERED, fast=True)
    assert {found[rule].status for rule in ("oracle_legal", "oracle_best", "facts", "random_return")} == {"ok"}


@pytest.mark.parametrize(
    "kwargs",
    [
        {"reward_timing": "step", "gold": True, "split": "all"},
        {"observation": "dict"},
        {"observation": "one_hot", "illegal_reward": -20.0},
        {"observation": "text", "include_mask": False},
        {"on_reward_error": "mark", "max_new_tokens": 3, "split": "test"},
    ],
    ids=str,
)
def test_every_argument_of_the_environment(kwargs: dict[str, Any]) -> None:
    check_env_id(EnvFactory("TextGen-v0", kwargs), fast=True, level="easy")


def test_rules_that_have_nothing_to_check_say_why(register: Any) -> None:
    found = verdicts(register(TextGenerationEnv), fast=True)
    assert found["vector_equals_single"].seen == "the id has no vector_entry_point"
    assert found["oracle_best"].seen == found["oracle_legal"].seen == "the task has no oracle"
    assert found["random_return"].seen == "the task's random and best returns are not known"
    assert found["processes"].seen == "left to the full form"
    assert verdicts(TOYS["noisy"], fast=True)["reward_by_step"].seen == "a stochastic reward is not paid by step"
    assert not [verdict for verdict in found.values() if verdict.status == "broken"]


def test_a_task_that_another_process_cannot_import_skips_the_processes() -> None:
    module = types.ModuleType("only_here")
    exec("class Local:\n    def __call__(self, batch):\n        return batch.lengths * 1.0\n", module.__dict__)
    sys.modules["only_here"] = module
    try:
        local = replace(HONEST, make_reward=constant(module.Local()))
        subject = Subject(EnvFactory("TextGen-v0", {"task": local}), fast=False)
        verdict = judge(RULES[-1], subject, {})
    finally:
        del sys.modules["only_here"]
    assert (verdict.rule.name, verdict.status) == ("processes", "skipped")
    assert "No module named 'only_here'" in verdict.seen


@dataclass(frozen=True)
class Password:
    """Pays for one text alone."""

    range = (0.0, 1.0)

    def __call__(self, batch: EpisodeBatch) -> Any:
        return np.array([float(text == "a b c d") for text in batch.completions])


@dataclass(frozen=True)
class Sign:
    """Pays what the prompt says, whatever is written."""

    range = (-1.0, 1.0)

    def __call__(self, batch: EpisodeBatch) -> Any:
        return np.array(batch.metadata("sign"))


def password(prompt: Prompt) -> str:
    return "a b c d"


def stopping_answer(prompt: Prompt) -> str:
    return "a c"


def signs(*counts: int) -> Any:
    """So many prompts of each sign, in this order."""
    return constant(
        tuple(
            Prompt(word, metadata={"sign": sign})
            for (word, sign), count in zip({"praise": 1.0, "pan": -1.0}.items(), counts, strict=True)
            for _ in range(count)
        )
    )


def returns(random: float, best: float, split: str = "all") -> Any:
    return constant({split: {"reward": Returns(random=random, blind=best, best=best)}})


def paid(reward: Any, **fields: Any) -> Any:
    return replace(HONEST, make_reward=constant(reward), make_gold=None, **fields)


UNUSUAL = {
    "the task's own stop spares the oracle the end token": paid(
        Password(),
        make_constraints=constant((NoRepeat(),)),
        make_stop=constant(stop_at_c),
        make_oracle=constant(stopping_answer),
    ),
    "random play hardly ever earns anything": paid(
        Password(), make_facts=returns((1 / 6) ** 5, 1.0, "train"), make_oracle=constant(password)
    ),
    "more prompts than texts of random play": paid(Sign(), make_prompts=signs(800, 800), make_facts=returns(0.0, 0.0)),
    "most prompts look alike": paid(Sign(), make_prompts=signs(49, 1)),
    "a random reward and an oracle": paid(Noisy(), make_oracle=constant(password)),
    "large rewards": paid(WeightedSum({"large": (1e12, FastWeighted())})),
}


@pytest.mark.parametrize("what", UNUSUAL)
def test_no_alarm_at_what_is_unusual_but_sound(what: str) -> None:
    timing = "step" if what == "large rewards" else "end"
    assert not find_faults(UNUSUAL[what], fast=True, reward_timing=timing)


def test_arguments_count_too_where_they_are_registered(register: Any) -> None:
    check_env_id(register(TextGenerationEnv, defaults={"reward_timing": "step", "illegal_reward": -20.0}), fast=True)


class OldStep(TextGenerationEnv):
    def step(self, action: Any) -> Any:
        obs, reward, terminated, _, info = super().step(action)
        return obs, reward, terminated, info


class OldReset(TextGenerationEnv):
    def reset(self, **kwargs: Any) -> Any:
        return super().reset(**kwargs)[0]


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        (OldStep, "step() returned 4 values, expected a tuple of observation, reward, terminated,"),
        (OldReset, "reset() returned ndarray, expected a tuple of observation, info"),
    ],
)
def test_environments_of_an_older_gymnasium_are_told_what_is_missing(kind: type[Any], seen: str, register: Any) -> None:
    (fault,) = find_faults(register(kind), fast=True)
    assert fault.rule == "plays"
    assert seen in fault.seen


@dataclass(frozen=True)
class Jittery(Weighted):
    """Differs a little between one text and many, as matrix products do."""

    size: float
    single: bool

    def __call__(self, batch: EpisodeBatch) -> Any:
        values = super().__call__(batch) * (1.0 + self.size * (len(batch) > 1))
        return values.astype(np.float32) if self.single else values


@pytest.mark.parametrize(
    ("reward", "faults"),
    [
        (Jittery(3e-7, single=True), []),
        (Jittery(3e-7, single=False), []),
        (WeightedSum({"net": (0.3, Jittery(3e-7, single=True)), "more": (0.1, Weighted())}), []),
        (Jittery(1e-5, single=True), ["reward_alone"]),
        (Jittery(1e-13, single=False), ["reward_alone"]),
    ],
    ids=["rounding", "scaled", "in a sum", "no rounding", "doubles"],
)
def test_only_single_precision_may_differ_by_rounding(reward: Any, faults: list[str]) -> None:
    task = replace(HONEST, make_reward=constant(reward))
    assert [fault.rule for fault in find_faults(task, fast=True)] == faults


def test_an_estimate_of_random_play_is_given_more_room() -> None:
    exact, estimate = with_facts(random=0.4), with_facts(random=0.4, inexact=("random",))
    assert [fault.rule for fault in find_faults(exact, fast=True)] == ["random_return"]
    assert not find_faults(estimate, fast=True)


# ---- how it is called ---------------------------------------------------------------------------------------------


def test_mistakes_of_the_user_are_no_faults() -> None:
    with pytest.raises(gym.error.NameNotFound):
        find_faults("TextGenn-v0")
    with pytest.raises(ConfigurationError, match="not a textgym environment"):
        find_faults("CartPole-v1")
    with pytest.raises(UnknownNameError, match="Did you mean 'level'"):
        check_env_id("TextGen-v0", levl="tiny")
    with pytest.raises(ConfigurationError, match="expected an environment id"):
        find_faults(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("fault", ["the reward draws from np.random", "reset(seed) seeds NumPy's global generator"])
def test_the_global_generators_are_given_back_as_they_were(fault: str) -> None:
    task = replace(HONEST, make_facts=constant({}))
    rule = next(rule for rule in RULES if rule.name == "global_generators")
    for what, status in ((task, "ok"), (ZOO[fault].what, "broken")):
        factory = EnvFactory(what) if isinstance(what, str) else EnvFactory("TextGen-v0", {"task": what})
        subject = Subject(factory, fast=True)
        _ = subject.episodes  # the fault at work, before the rule looks
        before = global_states()
        assert judge(rule, subject, {}).status == status
        assert difference(before, global_states()) is None


def global_states() -> list[Any]:
    """The states of the process's own generators."""
    return [sys.modules["random"].getstate(), sys.modules["numpy.random"].get_state()]


def test_rules_come_after_those_that_they_need() -> None:
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    for number, rule in enumerate(RULES):
        assert {need.name for need in rule.needs} <= set(names[:number])
        assert rule.statement.endswith(".")
        assert not rule.mend.endswith(".")


def test_the_verdicts_are_the_same_each_time() -> None:
    first, again = (verdicts(ZOO["the stated random return is wrong"].what, fast=True) for _ in range(2))
    assert first == again


@pytest.mark.parametrize(
    ("left", "right", "found"),
    [
        ({"a": np.arange(2)}, {"a": np.arange(2)}, None),
        ({"a": np.arange(2)}, {"a": np.arange(2.0)}, "a: array([0, 1]) against array([0., 1.])"),
        ({"a": 1, "b": 2}, {"a": 1}, "keys: ['b'] in one of them only"),
        ({"a": [1, (2, 3)]}, {"a": [1, (2, 4)]}, "a[1][1]: 3 against 4"),
        ([1.0], [1], "[0]: 1.0 against 1"),
        ([1, 2], [1], ": 2 against 1 entries"),
        ("x" * 80, "y", f"{('x' * 80)!r}"[:57] + "... against 'y'"),
        (np.array([1, None], dtype=object), np.array([1, "s"], dtype=object), "array([1, None]"),
    ],
)
def test_differences(left: Any, right: Any, found: str | None) -> None:
    seen = difference(left, right)
    assert seen == found if found is None else str(seen).startswith(found)


def test_a_tolerance_is_for_floats_alone() -> None:
    assert difference([1.0, np.array([200.0])], [1.0 + 1e-7, np.array([200.0001])], tolerance=1e-6) is None
    assert difference(np.array([1.0, np.nan]), np.array([1.0, 1.0]), tolerance=1e-6) is not None
    assert difference(1, 2, tolerance=5.0) == "1 against 2"
    assert difference(np.array([[1, 2], [3, 4]]), np.array([[1, 2], [5, 4]]), where="obs") == "obs[1, 0]: 3 against 5"
    assert difference([np.nan, np.array([np.nan])], [np.nan, np.array([np.nan])]) is None


# ---- the command and the page -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Printed:
    """What a command wrote, and its exit status."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def textgym(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Printed]:
    """Runs ``textgym check`` in this process, which saves half a second each time."""

    def run(*words: str) -> Printed:
        monkeypatch.setattr(sys, "argv", ["textgym", "check", *words])
        monkeypatch.setattr(sys, "path", [*sys.path])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return Printed(int(end.value.code or 0), *capsys.readouterr())

    return run


def test_the_command_prints_one_line_a_rule(textgym: Any) -> None:
    result = textgym("TextGen-v0", "--fast", "--set", "level=tiny")
    assert result.returncode == 0, result.stdout + result.stderr
    *lines, last = result.stdout.splitlines()
    assert [line.split()[1].rstrip(":") for line in lines] == [rule.name for rule in RULES]
    assert "ok       budget: A text that does not end by itself" in result.stdout
    assert "skipped  processes: left to the full form" in lines
    assert last == f"TextGen-v0: {len(RULES) - 2} ok, 0 broken, 2 skipped"


def test_the_command_says_what_is_broken_and_how_to_mend_it(textgym: Any) -> None:
    result = textgym("faulty_envs:Faulty/NoReason-v0", "--fast")
    assert result.returncode == 1, result.stderr
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("BROKEN")]
    assert line.startswith("BROKEN   stop_reason: Every ended text has exactly one stop reason, the right one. But ")
    assert "stop_reason is None" in line
    assert "Set exactly one of" in line
    *_, folded, last = result.stdout.splitlines()
    assert "1 broken" in last
    assert folded.startswith("skipped  what means little while stop_reason is broken: ")
    assert len(folded.split(": ")[1].split(", ")) <= int(last.split(", ")[-1].split()[0])


@pytest.mark.parametrize("words", [["TextGen-v7"], ["CartPole-v1"], ["TextGen-v0", "--set", "level=tniy"]], ids=str)
def test_the_command_ends_with_2_for_what_does_not_exist(words: list[str], textgym: Any) -> None:
    result = textgym(*words)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert not result.stdout


def test_the_page_shows_the_rules_and_the_faults_as_they_are(root: Path) -> None:
    from make_checks import fill

    page = (root / "docs" / "checks.md").read_text(encoding="utf-8")
    assert fill(page) == page, "run python tests/make_checks.py"
