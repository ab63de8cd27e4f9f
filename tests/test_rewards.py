"""PerText, WeightedSum, ExactMatch, EditSimilarity, and how names become rewards."""

from __future__ import annotations

import copy
import functools
import math
import pickle
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import textgym.rewards as rewards_package
from textgym.episodes import EpisodeBatch
from textgym.errors import ConfigurationError, MissingDependencyError, RewardError, UnknownNameError
from textgym.prompts import PromptTable, load_prompts
from textgym.rewards import EditSimilarity, ExactMatch, PerText, WeightedSum, as_reward, resolve_reward
from textgym.tokenizers import CharTokenizer

LETTERS = CharTokenizer("abc =")
PROMPTS: list[Any] = [
    {"prompt": "a=", "reference": ["ab", "b"], "difficulty": 2, "tags": "x"},
    {"prompt": "b=", "reference": [""], "difficulty": 3},
]


def batch_of(*completions: str, prompts: Any = PROMPTS, rows: list[int] | None = None) -> EpisodeBatch:
    table = PromptTable(load_prompts(prompts), LETTERS)
    ids = [LETTERS.encode(text) for text in completions]
    return EpisodeBatch.from_ids(table, LETTERS, rows or [0] * len(ids), ids)


def length(completion: str) -> float:
    return len(completion)


def all_arguments(
    prompt: str, completion: str, reference: str, references: Any, difficulty: int, bonus: int = 7
) -> int:
    assert (prompt, reference, references) in [("a=", "ab", ("ab", "b")), ("b=", "", ("",))]
    return 100 * difficulty + 10 * bonus + len(completion)


def batch_lengths(batch: EpisodeBatch) -> np.ndarray:
    return batch.lengths.astype(np.float64)


class CountOf:
    """A reward class with a parameter, as a user may write it."""

    def __init__(self, letter: str) -> None:
        self.letter = letter

    def __call__(self, batch: EpisodeBatch) -> np.ndarray:
        return np.array([float(text.count(self.letter)) for text in batch.completions])


# PerText


def test_per_text_fills_parameters_by_name() -> None:
    scores = PerText(all_arguments)(batch_of("ab", "abc", rows=[0, 1]))
    assert scores.dtype == np.float64
    assert scores.tolist() == [272.0, 373.0]


def test_per_text_gives_none_without_reference_and_for_missing_metadata() -> None:
    seen = []
    PerText(lambda reference, references, tags: seen.append((reference, references, tags)) or 0)(
        batch_of("a", "a", prompts=[{"prompt": "a"}, {"prompt": "b", "tags": "y"}], rows=[0, 1])
    )
    assert seen == [(None, (), None), (None, (), "y")]


def test_per_text_names_a_parameter_that_nothing_fills() -> None:
    with pytest.raises(ConfigurationError, match="'dificulty'.*Did you mean 'difficulty'"):
        PerText(lambda completion, dificulty: 0.0)(batch_of("a"))


def test_per_text_ignores_star_arguments_and_takes_keyword_only() -> None:
    assert PerText(lambda *args, completion, **kwargs: len(args) + len(kwargs) + len(completion))(batch_of("ab")) == [
        2.0
    ]


def test_per_text_refuses_functions_that_it_cannot_call_by_name() -> None:
    def positional(completion: str, /) -> float:
        return 0.0

    with pytest.raises(ConfigurationError, match="cannot be given by name"):
        PerText(positional)
    with pytest.raises(ConfigurationError, match="no argument by name"):
        PerText(lambda: 0.0)


@pytest.mark.parametrize("bad", [None, "good", [1.0, 2.0]])
def test_per_text_wants_numbers(bad: Any) -> None:
    with pytest.raises(RewardError, match="expected one finite number per text"):
        PerText(lambda completion: bad)(batch_of("a"))


def test_per_text_range() -> None:
    assert PerText(length).range == (-math.inf, math.inf)
    assert PerText(length, range=(0, 8)).range == (0.0, 8.0)
    with pytest.raises(ConfigurationError, match="least, greatest"):
        PerText(length, range=(1.0, 0.0))
    for bad in ((0.0,), (0, 1, 2), ("0", "1"), (0.0, None), (math.nan, 1.0), 3.0, "01"):
        with pytest.raises(ConfigurationError, match="expected two numbers"):
            PerText(length, range=bad)  # type: ignore[arg-type]


def test_rewards_are_values_that_pickle_and_share_on_deepcopy() -> None:
    for reward in (PerText(length, range=(0, 9)), WeightedSum({"a": (2, length), "b": ExactMatch()}), ExactMatch()):
        assert reward(batch_of("ab")).shape == (1,)  # fills lazy fields
        again = pickle.loads(pickle.dumps(reward))
        assert again == reward
        assert hash(again) == hash(reward)
        assert copy.deepcopy(reward) == reward
        assert again(batch_of("ab", "c")).tolist() == reward(batch_of("ab", "c")).tolist()
    assert PerText(length) != PerText(length, range=(0, 1))
    total = WeightedSum({"a": length})
    assert copy.deepcopy(total) is total


# WeightedSum


def test_parts_are_weighted_and_add_up_to_the_total_bit_for_bit() -> None:
    parts = {"a": (0.1, lambda completion: len(completion) / 3), "b": (-0.7, length), "c": PerText(length)}
    total, shown = WeightedSum(parts).score_parts(batch_of("a", "ab", "abc", ""))
    assert list(shown) == ["a", "b", "c"]
    assert shown["b"].tolist() == [-0.7 * n for n in (1, 2, 3, 0)]
    assert total.tolist() == ((shown["a"] + shown["b"]) + shown["c"]).tolist()
    assert total.tolist() == WeightedSum(parts)(batch_of("a", "ab", "abc", "")).tolist()


def test_the_range_is_interval_arithmetic() -> None:
    unit = PerText(length, range=(0.0, 1.0))
    assert WeightedSum({"a": (2.0, unit), "b": (-3.0, unit)}).range == (-3.0, 2.0)
    assert WeightedSum({"a": unit, "b": length}).range == (-math.inf, math.inf)
    assert WeightedSum({"a": unit, "b": (0.0, length)}).range == (0.0, 1.0)


def test_a_sum_is_stochastic_and_bound_if_a_part_is() -> None:
    class Bound(CountOf):
        stochastic = True

        def __init__(self, fingerprint: str) -> None:
            super().__init__("a")
            self.tokenizer_fingerprint = fingerprint

    assert not WeightedSum({"a": length}).stochastic
    assert WeightedSum({"a": length}).tokenizer_fingerprint is None
    assert WeightedSum({"a": length, "b": Bound("one")}).stochastic
    assert WeightedSum({"a": length, "b": Bound("one")}).tokenizer_fingerprint == "one"
    with pytest.raises(ConfigurationError, match="different tokenizers"):
        WeightedSum({"a": Bound("one"), "b": Bound("two")})


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "expected {name: reward}"),
        ([length], "expected {name: reward}"),
        ({"": length}, "expected a name"),
        ({1: length}, "expected a name"),
        ({"a": (math.nan, length)}, "finite number"),
        ({"a": ("2", length)}, "finite number"),
        ({"a": (True, length)}, "finite number"),
        ({"a": (1.0, 2.0)}, "expected a function"),
        ({"a": ExactMatch}, "is a class"),
    ],
)
def test_a_sum_checks_its_parts(parts: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        WeightedSum(parts)


def test_a_part_of_the_wrong_shape_is_named() -> None:
    with pytest.raises(RewardError, match="'short' returned shape"):
        WeightedSum({"a": length, "short": lambda batch: np.zeros(1)})(batch_of("a", "b"))


# ExactMatch, EditSimilarity


@pytest.mark.parametrize(
    ("completion", "row", "expected"),
    [("ab", 0, 1.0), ("b", 0, 1.0), ("a", 0, 0.0), ("", 0, 0.0), ("ab ", 0, 0.0), ("", 1, 1.0), ("a", 1, 0.0)],
)
def test_exact_match(completion: str, row: int, expected: float) -> None:
    assert ExactMatch()(batch_of(completion, rows=[row])).tolist() == [expected]


def test_exact_match_can_normalize() -> None:
    batch = batch_of(" a  b ", prompts=[{"prompt": "a", "reference": "Ａ B"}])
    assert ExactMatch()(batch).tolist() == [0.0]
    assert ExactMatch(normalize=True)(batch).tolist() == [1.0]


@pytest.mark.parametrize(
    ("completion", "row", "expected"),
    [("ab", 0, 1.0), ("ac", 0, 0.5), ("bb", 0, 0.5), ("cc", 0, 0.0), ("abca", 0, 0.5), ("", 0, 0.0), ("", 1, 1.0)],
)
def test_edit_similarity(completion: str, row: int, expected: float) -> None:
    pytest.importorskip("rapidfuzz")
    assert EditSimilarity()(batch_of(completion, rows=[row])).tolist() == [expected]


@pytest.mark.parametrize("reward", [ExactMatch(), EditSimilarity()])
def test_matching_needs_references(reward: Any) -> None:
    if isinstance(reward, EditSimilarity):
        pytest.importorskip("rapidfuzz")
    assert reward.range == (0.0, 1.0)
    with pytest.raises(RewardError, match=r"'b' has no reference.*column 'reference'"):
        reward(batch_of("a", "a", prompts=[{"prompt": "a", "reference": "a"}, "b"], rows=[0, 1]))


def test_edit_similarity_says_which_extra_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidfuzz.distance.Levenshtein", None)
    with pytest.raises(MissingDependencyError, match=r"textgym\[metrics\]"):
        EditSimilarity()(batch_of("a"))


# as_reward and resolve_reward


@pytest.mark.parametrize(
    ("function", "wrapped"),
    [
        (length, True),
        (lambda prompt: 0.0, True),
        (lambda batch: np.zeros(len(batch)), False),
        (lambda batch, scale=2.0: np.zeros(len(batch)), False),
        (functools.partial(lambda scale, batch: np.zeros(len(batch)), 2.0), False),
        (CountOf("a"), False),
        (ExactMatch(), False),
    ],
)
def test_the_signature_decides(function: Any, wrapped: bool) -> None:
    reward = resolve_reward(function)
    assert isinstance(reward, PerText) == wrapped
    assert wrapped or reward is function
    assert len(reward(batch_of("ab", "ab"))) == 2


def one_number(text: str) -> float:
    return len(text)


def of_a_text(text: str) -> float:
    return float(text.count("a"))


def all_equal(texts: EpisodeBatch) -> list[int]:
    return [1] * len(texts)


@pytest.mark.parametrize(("function", "what"), [(one_number, r"returned shape \(\)"), (of_a_text, "AttributeError")])
def test_a_function_that_is_handed_a_batch_says_why_when_it_fails(function: Any, what: str) -> None:
    name = function.__name__
    hint = f"{name} has one parameter 'text', so it is given the whole batch; call it 'completion' to get one text"
    with pytest.raises(RewardError, match=f"{what}.*{hint}"):
        as_reward(function)(batch_of("ab", "b"))
    assert repr(as_reward(function)) == name


def test_a_function_of_a_batch_is_a_value_and_lets_errors_of_the_set_up_pass() -> None:
    reward = as_reward(all_equal)
    assert reward(batch_of("ab", "b")).tolist() == [1.0, 1.0]
    assert pickle.loads(pickle.dumps(reward)) == reward

    def misconfigured(texts: EpisodeBatch) -> None:
        raise ConfigurationError("no model")

    with pytest.raises(ConfigurationError, match="^no model$"):
        as_reward(misconfigured)(batch_of("ab"))


def test_a_function_with_attributes_of_a_reward_keeps_them() -> None:
    def bounded(texts: EpisodeBatch) -> np.ndarray:
        return np.zeros(len(texts))

    bounded.range = (0.0, 1.0)  # type: ignore[attr-defined]
    assert as_reward(bounded).range == (0.0, 1.0)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (ExactMatch, r"is a class; pass an instance: ExactMatch\(\.\.\.\)"),
        (3, "expected a function"),
        (None, "expected a function"),
        (lambda: 0.0, "takes no argument"),
        (lambda text, answer: 0.0, "takes 'text', 'answer'; expected parameters named 'prompt'"),
        (lambda *, batch: 0.0, "takes 'batch'"),
    ],
)
def test_other_signatures_are_refused(function: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        as_reward(function)


def test_names_resolve() -> None:
    assert resolve_reward("exact_match") == ExactMatch()
    assert resolve_reward({"name": "exact_match", "normalize": True}) == ExactMatch(normalize=True)
    assert resolve_reward("edit_similarity") == EditSimilarity()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("exact_mach", "unknown reward .*Did you mean 'exact_match'"),
        ("", "unknown reward"),
        ({"name": 5}, "unknown reward"),
        ({"name": "exact_match", "normalise": True}, "unknown param.*Did you mean 'normalize'"),
        ("test_rewards_module:lenght", "unknown attribute.*Did you mean 'length'"),
    ],
)
def test_unknown_names_get_a_suggestion(spec: Any, message: str, user_module: Path) -> None:
    with pytest.raises(UnknownNameError, match=message):
        resolve_reward(spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"normalize": True}, "expected the key 'name'"),
        ("no_such_module:f", "there is no module 'no_such_module'"),
        (".relative:f", "there is no module"),
        ("classifier", "needs path_or_name"),
        ({"name": "test_rewards_module:length", "scale": 2}, "takes no params"),
        ("test_rewards_module:Scaled", "needs scale"),
    ],
)
def test_bad_specs(spec: Any, message: str, user_module: Path) -> None:
    with pytest.raises(ConfigurationError, match=message):
        resolve_reward(spec)


@pytest.fixture
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module of the user's own on the path."""
    (tmp_path / "test_rewards_module.py").write_text(
        "def length(prompt, completion):\n    return len(completion)\n"
        "class Scaled:\n"
        "    def __init__(self, scale):\n        self.scale = scale\n"
        "    def __call__(self, batch):\n        return batch.lengths * float(self.scale)\n",
        encoding="utf-8",
    )
    (tmp_path / "test_rewards_broken.py").write_text("import a_package_that_is_not_there\n", encoding="utf-8")
    (tmp_path / "test_rewards_syntax.py").write_text("def f(:\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "test_rewards_module", raising=False)
    return tmp_path


def test_module_and_attribute(user_module: Path) -> None:
    assert resolve_reward("test_rewards_module:length")(batch_of("ab")).tolist() == [2.0]
    scaled = resolve_reward({"name": "test_rewards_module:Scaled", "scale": 3})
    assert scaled(batch_of("ab")).tolist() == [6.0]


def test_the_path_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "test_rewards_beside.py").write_text("def length(completion):\n    return 0\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    before = list(sys.path)
    with pytest.raises(ConfigurationError, match="'test_rewards_beside' on Python's path; start Python in the folder"):
        resolve_reward("test_rewards_beside:length")
    assert sys.path == before


def test_an_error_inside_the_users_module_is_named_and_kept(user_module: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"'test_rewards_broken' cannot be imported.*not_there") as caught:
        resolve_reward("test_rewards_broken:f")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)
    with pytest.raises(ConfigurationError, match=r"SyntaxError.*line 1"):
        resolve_reward("test_rewards_syntax:f")


def test_rewards_of_other_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    group = "textgym.rewards"
    found = [EntryPoint("match", "textgym.rewards.match:ExactMatch", group), EntryPoint("gone", "no_module:f", group)]
    monkeypatch.setattr(rewards_package, "entry_points", lambda *, group: found if group == "textgym.rewards" else [])
    assert resolve_reward({"name": "match", "normalize": True}) == ExactMatch(normalize=True)
    with pytest.raises(ConfigurationError, match="'gone' of another package cannot be loaded"):
        resolve_reward("gone")
    with pytest.raises(UnknownNameError, match="Did you mean 'match'"):
        resolve_reward("macth")


def test_weights_in_files_are_preference_models(tmp_path: Path) -> None:
    for name in ("model.safetensors", "model.pt"):
        with pytest.raises(ConfigurationError, match="safetensors"):
            resolve_reward(str(tmp_path / name))


def test_a_folder_is_a_classifier(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no config\.json"):
        resolve_reward(str(tmp_path))


@pytest.mark.parametrize("level", ["tiny", "easy"])
def test_reviews_ships_one_model_a_level(level: str) -> None:
    assert level in resolve_reward("reviews", level=level).path
    assert "tiny" in resolve_reward({"name": "reviews", "level": "tiny"}, level=level).path


def test_importing_rewards_imports_nothing_heavy() -> None:
    code = (
        "import sys, textgym.rewards as r\n"
        "assert r.PerText and r.ExactMatch and r.ClassifierReward and set(dir(r)) == set(r.__all__)\n"
        "assert not {'torch', 'transformers', 'rapidfuzz'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_public_name_is_there() -> None:
    assert {name: getattr(rewards_package, name) for name in rewards_package.__all__}.keys() >= {"PerText", "REWARDS"}
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = rewards_package.Nothing
