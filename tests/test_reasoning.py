"""The task ReasoningGym: the library's items under textgym's seeds, its own scorer, and what is refused."""

from __future__ import annotations

import copy
import json
import os
import pickle
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import textgym
from textgym import tasks
from textgym.configuration import configure
from textgym.errors import (
    ConfigurationError,
    MissingDependencyError,
    PromptError,
    RewardError,
    TaskError,
    UnknownNameError,
)
from textgym.factory import EnvFactory
from textgym.keys import spawn_seed
from textgym.reasoning import Items, build_items
from textgym.reasoning_library import ItemSettings, ItemSource
from textgym.task import Task

library = pytest.importorskip("reasoning_gym")
factory = pytest.importorskip("reasoning_gym.factory")
ID = "TextGen/ReasoningGym-v0"
WORDS: dict[str, Any] = {"dataset": "word_sorting", "config": {"min_words": 2, "max_words": 3}, "items": 40}


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Nothing that one test has built is left for the next one."""
    build_items.cache_clear()
    yield
    build_items.cache_clear()


def make_task(**options: Any) -> Task:
    return configure("ReasoningGym", **options).task


def draw(dataset: str, **options: Any) -> Items:
    return build_items(ItemSettings("easy", 0, dataset, **{"items": 40, **options}))


def earn(dataset: str, choose: Any = None, text: str | None = None, **options: Any) -> float:
    """The reward of a text for the first training item whose question is chosen."""
    task = make_task(dataset=dataset, items=40, **options)
    prompts = [prompt for prompt in task.prompts.prompts if choose is None or choose(prompt.text)]
    answer = prompts[0].references[0] if text is None else text
    return float(textgym.score(ID, [prompts[0].text], [answer], dataset=dataset, items=40, **options)[0])


# ---- the items and their scores -----------------------------------------------------------------------------------


def solve_sum(question: str) -> str:
    terms = re.sub(r"[^0-9+\- ]", "", question).split()
    return str(int(terms[0]) + int(terms[2]) if terms[1] == "+" else int(terms[0]) - int(terms[2]))


def sort_words(question: str) -> str:
    words = question.strip().rsplit(": ", 1)[1].split(", ")
    return ", ".join(sorted(words, reverse="descending order (using" in question))


SOLVERS: dict[str, Callable[[str], str]] = {
    "chain_sum": solve_sum,
    "count_bits": lambda question: str(bin(int(re.findall(r"\d+", question)[1])).count("1")),
    "spell_backward": lambda question: question.rsplit(": ", 1)[1][::-1],
    "word_sorting": sort_words,
    "letter_counting": lambda question: str(question.split("text: ")[1].lower().count(question.split('"')[1])),
}


@pytest.mark.parametrize("dataset", SOLVERS)
def test_answers_are_right_and_earn_one(dataset: str) -> None:
    task = make_task(dataset=dataset, items=40)
    prompts = task.prompts.prompts
    solved = [SOLVERS[dataset](prompt.text) for prompt in prompts]
    assert [task.best_text(prompt) for prompt in prompts] == solved
    assert (
        textgym.score(ID, [prompt.text for prompt in prompts], solved, dataset=dataset, items=40).tolist() == [1.0] * 40
    )


def test_other_texts_earn_what_the_library_says() -> None:
    task = make_task()
    question = next(prompt.text for prompt in task.prompts.prompts if prompt.references == ("-12",))
    texts = ["-12", "-120", "12", "", "-2"]
    assert textgym.score(ID, [question] * 5, texts).tolist() == [1.0, 0.75, 0.0, 0.0, 0.0]
    words = "spell_backward"
    assert earn(words) == 1.0
    assert earn(words, text="zzz") < 1.0


def test_an_episode_pays_the_librarys_score_and_success_is_the_full_one() -> None:
    env = gym.make(ID, gold=True)
    task = env.unwrapped.task  # type: ignore[attr-defined]
    for wrong in (False, True):
        env.reset(seed=0, options={"prompt_index": 0})
        ids = task.encode_completion(task.prompts.references[0][0])
        for token in ids[-1:] if wrong else ids:
            _, reward, over, _, info = env.step(token)
        assert over
        assert (reward, bool(info["success"])) == ((0.0, False) if wrong else (1.0, True))


def test_each_item_is_the_librarys_first_under_a_seed_of_its_own() -> None:
    items, entry = draw("chain_sum"), factory.DATASETS["chain_sum"]
    train = [prompt.text for prompt in items.prompts if prompt.split == "train"]
    curriculum = factory.CURRICULA["chain_sum"]()
    curriculum.set_global_level(0)
    for index in range(3):
        seed = spawn_seed(0, "chain_sum", "train", str(index))
        assert train[index] == entry[0](curriculum.generate_configuration({"seed": seed, "size": 1}))[0]["question"]


def test_neighbouring_items_share_nothing_though_neighbouring_seeds_do() -> None:
    dataset, config = factory.DATASETS["basic_arithmetic"]
    one, other = (dataset(config(seed=seed, size=100)) for seed in (7, 8))
    assert [one[n]["question"] for n in range(1, 100)] == [other[n]["question"] for n in range(99)]
    seeds = [spawn_seed(0, "basic_arithmetic", split, str(n)) for split in ("train", "test") for n in range(300)]
    assert np.diff(np.sort(np.array(seeds))).min() > 1
    texts = [prompt.text for prompt in draw("basic_arithmetic", items=200).prompts]
    assert len({*texts}) == 200


def test_splits_are_disjoint_and_fewer_items_are_the_first_of_more() -> None:
    many, few = draw("chain_sum", items=80), draw("chain_sum", items=20)
    for split, count in (("train", 15), ("test", 5)):
        assert [p for p in many.prompts if p.split == split][:count] == [p for p in few.prompts if p.split == split]
    texts = {split: {p.text for p in many.prompts if p.split == split} for split in ("train", "test")}
    assert (len(texts["train"]), len(texts["test"]), texts["train"] & texts["test"]) == (60, 20, set())


def test_a_generator_with_few_questions_gives_each_once() -> None:
    items = draw("coin_flip", items=200)
    texts = [prompt.text for prompt in items.prompts]
    assert len(texts) == len({*texts}) == 8  # exactly 0 to 3 heads of 3, and at least 0 to 3
    assert {prompt.split for prompt in items.prompts} == {"train", "test"}


@pytest.mark.parametrize("dataset", ["acre", "gsm_symbolic", "list_functions", "survo", "word_sorting"])
def test_reseeding_gives_what_new_objects_give(dataset: str) -> None:
    source = ItemSource(ItemSettings("easy", 0, dataset))
    drawn = [source.draw("test", index) for index in range(8)]
    source._reseeds = False
    again = [source.draw("test", index) for index in range(8)]
    assert [(item["question"], item["answer"]) for item in drawn] == [(i["question"], i["answer"]) for i in again]
    assert len({item["question"] for item in drawn}) > 1


DIGEST = """
import hashlib
from textgym.reasoning import build_items
from textgym.reasoning_library import ItemSettings
found = []
for name in ("word_sorting", "list_functions", "pool_matrix", "basic_arithmetic"):
    items = build_items(ItemSettings("easy", 0, name, items=20))
    found.append(hashlib.md5(repr([(p.text, p.references, p.split) for p in items.prompts]).encode()).hexdigest())
"""


def test_items_are_the_same_in_other_processes() -> None:
    here: dict[str, Any] = {}
    exec(DIGEST, here)
    hash_seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    there = subprocess.run(
        [sys.executable, "-c", DIGEST + "print(*found)"],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.split() == here["found"]
    assert len({*here["found"]}) == 4


def test_the_library_changes_nothing_outside(capsys: pytest.CaptureFixture[str]) -> None:
    def state() -> tuple[Any, str]:
        return random.getstate(), repr(np.random.get_state())  # noqa: NPY002

    before = state()
    for dataset in ("list_functions", "pool_matrix", "bf"):
        items = draw(dataset, items=8)
        assert len(items.prompts) == 8
    assert earn("pool_matrix") == 1.0
    assert state() == before
    assert capsys.readouterr().out == ""


# ---- levels, options, facts ---------------------------------------------------------------------------------------


def test_levels_are_the_curriculums_and_config_overrides_them() -> None:
    digits = {level: max(map(int, re.findall(r"\d+", " ".join(make_task(level=level).prompts.texts)))) for level in
              ("easy", "medium", "hard")}  # fmt: skip
    assert digits["easy"] <= 9 < digits["medium"] <= 99 < digits["hard"] <= 999
    texts = make_task(config={"operators": ["+"], "allow_parentheses": False}).prompts.texts
    assert all(re.fullmatch(r"Calculate \d+ \+ \d+\.", text) for text in texts)


def test_enumerations_are_given_by_their_values() -> None:
    texts = make_task(dataset="word_sorting", config={"transformation": "uppercase"}, items=8).prompts.texts
    assert all(text.strip().rsplit(": ", 1)[1].isupper() for text in texts)
    with pytest.raises(UnknownNameError, match="'upper'.*uppercase"):
        make_task(dataset="word_sorting", config={"transformation": "upper"})


def test_the_defaults_keep_their_facts_and_other_items_have_none() -> None:
    task = tasks.get("ReasoningGym")
    assert task.max_return == 1.0
    assert task.with_options({}) is task
    assert task.with_options({"dataset": "basic_arithmetic", "config": {}}) is task
    changed = make_task(**WORDS)
    assert set(changed.overridden) == {"dataset", "config", "items"}
    with pytest.raises(TaskError, match="config, dataset, items were overridden"):
        _ = changed.max_return
    assert changed.at("hard").settings.dataset == "word_sorting"
    with pytest.raises(UnknownNameError, match="dataset"):
        tasks.get("Copy").with_options({"dataset": "word_sorting"})


def test_answers_say_what_may_be_written_and_how_much() -> None:
    task = make_task(dataset="count_bits", items=40)
    answers = [text for references in task.prompts.references for text in references]
    env = gym.make(ID, dataset="count_bits", items=40)
    mask = env.unwrapped.action_masks()  # type: ignore[attr-defined]
    legal = {token for token, allowed in zip(task.tokenizer.tokens, mask, strict=True) if allowed}
    assert legal == {*"".join(answers), "<eos>"}
    assert task.turn_tokens == max(map(len, answers)) + 1


def test_demonstrations_are_of_mixed_quality() -> None:
    task, rng = make_task(), np.random.default_rng(0)
    prompts = [task.prompts.prompts[index % 150] for index in range(600)]
    texts = [task.demonstrate(prompt, rng) for prompt in prompts]
    right = np.mean(textgym.score(ID, [prompt.text for prompt in prompts], texts) == 1.0)
    assert 0.3 < right < 0.8


# ---- the way of the arguments -------------------------------------------------------------------------------------


def prompts_of(env: Any) -> tuple[str, ...]:
    texts: tuple[str, ...] = env.unwrapped.task.prompts.texts
    return texts


def test_options_reach_every_kind_of_environment() -> None:
    env = gym.make(ID, **WORDS)
    texts = prompts_of(env)
    assert len(texts) == 40
    assert "sort" in texts[0]
    assert prompts_of(gym.make_vec(ID, num_envs=2, **WORDS)) == texts
    assert EnvFactory(ID, WORDS).task().prompts.texts == texts
    assert prompts_of(gym.make(gym.envs.registration.EnvSpec.from_json(env.spec.to_json()))) == texts  # type: ignore[union-attr]


@pytest.mark.parametrize("way", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies_go_on_as_the_original(way: Any) -> None:
    env = gym.make(ID, **WORDS)
    env.reset(seed=3)
    twin = way(env)
    task = env.unwrapped.task  # type: ignore[attr-defined]
    for token in task.encode_completion(task.prompts.references[env.unwrapped.prompt_index][0]):  # type: ignore[attr-defined]
        (obs, *result), (other, *same) = env.step(token), twin.step(token)
        assert np.array_equal(obs, other)
        assert result[:3] == same[:3]
    assert result[:2] == [1.0, True]


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_worker_processes_have_the_same_items(mode: str) -> None:
    envs = gym.make_vec(ID, num_envs=2, vectorization_mode=mode, **WORDS)
    native = gym.make_vec(ID, num_envs=2, **WORDS)
    assert np.array_equal(envs.reset(seed=5)[0], native.reset(seed=5)[0])
    envs.close()


def test_the_command_line_takes_them() -> None:
    from typer.testing import CliRunner

    from textgym.cli import app

    found = CliRunner().invoke(
        app, ["info", ID, "--json", "--set", "dataset=count_bits", "--set", 'config={"max_n": 99}', "--set", "items=40"]
    )
    assert found.exit_code == 0, found.output
    facts = json.loads(found.output)
    assert facts["overridden"] == ["config", "dataset", "items"]
    assert facts["prompts"] == {"train": 30, "test": 10}
    assert facts["example"]["best"]["reward"] == 1.0


LAZY = """
import sys, textgym
from textgym.cli.listing import list_envs
list_envs()
print("reasoning_gym" in sys.modules)
"""


def test_listing_does_not_import_the_library() -> None:
    result = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True, check=True)
    assert "TextGen/ReasoningGym-v0" in result.stdout
    assert result.stdout.strip().endswith("False")


# ---- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"dataset": "word_sortin"}, UnknownNameError, "Did you mean 'word_sorting'"),
        ({"dataset": 3}, ConfigurationError, "expected a name"),
        ({"config": {"max_term": 3}}, UnknownNameError, "Did you mean 'max_terms'.*Known: allow_negation"),
        ({"config": {"seed": 3}}, UnknownNameError, "'seed'"),
        ({"config": {"min_terms": 9}}, ConfigurationError, "max_terms must be >= min_terms"),
        ({"config": {"min_digits": "a"}}, ConfigurationError, "reasoning-gym refuses"),
        ({"config": "max_words"}, ConfigurationError, "expected a dict"),
        ({"config": {"operators": {1, 2}}}, ConfigurationError, "expected a dict that JSON can hold"),
        ({"config": [1]}, ConfigurationError, "expected a dict"),
        ({"items": 1}, ConfigurationError, "at least 2"),
        ({"items": True}, ConfigurationError, "whole number"),
        ({"allow_paid_silence": "yes"}, ConfigurationError, "True or False"),
        ({"datasets": "word_sorting"}, UnknownNameError, "Did you mean 'dataset'"),
        ({"level": "easier"}, UnknownNameError, "easy"),
    ],
)
def test_bad_arguments_say_what_is_wrong(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        gym.make(ID, **options)


def test_other_tasks_refuse_the_arguments() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown argument 'dataset'\."):
        gym.make("TextGen/Copy-v0", dataset="word_sorting")


def test_paid_silence_is_refused_unless_it_is_allowed() -> None:
    with pytest.raises(
        ConfigurationError, match=r"'power_function' pays 0.01 for an empty answer.*allow_paid_silence=True"
    ):
        make_task(dataset="power_function", items=8)
    assert earn("power_function", text="", allow_paid_silence=True) == 0.01
    assert earn("power_function", allow_paid_silence=True) == 1.0


def test_a_dataset_without_answers_has_no_oracle_but_a_score() -> None:
    task = make_task(dataset="graph_color", items=8)
    prompt = task.prompts.prompts[0]
    assert (task.make_oracle, task.make_demonstration, prompt.references) == (None, None, ())
    with pytest.raises(TaskError, match="no oracle"):
        task.best_text(prompt)
    edges = [tuple(map(int, edge)) for edge in re.findall(r"\((\d+), (\d+)\)", prompt.text)]
    colours: dict[int, int] = {}
    for vertex in range(1 + max(map(int, re.findall(r"\d+", prompt.text.split("Edges")[0])))):
        taken = {colours.get(a if b == vertex else b) for a, b in edges if vertex in (a, b)}
        colours[vertex] = next(colour for colour in range(1, 20) if colour not in taken)
    texts = [json.dumps(colours), ""]
    assert textgym.score(ID, [prompt.text] * 2, texts, dataset="graph_color", items=8).tolist() == [1.0, 0.0]
    assert task.turn_tokens == 128
    assert len(gym.make(ID, dataset="graph_color", items=8).reset(seed=0)[0]) == task.prompts.width + 128


def test_items_that_hang_on_the_hash_seed_need_a_fixed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    with pytest.raises(ConfigurationError, match="PYTHONHASHSEED=0"):
        make_task(dataset="ransom_note", items=8)
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    assert len(make_task(dataset="ransom_note", items=8).prompts.texts) == 8


def test_foreign_prompts_need_a_reward_of_their_own() -> None:
    env = gym.make(ID, prompts=["Calculate 1 + 1 + 1 + 1 + 1."])
    env.reset(seed=0)
    with pytest.raises(RewardError, match="is no item of the data set 'basic_arithmetic'"):
        env.step(env.unwrapped.eos_id)  # type: ignore[attr-defined]


def test_without_the_library_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym.factory", None)
    with pytest.raises(MissingDependencyError, match=r"textgym\[reasoning\]"):
        make_task(items=8)


# ---- data sets made for the purpose -------------------------------------------------------------------------------


@dataclass
class ToyConfig:
    """The fields that every configuration of the library has."""

    seed: int | None = None
    size: int = 10


class Toy(library.dataset.ProceduralDataset):  # type: ignore[misc, name-defined]
    """Asks for a number; the parts that are wrong are set by the tests."""

    question, answer = "say {n}", "{n}"
    worth = 1.0

    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config=config, seed=config.seed, size=config.size)

    def __getitem__(self, index: int) -> dict[str, Any]:
        n = self.seed + index
        if self.answer == "raise":
            raise ZeroDivisionError("no items today")
        answer = self.answer.format(n=n) if isinstance(self.answer, str) else self.answer
        return {"question": self.question.format(n=n), "answer": None if answer == "" and n % 2 else answer}

    def score_answer(self, answer: str | None, entry: dict[str, Any]) -> float:
        return self.worth * (answer == entry["answer"])


def make_toy(monkeypatch: pytest.MonkeyPatch, **attributes: Any) -> Items:
    monkeypatch.setitem(factory.DATASETS, "toy", (type("Toy", (Toy,), attributes), ToyConfig))
    return draw("toy", items=8)


def test_a_well_formed_toy_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    items = make_toy(monkeypatch)
    assert [prompt.text.removeprefix("say ") for prompt in items.prompts] == [p.references[0] for p in items.prompts]


@pytest.mark.parametrize(
    ("attributes", "error", "message"),
    [
        ({"question": " "}, PromptError, "item train 0 of the data set 'toy' has the question ' '"),
        ({"answer": "\n"}, PromptError, "item train 0 of the data set 'toy' has the answer"),
        ({"answer": ""}, PromptError, "item t.* of the data set 'toy' has the answer ''"),
        ({"answer": 5}, PromptError, "has the answer 5, expected a text"),
        ({"answer": "raise"}, TaskError, "no items today"),
        ({"question": "say it"}, TaskError, "too few different items"),
        ({"worth": 0.5}, TaskError, "too few different items whose answers earn 1"),
    ],
)
def test_bad_items_are_errors_that_name_them(
    monkeypatch: pytest.MonkeyPatch, attributes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make_toy(monkeypatch, **attributes)


@pytest.mark.parametrize("silence", ["", None])
def test_neither_silence_is_paid(monkeypatch: pytest.MonkeyPatch, silence: str | None) -> None:
    def pay(self: Toy, answer: str | None, entry: dict[str, Any]) -> float:
        return 0.25 if answer == silence else float(answer == entry["answer"])

    with pytest.raises(ConfigurationError, match=r"pays 0.25 for an empty answer"):
        make_toy(monkeypatch, score_answer=pay)


def test_some_answers_missing_is_an_error_and_all_missing_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not make_toy(monkeypatch, answer=None, score_answer=lambda *_: 0.0).answered
    build_items.cache_clear()
    some = type(
        "Some", (Toy,), {"__getitem__": lambda self, _: {"question": f"{self.seed}", "answer": _some(self.seed)}}
    )
    monkeypatch.setitem(factory.DATASETS, "toy", (some, ToyConfig))
    with pytest.raises(PromptError, match="has no answer to '"):
        draw("toy", items=8)


def _some(seed: int) -> str | None:
    return "yes" if seed % 2 else None


def test_a_score_outside_its_range_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    make_toy(monkeypatch, worth=2.0)
    task = make_task(dataset="toy", items=8)
    with pytest.raises(RewardError, match="expected 0 to 1"):
        textgym.score(ID, [task.prompts.texts[0]], [task.prompts.references[0][0]], dataset="toy", items=8)
