"""Task: levels, parts built on first use, and overrides that drop what no longer holds."""

from __future__ import annotations

import copy
import functools
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from textgym.constraints import MinLength
from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import ConfigurationError, PromptError, TaskError, UnknownNameError
from textgym.task import Returns, Task
from textgym.tasks import get
from textgym.tokenizers import CharTokenizer, WordTokenizer

BUILT: list[str] = []


def build(what: str, value: Any, settings: dict[str, int]) -> Any:
    BUILT.append(what)
    return value


def made(what: str, value: Any) -> Any:
    return functools.partial(build, what, value)


def count_a(batch: EpisodeBatch) -> np.ndarray:
    return np.array([float(text.count("a")) for text in batch.completions])


def long_text(batch: EpisodeBatch) -> np.ndarray:
    return batch.lengths.astype(np.float64)


def budget(settings: dict[str, int]) -> int:
    return settings["tokens"]


def oracle(prompt: Prompt) -> str:
    return "a" * len(prompt.text)


def demonstration(prompt: Prompt, rng: np.random.Generator) -> str:
    return "ab"[rng.integers(2)] + prompt.text


PROMPTS = (Prompt("a", ("c",), split="train"), Prompt("bb", split="train"), Prompt("b", split="test"))
FACTS = {
    "train": {"reward": Returns(1.0, 2.0, 5.0), "gold": Returns(0.0, 0.5, 1.0, inexact=("best",))},
    "test": {"reward": Returns(1.0, 2.0, 4.0)},
}


def toy(**changes: Any) -> Task:
    parts: dict[str, Any] = {
        "make_gold": made("gold", long_text),
        "make_success": made("success", long_text),
        "make_constraints": made("constraints", (MinLength(1),)),
        "make_stop": made("stop", None),
        "make_oracle": made("oracle", oracle),
        "make_demonstration": made("demonstration", demonstration),
        "make_facts": made("facts", FACTS),
        **changes,
    }
    return Task(
        name="Toy",
        summary="Write a.",
        levels={"easy": {"tokens": 3}, "hard": {"tokens": 6}},
        level="easy",
        make_prompts=made("prompts", PROMPTS),
        make_tokenizer=made("tokenizer", CharTokenizer("abc")),
        make_reward=made("reward", count_a),
        max_new_tokens=budget,
        **parts,
    )


def test_parts_are_built_once_and_only_when_used() -> None:
    BUILT.clear()
    task = toy()
    assert (task.budget, task.settings, BUILT) == (3, {"tokens": 3}, [])
    assert task.prompts is task.prompts
    assert task.reward is task.reward is count_a
    assert BUILT == ["prompts", "tokenizer", "reward"]


def test_levels() -> None:
    task = toy()
    assert task.at("easy") is task.at(None) is task
    assert (task.at("hard").level, task.at("hard").budget, task.budget) == ("hard", 6, 3)
    with pytest.raises(UnknownNameError, match="unknown level of the task Toy 'hrad'. Did you mean 'hard'"):
        task.at("hrad")


def test_returns_of_a_split() -> None:
    task = toy()
    assert task.default_split == "train"
    assert task.returns() is task.returns("train", "reward")
    assert task.returns(kind="gold").exact is False
    assert task.returns().normalize(3.0) == 0.5
    with pytest.raises(
        TaskError, match=r"best gold of Toy \(easy\) are not known: the task states none for split 'test'"
    ):
        task.returns("test", "gold")


def test_the_returns_of_the_default_split_have_names() -> None:
    task = toy()
    assert (task.random_return, task.blind_return, task.max_return) == (1.0, 2.0, 5.0)
    with pytest.raises(TaskError, match="reward was overridden"):
        _ = task.override(reward=long_text).max_return


def test_a_language_model_reads_the_demonstrations_of_the_training_prompts() -> None:
    task = toy()
    model = task.language_model
    assert model is not None
    assert model is task.language_model
    followers = {tuple(row) for row in model.ngrams[:, -2:].tolist()}
    a, b, eos = 0, 1, 3
    assert {(a, eos), (b, a), (b, b), (a, b)} <= followers  # "aa" or "ba" for "a"; "abb" or "bbb", cut, for "bb"
    assert (b, eos) not in followers
    assert {(5, a), (b, b)} <= {tuple(row) for row in model.ngrams[:, :2].tolist()}  # the prompts; 5 is the padding
    assert (5, 5) not in {tuple(row) for row in model.ngrams[:, :2].tolist()}
    assert model.counts.sum() == 2_000 // 2 * (3 + 3)  # two letters and the end; three letters, and the budget is spent
    assert toy(make_demonstration=None).language_model is None
    assert pickle.loads(pickle.dumps(task)).__dict__.keys() == toy().__dict__.keys()


def test_texts_for_prompts() -> None:
    task = toy()
    assert (task.best_text("bb"), task.best_text(Prompt("bbb"))) == ("aa", "aaa")
    assert task.demonstrate("bb", np.random.default_rng(0)) in ("abb", "bbb")
    assert task.encode_completion("a") == [0, 3]
    assert task.encode_completion("abc") == [0, 1, 2]  # no room for the end
    with pytest.raises(PromptError, match="'x' is not one of this task's 3"):
        task.best_text("x")


def test_missing_parts_say_so() -> None:
    bare = toy(
        make_gold=None, make_success=None, make_oracle=None, make_demonstration=None, make_facts=None, make_stop=None
    )
    assert (bare.gold, bare.success, bare.stop, bare.facts) == (None, None, None, {})
    assert toy(make_constraints=None).constraints == ()
    with pytest.raises(TaskError, match="has no oracle$"):
        bare.best_text("a")
    with pytest.raises(TaskError, match="has no demonstrations$"):
        bare.demonstrate("a", np.random.default_rng(0))
    with pytest.raises(TaskError, match="not known"):
        bare.returns()


def known_facts(task: Task) -> set[str]:
    parts = {
        "gold": task.gold,
        "success": task.success,
        "oracle": task.make_oracle,
        "demonstration": task.make_demonstration,
    }
    parts |= {"constraints": task.constraints, "stop": task.make_stop}
    kinds = {f"{split} {kind}" for split, known in task.facts.items() for kind in known}
    return {name for name, part in parts.items() if part} | kinds


EVERYTHING = known_facts(toy())


@pytest.mark.parametrize(
    ("override", "dropped"),
    [
        ({"reward": long_text}, {"train reward", "test reward"}),
        ({"max_new_tokens": 5}, {"oracle", "train reward", "test reward", "train gold"}),
        (
            {"prompts": [Prompt("c")]},
            {"gold", "success", "oracle", "demonstration", "train reward", "test reward", "train gold"},
        ),
        ({"tokenizer": CharTokenizer("ab c")}, EVERYTHING),
        ({"reward": long_text, "max_new_tokens": 5}, {"oracle", "train reward", "test reward", "train gold"}),
        ({"max_prompt_tokens": 9}, set()),
    ],
)
def test_an_override_drops_the_facts_that_depend_on_it(override: dict[str, Any], dropped: set[str]) -> None:
    task = toy()
    changed = task.override(**override)
    assert known_facts(changed) == EVERYTHING - dropped
    assert known_facts(task) == EVERYTHING  # the original is untouched
    assert set(changed.overridden) == set(override) - {"max_prompt_tokens"}


def test_overrides_take_effect() -> None:
    task = toy()
    assert task.override() is task
    assert task.override(reward=long_text).reward is long_text
    assert task.override(max_new_tokens=5).budget == 5
    assert task.override(max_prompt_tokens=9).prompts.width == 9
    changed = task.override(prompts=[Prompt("c"), Prompt("ab")])
    assert changed.prompts.texts == ("c", "ab")
    assert changed.default_split == "all"
    with pytest.raises(TaskError, match="prompts was overridden"):
        changed.returns()
    with pytest.raises(TaskError, match="no oracle once overridden"):
        changed.best_text("c")


def test_without_gold_the_oracle_goes_with_the_reward() -> None:
    assert toy(make_gold=None).make_oracle is not None
    assert toy(make_gold=None).override(reward=long_text).make_oracle is None


def test_overrides_add_up() -> None:
    task = toy().override(reward=long_text).override(max_new_tokens=5)
    assert set(task.overridden) == {"reward", "max_new_tokens"}
    assert (task.reward, task.budget, task.facts) == (long_text, 5, {})
    assert repr(task) == "Task('Toy', level='easy', reward, max_new_tokens overridden)"
    assert repr(toy()) == "Task('Toy', level='easy')"
    assert task.at("hard").budget == 5


def test_a_named_tokenizer_is_built_from_prompts_and_references() -> None:
    words = [Prompt("c a c"), Prompt("b", ("a",))]
    task = toy().override(prompts=words, tokenizer="word")
    assert task.tokenizer.tokens == ("a", "c", "b", "<eos>", "<unk>")  # by frequency, then code point
    assert toy().override(tokenizer="char").tokenizer.tokens[:3] == ("b", "a", "c")
    own = WordTokenizer(["c", "b", "bb", "a"])
    assert toy().override(tokenizer=own).tokenizer is own


@pytest.mark.parametrize(
    ("override", "error", "message"),
    [
        ({"max_new_tokens": 0}, ConfigurationError, "max_new_tokens=0: expected a whole number"),
        ({"max_new_tokens": True}, ConfigurationError, "expected a whole number"),
        ({"max_prompt_tokens": 1.5}, ConfigurationError, "max_prompt_tokens=1.5"),
        ({"tokenizer": 3}, ConfigurationError, "tokenizer=3 lacks vocab_size, eos_ids"),
        ({"tokenizer": "wrod"}, UnknownNameError, "Did you mean 'word'"),
    ],
)
def test_bad_overrides(override: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        toy().override(**override)


def test_a_tokenizer_without_an_end_is_refused() -> None:
    endless = CharTokenizer("ab")
    endless.eos_ids = ()
    with pytest.raises(ConfigurationError, match="no end-of-text id"):
        toy().override(tokenizer=endless)


def test_too_long_and_no_prompts_are_errors_on_first_use() -> None:
    with pytest.raises(PromptError, match=r"prompt 1 \('bb'\) has 2 tokens, but max_prompt_tokens is 1"):
        _ = toy().override(max_prompt_tokens=1).prompts
    with pytest.raises(PromptError, match="no prompts"):
        _ = toy().override(prompts=[]).prompts


def test_tasks_pickle_without_what_they_built() -> None:
    task = toy()
    assert task.prompts.width == 2
    assert copy.deepcopy(task) is task
    BUILT.clear()
    again = pickle.loads(pickle.dumps(task))
    assert BUILT == []
    assert again.prompts.texts == task.prompts.texts
    assert BUILT == ["prompts", "tokenizer"]


def test_the_gold_facts_of_another_reward_follow_the_level() -> None:
    from textgym import tasks

    changed = tasks.get("Reviews").override(reward=lambda batch: np.zeros(len(batch)))
    assert changed.at("tiny").returns(kind="gold") == tasks.get("Reviews", "tiny").returns(kind="gold")
    assert changed.returns(kind="gold") == tasks.get("Reviews").returns(kind="gold")


def test_a_registered_task_with_a_part_replaced_is_pickled_with_it() -> None:
    registered = get("Reviews", "tiny")
    assert pickle.loads(pickle.dumps(registered)) is registered
    changed = replace(registered, summary="another")
    assert pickle.loads(pickle.dumps(changed)).summary == "another"
