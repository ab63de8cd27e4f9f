"""The glossary: whatever writes numbers down is run, and every name it writes has an entry, and the other way round."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import textgym
from textgym import glossary
from textgym.agents.registry import make_agent
from textgym.glossary import LOGS, Log, Metric, find

DOCS = Path(__file__).resolve().parents[1] / "docs"
sys.path.append(str(DOCS))  # the generator is a script, not part of the package
import generate_glossary  # noqa: E402

TINY = textgym.EnvFactory("TextGen-v0", {"level": "tiny"})
EASY = textgym.EnvFactory("TextGen-v0")


def flatten(value: Any, name: str = "") -> Iterator[str]:
    """The names of all numbers in nested JSON: ``a.b`` for dictionaries, ``a[].b`` for lists of them."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from flatten(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        for item in value:
            yield from flatten(item, f"{name}[]")
    else:
        yield name


def heads(*tables: str) -> set[str]:
    """The columns of CSV tables."""
    return {name for table in tables for name in next(csv.reader(io.StringIO(table)))}


# ---- whatever writes: each gives the names it has written -----------------------------------------------------------


def training_names() -> Iterable[str]:
    pytest.importorskip("transformers")
    quick = {"layers": 1, "width": 16, "heads": 2, "texts": 16, "lanes": 16, "sft_steps": 0}
    options: dict[str, dict[str, Any]] = {
        "sft": {"layers": 1, "width": 16, "heads": 2, "steps": 2},
        "grpo": {**quick, "exact_every": 1},
        "rloo": quick,
        "reinforce": quick,
        "lm_ppo": {**quick, "kl_bound": 1e-12, "learning_rate": 0.1},  # far enough to sound an alarm
        "dpo": {**quick, "rollouts": 1, "steps": 2},
    }
    for name, config in options.items():
        agent: Any = make_agent(name, seed=0, **config)
        agent.learn(TINY, 150)
        for row in agent.log.rows:
            yield from row


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison of one run, tracked."""
    from textgym.benchmarks.comparison import compare
    from textgym.benchmarks.suites import Entry, Suite
    from textgym.benchmarks.tracking import Tracker

    out = tmp_path_factory.mktemp("comparison")
    entry = Entry(agent="uniform", steps=2_000, env={"level": "tiny"})
    compare(Suite(name="one", title="One", entries=(entry,), seeds=(0,), episodes=20), out, on_event=Tracker(out))
    return out


def record_of(folder: Path) -> dict[str, Any]:
    (path,) = folder.glob("**/run.json")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def curve_names(folder: Path) -> Iterable[str]:
    return (name for point in record_of(folder)["curve"] for name in point)


def measure_names(folder: Path) -> Iterable[str]:
    return (name for item in record_of(folder)["measures"] for name in item)


def reference_names(folder: Path) -> Iterable[str]:
    return (name for scores in record_of(folder)["references"].values() for item in scores.values() for name in item)


def tracking_names(folder: Path) -> Iterable[str]:
    from textgym.benchmarks.tracking import read_tracking

    return (name for line in read_tracking(folder) for name in line)


def test_columns_of_the_table_of_runs_are_names_of_records() -> None:
    from textgym.benchmarks.exports import _RUN_COLUMNS

    known = [glossary.RECORD, glossary.MEASURE, glossary.TRACKING]
    assert set(_RUN_COLUMNS) - {entry.name for log in known for entry in log.metrics} == {"env_id", "alarms", "key"}


def evaluation_names() -> Iterable[str]:
    from textgym.agents.chat_player import TALLY

    agent = make_agent("uniform", seed=0)
    for env in (EASY, textgym.EnvFactory("TextGen/Translate-v0")):
        yield from textgym.evaluate(agent, env, episodes=40).metrics
    yield from TALLY

    class Writer:
        """Writes empty texts."""

        def write(self, envs: Any, prompt_indices: Any) -> list[list[int]]:
            return [[envs.task().tokenizer.eos_ids[0]] for _ in prompt_indices]

    yield from textgym.evaluate(Writer(), EASY, episodes=2).metrics


def info_names() -> Iterable[str]:
    from textgym.rewards import PerText, WeightedSum

    reward = WeightedSum({"long": PerText(len_of)})
    for env_id, options in (("TextGen-v0", {"gold": True}), ("TextGen-v0", {"reward": reward}), CONVERSATION):
        env: Any = textgym.EnvFactory(env_id, dict(options)).single()
        _, info = env.reset(seed=0)
        rng, done = np.random.default_rng(0), False
        while not done:
            yield from info
            _, _, done, _, info = env.step(int(rng.choice(np.flatnonzero(env.unwrapped.action_masks()))))
        yield from info


def len_of(completion: str) -> float:
    """A reward."""
    return float(len(completion))


CONVERSATION = ("TextGen/Dialogue-v0", {"gold": True})


def recording_names() -> Iterable[str]:
    from textgym.recorder import record
    from textgym.rewards import PerText, WeightedSum

    parts = {"reward": WeightedSum({"long": PerText(len_of)})}
    for env_id, options in (("TextGen-v0", parts), ("TextGen/Dialogue-v0", {})):
        for episode in record(make_agent("uniform"), env_id, episodes=2, **options).episodes:
            yield from episode.infos


def trl_names() -> Iterable[str]:
    from textgym.integrations.trl import reward_function

    metrics: dict[str, float] = {}
    pays = reward_function("TextGen-v0", gold=True, level="tiny")
    pays(completion_ids=[list(pays.task.tokenizer.eos_ids)], prompt_index=[0], log_metric=metrics.__setitem__)
    return metrics


def rlhf_names(tmp_path: Path) -> Iterable[str]:
    from textgym.rlhf import Plan, run_loop

    run_loop(Plan(pairs=60, algo="q_learning", steps=3_000), tmp_path)
    return flatten_each(json.loads((tmp_path / "report.json").read_text(encoding="utf-8")))


def flatten_each(rows: list[Any]) -> Iterable[str]:
    return (name for row in rows for name in flatten(row))


def model_names(tmp_path: Path) -> tuple[set[str], set[str]]:
    """Of a reward model's card, and of a report on it."""
    from judging import judged, task_of

    from textgym.preference_models import fit_preferences
    from textgym.preference_models.report import make_report

    model = fit_preferences(judged(300), task_of("easy"), ensemble=2, refit=False)
    model.save(tmp_path / "model")
    card = json.loads((tmp_path / "model" / "card.json").read_text(encoding="utf-8"))
    report = make_report(model, judged(400, seed=1), task_of("easy")).as_json()
    return {name for part in card["metrics"].values() for name in part}, set(flatten(report))


def overoptimisation_names(tmp_path: Path) -> Iterable[str]:
    from textgym.overoptimisation import overoptimise, write

    study = overoptimise("TextGen-v0", models=["unigram"], pairs=[30], noises=[0.0], seeds=1, level="tiny")
    return heads(*(path.read_text(encoding="utf-8") for path in write(study, tmp_path) if path.suffix == ".csv"))


def sheet_names() -> Iterable[str]:
    from textgym.comparisons import Comparison
    from textgym.feedback.sheet import make_sheet

    votes = [
        Comparison(prompt="p", left="a", right="b", pair=str(pair), annotator=who, choice="left", seconds=4.0)
        for pair in range(4)
        for who in ("Ann", "Bo")
    ]
    sheet = make_sheet(votes, replicates=20)
    return heads(sheet.annotators_csv()) | set(sheet.agreement.coefficients)


def classifier_names() -> Iterable[str]:
    from textgym.labelled_texts.quality import measure

    return measure(np.array([[2.0, 0.0], [0.0, 2.0]]), np.array([0, 1])).to_dict()


def field_names(kind: Any) -> Iterable[str]:
    return (item.name for item in fields(kind))


def trial_names() -> Iterable[str]:
    from textgym.benchmarks.trials import Trial

    return field_names(Trial)


# ---- and the comparisons --------------------------------------------------------------------------------------------

WRITERS: dict[str, Callable[..., Iterable[str]]] = {
    "training": training_names,
    "evaluation": evaluation_names,
    "info": info_names,
    "recording": recording_names,
    "classifier": classifier_names,
    "sheet": sheet_names,
    "trial": trial_names,
}
IN_A_COMPARISON: dict[str, Callable[[Path], Iterable[str]]] = {
    "curve": curve_names,
    "record": record_of,
    "measure": measure_names,
    "references": reference_names,
    "tracking": tracking_names,
}
IN_A_FOLDER: dict[str, Callable[[Path], Iterable[str]]] = {
    "rlhf": rlhf_names,
    "overoptimisation": overoptimisation_names,
    "card": lambda folder: model_names(folder)[0],
    "model report": lambda folder: model_names(folder)[1],
}
NEED_PACKAGES = {"trl": trl_names}


def log_of(name: str) -> Log:
    return next(log for log in LOGS if log.name == name)


def compare_names(name: str, logged: Iterable[str]) -> None:
    """Every logged name has an entry, and every entry has been logged."""
    names, log = set(logged), log_of(name)
    assert log.unknown(names) == []
    assert log.missing(names) == []


def test_no_log_is_left_out() -> None:
    tried = {*WRITERS, *IN_A_COMPARISON, *IN_A_FOLDER, *NEED_PACKAGES}
    assert tried == {log.name for log in LOGS}


@pytest.mark.filterwarnings("ignore::textgym.agents.lm.health.HealthWarning")
@pytest.mark.parametrize("name", WRITERS)
def test_what_is_logged_is_explained_and_the_other_way_round(name: str) -> None:
    compare_names(name, WRITERS[name]())


@pytest.mark.parametrize("name", IN_A_COMPARISON)
def test_names_of_a_comparison(name: str, run_folder: Path) -> None:
    compare_names(name, IN_A_COMPARISON[name](run_folder))


@pytest.mark.parametrize("name", IN_A_FOLDER)
def test_names_of_reward_models(name: str, tmp_path: Path) -> None:
    compare_names(name, IN_A_FOLDER[name](tmp_path))


def test_names_inside_trl() -> None:
    pytest.importorskip("trl")
    compare_names("trl", trl_names())


def test_every_entry_says_what_it_is() -> None:
    names = [(log.name, entry.name) for log in LOGS for entry in log.metrics]
    assert len(set(names)) == len(names)
    assert all(entry.meaning for log in LOGS for entry in log.metrics)
    assert not [entry.name for log in LOGS for entry in log.metrics if entry.meaning.endswith(".")]


def test_capital_words_stand_for_anything() -> None:
    entry = Metric("PLAY/SPLIT/SCORE", "", "")
    assert entry.pattern.fullmatch("greedy/test/gold")
    assert not entry.pattern.fullmatch("greedy")
    assert not Metric("mean", "", "").pattern.fullmatch("mean_gold")
    assert Metric("its standard error", "", "").pattern.fullmatch("its standard error")
    assert Metric("Brier", "", "").pattern.fullmatch("Brier")


def test_a_name_too_many_and_one_too_few_are_both_noticed() -> None:
    names = {entry.name for entry in glossary.MEASURE.metrics}
    compare_names("measure", names)
    with pytest.raises(AssertionError):
        compare_names("measure", names | {"median"})
    with pytest.raises(AssertionError):
        compare_names("measure", names - {"impossible"})


def test_a_name_is_found_wherever_it_is_logged() -> None:
    assert {log.name for log, _ in find("kl")} == {"training", "overoptimisation"}
    assert find("no such name") == []


def test_the_committed_page_is_that_of_the_generator(capsys: pytest.CaptureFixture[str]) -> None:
    assert generate_glossary.main(["--check"]) == 0, capsys.readouterr().out


def test_the_check_notices_a_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "glossary.md"
    assert generate_glossary.main([], page) == 0
    assert generate_glossary.main(["--check"], page) == 0
    page.write_text(page.read_text(encoding="utf-8").replace("nats a token", "bits"), encoding="utf-8")
    assert generate_glossary.main(["--check"], page) == 1
    assert "is out of date" in capsys.readouterr().out
