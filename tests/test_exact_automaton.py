"""The automaton engine against the tree, and automata that do not fit."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from toys import PLAIN, Ids, constant, toy

from textgym import score
from textgym.automata import Automaton
from textgym.constraints import Lexicon
from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import SolveError, TaskError, TooLargeError
from textgym.exact import solve
from textgym.task import Task
from textgym.tokenizers import WordTokenizer

WORDS = ("a", "b", "c")
TOKENIZER = WordTokenizer([*WORDS, "x", "y"])


def rule(completions: NDArray[np.int32], lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The task's own end: a "c" right after an "a"."""
    return ((completions[:, :-1] == 0) & (completions[:, 1:] == 2)).any(axis=1)


@dataclass(frozen=True)
class NoDouble:
    """No word twice in a row."""

    static = False

    def __call__(self, tokenizer: Any, completions: NDArray[np.int32], lengths: NDArray[np.int64]) -> Any:
        mask = np.ones((len(completions), tokenizer.vocab_size), dtype=bool)
        some = np.flatnonzero(lengths)
        mask[some, completions[some, lengths[some] - 1]] = False
        return mask


@dataclass(frozen=True, eq=False)
class ByMachine:
    """A reward that is nothing but its automaton."""

    machine: Automaton
    wrong_by: float = 0.0

    @property
    def range(self) -> tuple[float, float]:
        return self.machine.clip

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        ends = batch.tokenizer.eos_ids
        return np.array([self.machine.score(batch.ids(row), eos_ids=ends) for row in range(len(batch))]) + self.wrong_by

    def automaton(self, prompts: Any, prompt_index: int, tokenizer: Any) -> Automaton:
        return self.machine


def build(rng: np.random.Generator, *, stops: bool, ruled: bool, clip: tuple[float, float], budget: int) -> Task:
    """A random machine whose state is the last word; that is enough for both rules."""
    size = TOKENIZER.vocab_size
    transitions = np.repeat(np.arange(size)[None], size + 1, axis=0)
    if stops:  # one more state: the text ends there
        transitions = np.vstack([transitions, np.arange(size)])
        transitions[0, 2] = size + 1
        transitions[:, TOKENIZER.eos_ids] = size + 1  # not used: an end id has no next state
    states = len(transitions)
    legal = np.zeros((states, size), dtype=bool)
    legal[:, [0, 1, 2, *TOKENIZER.eos_ids]] = True
    if ruled:
        legal[np.arange(3), np.arange(3)] = False
    machine = Automaton(
        size,
        transitions,
        rng.normal(size=(states, size)),
        closings=rng.normal(size=states),
        legal=legal if ruled else None,
        stops=np.arange(states) == size + 1 if stops else None,
        clip=clip,
    )
    rules = (Lexicon(WORDS), NoDouble()) if ruled else (Lexicon(WORDS),)
    return replace(
        PLAIN,
        make_prompts=constant((Prompt("x"), Prompt("y"))),
        make_tokenizer=constant(TOKENIZER),
        make_reward=constant(ByMachine(machine)),
        make_gold=None,
        make_success=None,
        make_facts=None,
        make_constraints=constant(rules),
        make_stop=constant(rule) if stops else None,
        max_new_tokens=constant(budget),
    )


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.booleans(),
    st.booleans(),
    st.sampled_from([(-math.inf, math.inf), (-0.5, 0.8), (-1.0, math.inf)]),
    st.integers(2, 5),
    st.sampled_from([1.0, 0.7, 0.0]),
)
def test_both_engines_agree(
    seed: int, stops: bool, ruled: bool, clip: tuple[float, float], budget: int, discount: float
) -> None:
    task = build(np.random.default_rng(seed), stops=stops, ruled=ruled, clip=clip, budget=budget)
    tree, machine = (solve(task, engine=engine, discount=discount) for engine in ("tree", "automaton"))
    assert (tree.engine, machine.engine) == ("tree", "automaton")
    assert machine.optimal_return == pytest.approx(tree.optimal_return, abs=1e-9)
    assert machine.optimal_returns == pytest.approx(tree.optimal_returns, abs=1e-9)
    for level in tree.tree.levels:
        for prefix in level.tokens.tolist():
            assert machine.value(prefix, "x") == pytest.approx(tree.value(prefix, "x"), abs=1e-9)
            assert machine.q(prefix, "x") == pytest.approx(tree.q(prefix, "x"), abs=1e-9)
            assert (machine.legal(prefix, "y") == tree.legal(prefix, "y")).all()
    if clip == (-math.inf, math.inf):  # clipping makes ties, of which rounding decides
        assert machine.optimal_texts == tree.optimal_texts
        assert machine.optimal_ids(0) == tree.optimal_ids(0)


@pytest.mark.parametrize("level", ["tiny", "easy"])
def test_the_shipped_reward_is_an_automaton(level: str) -> None:
    tree, machine = (solve("TextGen-v0", level=level, split="all", engine=engine) for engine in ("tree", "automaton"))
    assert machine.optimal_returns == pytest.approx(tree.optimal_returns, abs=1e-9)
    assert machine.optimal_texts == tree.optimal_texts
    rng = np.random.default_rng(0)
    for _ in range(100):
        depth = int(rng.integers(len(tree.tree.levels)))
        prefix = tree.tree.levels[depth].tokens[int(rng.integers(len(tree.tree.levels[depth])))].tolist()
        prompt = int(rng.integers(len(tree.task.prompts)))
        assert machine.q(prefix, prompt) == pytest.approx(tree.q(prefix, prompt), abs=1e-9)


@pytest.mark.parametrize("level", ["medium", "hard"])
def test_large_levels_are_solved_by_their_automaton(level: str) -> None:
    solution = solve("TextGen-v0", level=level, split="all")
    assert solution.engine == "automaton"
    assert solution.optimal_return == pytest.approx(solution.task.returns("all").best, abs=1e-9)
    text = solution.optimal_texts["praise the movie"][0]
    earned = score("TextGen-v0", ["praise the movie"], [text], level=level)[0]
    assert earned == pytest.approx(solution.optimal_returns["praise the movie"], abs=1e-9)


def test_a_thousand_words_and_twenty_tokens() -> None:
    rng, size = np.random.default_rng(0), 1002
    task = toy(prompts=["w1"], tokenizer=WordTokenizer([f"w{n}" for n in range(1000)]), constraints=(), budget=20)
    machine = Automaton(
        size, np.repeat(np.arange(size)[None], size + 1, axis=0), rng.normal(size=(size + 1, size)).round(3)
    )
    solution = solve(replace(task, make_reward=constant(ByMachine(machine))))
    ids = solution.optimal_ids()
    assert len(ids) == 20
    assert machine.score(ids, eos_ids=task.tokenizer.eos_ids) == pytest.approx(solution.optimal_return)
    changed = ids.copy()
    for place in range(19):  # no single word can be bettered
        for word in rng.integers(1000, size=50).tolist():
            changed[place] = word
            assert machine.score(changed, eos_ids=task.tokenizer.eos_ids) <= solution.optimal_return + 1e-9
        changed[place] = ids[place]


# ---- what does not fit --------------------------------------------------------------------------------------------


def plain_task(**changes: Any) -> Task:
    return build(
        np.random.default_rng(0), **{"stops": False, "ruled": False, "clip": (-9.0, 9.0), "budget": 3, **changes}
    )


def test_automata_that_say_otherwise_than_the_reward_are_found_out() -> None:
    task = plain_task()
    wrong = replace(task, make_reward=constant(replace(task.reward, wrong_by=0.01)))
    with pytest.raises(TaskError, match="one is wrong"):
        solve(wrong, engine="automaton")
    assert solve(wrong, engine="tree").engine == "tree"


@dataclass(frozen=True, eq=False)
class WrongEnds(ByMachine):
    """Differs from its automaton in texts with an end id, which are rare among many words."""

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        last = batch.completion_ids[np.arange(len(batch)), batch.lengths - 1]
        return super().__call__(batch) + np.isin(last, batch.tokenizer.eos_ids)


def test_ends_are_tried_in_a_large_vocabulary_too() -> None:
    words = WordTokenizer([f"w{number}" for number in range(1000)])
    size = words.vocab_size
    machine = Automaton(0, np.zeros((1, size), dtype=np.int64), np.linspace(0.0, 1.0, size)[None])
    task = toy(prompts=["w1"], tokenizer=words, constraints=(), budget=3)
    assert solve(replace(task, make_reward=constant(ByMachine(machine))), engine="automaton").engine == "automaton"
    with pytest.raises(TaskError, match="one is wrong"):
        solve(replace(task, make_reward=constant(WrongEnds(machine))), engine="automaton")


@pytest.mark.parametrize("discount", [1.0, 0.0])
def test_texts_that_only_the_budget_ends(discount: float) -> None:
    task = replace(plain_task(clip=(-math.inf, math.inf)), make_constraints=constant((Ids(frozenset({0, 1})),)))
    tree, machine = (solve(task, engine=engine, discount=discount) for engine in ("tree", "automaton"))
    assert machine.q((), "x") == pytest.approx(tree.q((), "x"), abs=1e-12)
    assert machine.optimal_return == pytest.approx(tree.optimal_return, abs=1e-12)


@pytest.mark.parametrize("limit", [{"max_seconds": 1e-9}, {"max_gigabytes": 1e-9}])
def test_automata_that_are_too_large_are_refused(limit: dict[str, float]) -> None:
    with pytest.raises(TooLargeError, match="by its automaton: about 8 states, 7 ids and 3 tokens.*smaller vocabulary"):
        solve(plain_task(), engine="automaton", **limit)


def test_automata_must_know_the_rules() -> None:
    task = plain_task()
    ruled = replace(task, make_constraints=constant((Lexicon(WORDS), NoDouble())))
    with pytest.raises(SolveError, match="legal="):
        solve(ruled, engine="automaton")
    stopping = replace(task, make_stop=constant(rule))
    with pytest.raises(SolveError, match="stops="):
        solve(stopping, engine="automaton")
    lenient = replace(task.reward.machine, legal=np.ones_like(task.reward.machine.rewards, dtype=bool))
    with pytest.raises(TaskError, match="disagree on which ids are legal"):
        solve(replace(ruled, make_reward=constant(ByMachine(lenient))), engine="automaton")


def test_what_an_automaton_does_not_know_it_says() -> None:
    solution = solve(plain_task(), engine="automaton")
    with pytest.raises(SolveError, match="random play"):
        _ = solution.returns
    with pytest.raises(SolveError, match="textgym.evaluate"):
        solution.policy_value(lambda *_, **__: None)
    with pytest.raises(SolveError, match="engine='tree'"):
        solve(plain_task(), engine="automaton", temperature=1.0)
    with pytest.raises(SolveError, match="engine='tree'"):
        solve(plain_task(), engine="automaton", reward_timing="step")
    with pytest.raises(SolveError, match="nor reward_timing"):
        solve(plain_task(), engine="automaton", reference="uniform")
    with pytest.raises(SolveError, match="offers no automaton"):
        solve(PLAIN, engine="automaton")
    with pytest.raises(SolveError, match="may not be written"):
        solution.value([99], 0)
    with pytest.raises(SolveError, match="has ended"):
        solution.value([0, 0, 0], 0)
    with pytest.raises(SolveError, match="has ended"):
        solution.value([*TOKENIZER.eos_ids], 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rewards": np.zeros((2, 2))}, "rewards of shape"),
        ({"closings": np.zeros(5)}, "closings of shape"),
        ({"start": 9}, "a state that it has not"),
        ({"transitions": np.full((1, 3), 7)}, "a state that it has not"),
        ({"transitions": np.zeros((1, 3))}, "expected an array of states"),
        ({"transitions": [[0, 0, 0]]}, "expected an array of states"),
        ({"rewards": np.array([[0.0, -math.inf, 0.0]])}, "legal="),
        ({"closings": np.array([math.nan])}, "not finite"),
        ({"clip": (1.0, -1.0)}, "lowest, highest"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    good = Automaton(0, np.zeros((1, 3), dtype=np.int64), np.zeros((1, 3)))
    with pytest.raises(TaskError, match=message):
        replace(good, **changes)


def test_gold_may_have_an_automaton_of_its_own() -> None:
    task = plain_task()
    gold = build(np.random.default_rng(1), stops=False, ruled=False, clip=(-3.0, 3.0), budget=3).reward
    both = replace(task, make_gold=constant(gold))
    tree, machine = (solve(both, kind="gold", engine=engine) for engine in ("tree", "automaton"))
    assert machine.optimal_returns == pytest.approx(tree.optimal_returns, abs=1e-9)
    assert machine.q((), "x") == pytest.approx(tree.q((), "x"), abs=1e-9)
    assert (machine.kind, tree.kind) == ("gold", "gold")
    assert machine.optimal_return != pytest.approx(solve(task).optimal_return)


def test_an_automaton_of_another_vocabulary_is_refused() -> None:
    small = Automaton(0, np.zeros((1, 3), dtype=np.int64), np.zeros((1, 3)))
    with pytest.raises(TaskError, match="reads 3 ids"):
        solve(replace(plain_task(), make_reward=constant(ByMachine(small))), engine="automaton")
