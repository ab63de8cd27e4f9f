"""Errors say what came, what was expected and what to do."""

from __future__ import annotations

import pytest

from textgym import errors


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("ConfigurationError", ValueError),
        ("UnknownNameError", ValueError),
        ("PromptError", ValueError),
        ("TokenizerError", ValueError),
        ("RewardError", RuntimeError),
        ("TaskError", RuntimeError),
        ("ActionError", ValueError),
        ("EpisodeOverError", RuntimeError),
        ("MissingDependencyError", ImportError),
        ("BudgetSpent", Exception),
    ],
)
def test_every_error_is_a_textgym_error_and_a_built_in_one(name: str, builtin: type[Exception]) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, errors.TextGymError)
    assert issubclass(kind, builtin)
    assert str(kind("why")) == "why"


def test_the_end_of_a_budget_is_not_caught_as_bad_input() -> None:
    assert not issubclass(errors.BudgetSpent, ValueError | RuntimeError | ImportError)


@pytest.mark.parametrize(("name", "hint"), [("rewrad", " Did you mean 'reward'?"), ("zzz", ""), ("", "")])
def test_suggestion(name: str, hint: str) -> None:
    assert errors.suggestion(name, iter(["reward", "prompts"])) == hint


def test_unknown_name_lists_the_choices_in_order() -> None:
    error = errors.unknown_name("level", "esay", {"hard", "easy"})
    assert isinstance(error, errors.UnknownNameError)
    assert str(error) == "unknown level 'esay'. Did you mean 'easy'? Known: easy, hard."
    assert str(errors.unknown_name("level", 3, [])) == "unknown level 3. Known: none."


def test_missing_dependency_prints_the_command() -> None:
    error = errors.missing_dependency("rapidfuzz", "metrics", "EditSimilarity")
    assert isinstance(error, errors.MissingDependencyError)
    assert str(error) == "EditSimilarity needs the package 'rapidfuzz': pip install 'textgym[metrics]'"
