"""The transition rules against a slow reference in plain Python."""

from __future__ import annotations

import copy
import pickle
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import (
    BUDGET,
    EOS,
    PLAIN,
    PROMPTS,
    TOYS,
    WORDS,
    A,
    B,
    C,
    D,
    Faulty,
    Ids,
    Recorder,
    TwoEnds,
    constant,
    stop_at_c,
    toy,
)

from textgym.actions import check_prompt_index
from textgym.constraints import Grammar, MinLength, NoRepeat
from textgym.core import GenerationCore
from textgym.episodes import STOP_REASONS
from textgym.errors import ActionError, ConfigurationError, EpisodeOverError, PromptError, RewardError, TaskError
from textgym.scoring import Scorer
from textgym.task import Task


def make_core(task: Task, size: int = 1, *, seed: int = 0, split: str = "all", timing: str = "end") -> GenerationCore:
    core = GenerationCore(task, size, split=split, scorer=Scorer(task.reward), timing=timing)
    core.seed(np.arange(size), np.arange(seed, seed + size, dtype=np.uint64))
    core.reset(np.arange(size))
    return core


def reasons(ending: Any) -> list[str | None]:
    return [] if ending is None else ending.episodes.stop_reasons


class Reference:
    """One episode as the contract describes it; ``allowed`` is the fixed set of ids."""

    def __init__(
        self, *, allowed: frozenset[int], ends: tuple[int, ...], at_least: int, repeat: bool, stop: int | None
    ):
        self.allowed, self.ends, self.at_least, self.repeat, self.stop = (
            allowed,
            ends,
            at_least,
            repeat,
            stop,
        )
        self.ids: list[int] = []

    def legal(self) -> set[int]:
        too_short = len(self.ids) < self.at_least
        return {i for i in self.allowed if not (too_short and i in self.ends) and (self.repeat or i not in self.ids)}

    def step(self, token: int) -> str | None:
        legal = token in self.legal()
        self.ids.append(token)
        if not legal:
            return "illegal"
        if token in self.ends:
            return "eos"
        if self.stop in self.ids:
            return "stop"
        return "length" if len(self.ids) == BUDGET else None


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_the_core_does_what_the_reference_does(data: st.DataObject) -> None:
    tokenizer = data.draw(st.sampled_from([WORDS, TwoEnds()]))
    ids = st.integers(0, tokenizer.vocab_size - 1)
    allowed = data.draw(st.frozensets(ids))
    at_least, repeat = data.draw(st.integers(0, 3)), data.draw(st.booleans())
    stop = data.draw(st.booleans())
    rules = (*([MinLength(at_least)] if at_least else []), *([] if repeat else [NoRepeat()]))
    prompts = None if tokenizer is WORDS else ["abc", ""]
    recorder = Recorder()
    task = toy(
        reward=recorder,
        tokenizer=tokenizer,
        prompts=prompts,
        constraints=(*rules, Ids(allowed)),
        stop=stop_at_c if stop else None,
    )
    legal = allowed - tokenizer.special_ids
    size = data.draw(st.integers(1, 4))

    def begin() -> Reference:
        return Reference(
            allowed=legal, ends=tokenizer.eos_ids, at_least=at_least, repeat=repeat, stop=C if stop else None
        )

    if not legal:
        with pytest.raises(TaskError, match="forbid every id, the end included, before anything is written"):
            make_core(task, size)
        return
    core = make_core(task, size)
    references = [begin() for _ in range(size)]
    restart = None
    for _ in range(data.draw(st.integers(1, 14))):
        if not all(core.over[row] or reference.legal() for row, reference in enumerate(references)):
            with pytest.raises(TaskError, match="forbid every id, the end included, after"):
                core.masks()
            with pytest.raises(TaskError, match="forbid every id, the end included, after"):
                core.step(np.zeros(size, dtype=np.int64), restart)
            return
        masks = core.masks()
        for row, reference in enumerate(references):
            if not core.over[row]:
                assert set(np.flatnonzero(masks[row]).tolist()) == reference.legal()
        assert masks.any(axis=1).all()
        actions = np.array([data.draw(st.sampled_from(sorted(r.legal()) or [0]) | ids) for r in references])
        recorder.calls.clear()
        rewards, ending = core.step(actions, restart)
        expected = {}
        for row, token in enumerate(actions.tolist()):
            if restart is not None and row in restart:
                references[row] = begin()
            elif (reason := references[row].step(token)) is not None:
                expected[row] = reason
        written = [core.tokens[row, core.prompt_width :].tolist() for row in range(size)]
        pads = [[core.vocab_size] * (BUDGET - len(r.ids)) for r in references]
        assert written == [[*r.ids, *pad] for r, pad in zip(references, pads, strict=True)]
        assert core.lengths.tolist() == [len(r.ids) for r in references]
        assert (core.tokens[:, : core.prompt_width] == task.prompts.ids[core.prompt_indices]).all()
        assert np.flatnonzero(core.over).tolist() == sorted(expected)
        assert (ending is None) == (not expected)
        asked = [reason for reason in expected.values() if reason != "illegal"]
        assert [call[0] for call in recorder.calls] == ([asked] if asked else [])
        if ending is not None:
            assert dict(zip(ending.rows.tolist(), reasons(ending), strict=True)) == expected
            lengths = [len(references[row].ids) for row in expected]
            assert ending.episodes.lengths.tolist() == lengths
            paid = [-1.0 if r == "illegal" else float(n) for r, n in zip(expected.values(), lengths, strict=True)]
            assert rewards[ending.rows].tolist() == paid
        assert not rewards[[row for row in range(size) if row not in expected]].any()
        restart = np.flatnonzero(core.over) if expected else None


# ---- ends, one by one ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ids", "reason"),
    [
        ([EOS], "eos"),
        ([A, A, A, A, A], "length"),
        ([A, A, A, A, EOS], "eos"),
        ([A, B, C], "stop"),
        ([A, A, A, A, C], "stop"),
        ([A, 5], "illegal"),
        ([A, A, A, A, 5], "illegal"),
        ([WORDS.vocab_size - 1], "illegal"),
    ],
)
def test_every_text_ends_for_exactly_one_reason(ids: list[int], reason: str) -> None:
    core = make_core(TOYS["stopping"])
    for token in ids[:-1]:
        assert core.step([token])[1] is None
    assert reasons(core.step([ids[-1]])[1]) == [reason]


def test_a_stop_rule_and_the_end_token_at_once_count_as_the_end_token() -> None:
    def after_one(completions: Any, lengths: Any) -> Any:
        return lengths >= 1

    core = make_core(toy(stop=after_one), 3)
    assert reasons(core.step([EOS, A, 7])[1]) == ["eos", "stop", "illegal"]


@pytest.mark.parametrize("token", TwoEnds.eos_ids)
def test_any_of_several_end_ids_ends_a_text(token: int) -> None:
    core = make_core(TOYS["two ends"])
    assert reasons(core.step([token])[1]) == ["eos"]


def test_a_tokenizers_own_pad_is_a_masked_action() -> None:
    core = make_core(TOYS["two ends"])
    assert not core.masks()[0, 5]
    assert reasons(core.step([5])[1]) == ["illegal"]


def test_a_mask_that_forbids_everything_is_an_error_that_names_the_text() -> None:
    core = make_core(toy(constraints=(Ids(frozenset({A, B})), NoRepeat())), 2)
    core.step([A, B])
    core.step([B, A])
    prompt = re.escape(repr(core.prompts.texts[core.prompt_indices[0]]))
    said = rf"constraints of Toy \(one\), Ids, NoRepeat, forbid every id, .* after 'a b' to the prompt {prompt}"
    for _ in range(2):  # nothing has changed in between
        with pytest.raises(TaskError, match=said):
            core.step([EOS, EOS])
        with pytest.raises(TaskError, match=said):
            core.masks()
    assert core.lengths.tolist() == [2, 2]


def test_a_mask_that_forbids_everything_from_the_start_is_an_error_at_once() -> None:
    with pytest.raises(TaskError, match=r"constraints of Toy \(one\), Ids, forbid every id, .* before anything"):
        make_core(toy(constraints=(Ids(frozenset()),)))


def test_a_grammar_without_a_way_on_is_an_error_that_names_the_text() -> None:
    grammar = Grammar("s", {"s": {"a": "s", "b": "t"}, "t": {"c": "s"}}, ends=("s",))
    core = make_core(toy(constraints=(grammar, Ids(frozenset({A, B, EOS})))), 2)
    core.step([A, B])
    for _ in range(2):
        with pytest.raises(TaskError, match=r"Grammar, Ids, forbid every id, .* after 'b' to the prompt"):
            core.step([A, EOS])
        with pytest.raises(TaskError, match="after 'b' to the prompt"):
            core.masks()
    assert core.lengths.tolist() == [1, 1]


@dataclass(frozen=True)
class Unlisted:
    """A rule that says what a grammar says, without being one."""

    grammar: Grammar
    static = False

    def __call__(self, *texts: Any) -> Any:
        return self.grammar(*texts)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, EOS), min_size=3, max_size=3), min_size=1, max_size=12), st.booleans())
def test_one_grammar_is_looked_up_in_a_table_that_says_what_the_rules_say(steps: list[list[int]], only: bool) -> None:
    grammar = Grammar("s", {"s": {"a": "t", "b": "s"}, "t": {"b": "s", "c": "t"}}, ends=("s", "t"))
    rules = (Ids(frozenset({A, B, EOS})),) if only else ()
    core, twin = (make_core(toy(constraints=(rule, *rules)), 3) for rule in (grammar, Unlisted(grammar)))
    restart = None
    for actions in steps:
        assert (core.masks() == twin.masks()).all()
        (rewards, ending), (paid, ended) = core.step(actions, restart), twin.step(actions, restart)
        assert rewards.tolist() == paid.tolist()
        assert reasons(ending) == reasons(ended)
        restart = None if ending is None else ending.rows


def test_a_text_that_is_over_may_have_nothing_left_to_write() -> None:
    grammar = Grammar("a", {"a": {"a": "b"}, "b": {"b": "b"}}, ends=("b",))
    core = make_core(toy(constraints=(grammar,)), 2)
    assert reasons(core.step([B, A])[1]) == ["illegal"]
    assert [np.flatnonzero(mask).tolist() for mask in core.masks()] == [[EOS], [B, EOS]]


@dataclass(frozen=True)
class Counting:
    """Forbids to write the last token again, and counts how often it is asked."""

    calls: list[int] = field(default_factory=list)
    static: bool = False

    def __call__(self, tokenizer: Any, completions: Any, lengths: Any) -> Any:
        self.calls.append(len(completions))
        mask = np.ones((len(completions), tokenizer.vocab_size + 1), dtype=bool)
        rows = np.arange(len(completions))
        mask[rows, np.where(lengths > 0, completions[rows, lengths - 1], tokenizer.vocab_size)] = False
        return mask[:, :-1]


def test_a_mask_is_made_once_for_the_agent_and_for_what_it_chooses() -> None:
    rule = Counting()
    core = make_core(toy(constraints=(rule,)), 3)
    rule.calls.clear()  # it is tried once when the core is made
    for step, actions in enumerate(([A, A, A], [B, B, B], [A, A, A], [B, B, EOS])):
        assert core.masks()[0, actions[0]]
        assert core.masks([0, 2]).shape == (2, core.vocab_size)
        core.step(actions)
        assert len(rule.calls) == step + 1
    core.step([C, C, 0], np.array([2]))
    core.masks()
    assert len(rule.calls) == 6


RULED = toy(constraints=(Grammar("s", {"s": {"a": "t", "b": "s"}, "t": {"b": "s", "c": "t"}}, ends=("s", "t")),))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_kept_masks_are_those_of_the_text_whatever_happens_to_it(data: st.DataObject) -> None:
    """Steps, restarts, states, places and copies in any order; the constraint itself says what is right."""
    core = make_core(RULED, 3, seed=1)
    state, restart = core.get_state(), None
    for _ in range(data.draw(st.integers(1, 12))):
        what = data.draw(st.sampled_from(["step", "step", "look", "copy", "pickle", "save", "load", "place", "reset"]))
        if what == "step":
            core.step(np.array(data.draw(st.lists(st.integers(0, EOS), min_size=3, max_size=3))), restart)
        elif what in ("copy", "pickle"):
            old, core = core, copy.deepcopy(core) if what == "copy" else pickle.loads(pickle.dumps(core))
            old.reset(np.arange(3))
            old.step(np.array([A, A, A]))
        elif what == "save":
            state = core.get_state()
        elif what == "load":
            core.set_state(state)
        elif what == "place":
            ids = np.array(data.draw(st.lists(st.sampled_from([A, B]), min_size=3, max_size=3)), dtype=np.int32)
            core.place(np.zeros(3, dtype=np.int64), ids[:, None], np.zeros(3))
        elif what == "reset":
            core.reset(np.array([0, 2]))
        over = np.flatnonzero(core.over)
        restart = over if over.size else None
        if what != "step" or data.draw(st.booleans()):
            expected = core.fixed_mask & core.rules[0](core.tokenizer, core.completions, core.lengths)
            expected[~expected.any(axis=1), EOS] = True
            assert core.masks().tolist() == expected.tolist()


def test_prompts_may_be_a_file_and_no_table_of_texts_is_made(tmp_path: Path) -> None:
    task = toy(prompts=["praise the movie", "pan", "pan the plot"])
    np.save(tmp_path / "ids.npy", task.prompts.ids)
    mapped = np.load(tmp_path / "ids.npy", mmap_mode="r")
    plain, on_disk = make_core(task, 8), make_core(task, 8)
    on_disk.prompts = copy.copy(task.prompts)
    on_disk.prompts.ids = mapped
    for core in (plain, on_disk):
        core.reset(np.arange(8))
        core.place(np.resize([0, 1, 2], 8), np.full((8, 1), A, dtype=np.int32), np.zeros(8))
        core.reset(np.arange(4))
    assert on_disk.tokens.tolist() == plain.tokens.tolist()
    shapes = [value.shape for value in vars(plain).values() if isinstance(value, np.ndarray)]
    assert (len(task.prompts), plain.width) not in shapes


# ---- what may not be asked ----------------------------------------------------------------------------------------

WRONG = [
    [A, WORDS.vocab_size],
    [A, -1],
    [A, 2**40],
    [0.0, 1.0],
    ["a", "b"],
    [None, None],
    [True, False],
    [A],
    [[A, A]],
    [[A], [A, A]],
    A,
    None,
    [A, A, A],
]


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_wrong_actions_are_refused_and_change_nothing(wrong: Any) -> None:
    core, twin = make_core(PLAIN, 2), make_core(PLAIN, 2)
    core.step([A, B])
    twin.step([A, B])
    before = core.get_state()
    with pytest.raises(ActionError, match="expected"):
        core.step(wrong)
    for name, value in core.get_state().items():
        assert np.array_equal(value, before[name]), name
    assert core.step([EOS, A])[0].tolist() == twin.step([EOS, A])[0].tolist()


def test_a_refused_step_does_not_restart_rows() -> None:
    core = make_core(PLAIN, 2)
    core.step([EOS, A])
    keys = core.keys.copy()
    with pytest.raises(ActionError):
        core.step([0, 99], np.array([0]))
    assert core.keys.tolist() == keys.tolist()
    assert core.over.tolist() == [True, False]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int32, np.int64, np.uint64])
def test_any_integer_type_is_an_action(dtype: type) -> None:
    core = make_core(TOYS["bytes"], 2)  # the pad id 257 does not fit into one byte
    core.step(np.array([100, 101], dtype=dtype))
    core.over[0] = True
    core.step(np.array([100, 101], dtype=dtype), np.array([0]))
    assert core.lengths.tolist() == [0, 2]


def test_actions_of_rows_that_restart_are_ignored_whatever_they_are() -> None:
    core = make_core(PLAIN, 2)
    core.step([EOS, A])
    core.step([-7, A], np.array([0]))
    assert core.lengths.tolist() == [0, 2]


@pytest.mark.parametrize("begun", [True, False])
def test_a_text_that_is_over_takes_no_step(begun: bool) -> None:
    core = make_core(PLAIN, 2) if begun else GenerationCore(PLAIN, 2, split="all", scorer=Scorer(PLAIN.reward))
    if begun:
        core.step([EOS, A])
    before = core.get_state()
    with pytest.raises(EpisodeOverError, match="reset"):
        core.step([A, A])
    assert all(np.array_equal(value, before[name]) for name, value in core.get_state().items())


@pytest.mark.parametrize("timing", ["end", "step"])
def test_after_a_failed_reward_the_text_is_over(timing: str) -> None:
    core = make_core(toy(reward=Faulty("raise")), 2, timing=timing)
    core.step([A, A])
    for _ in range(2):
        core.step([A, A])
    core.step([A, A])
    with pytest.raises(RewardError):
        core.step([D, A])
    with pytest.raises(EpisodeOverError):
        core.step([A, A])
    assert core.lengths.tolist() == [BUDGET, BUDGET]
    core.reset(np.arange(2))
    assert core.step([EOS, A])[0][0] == 1.0


@pytest.mark.parametrize("index", [-1, len(PROMPTS), 0.5, "0", True, [0, 9], None])
def test_prompt_indices_are_whole_numbers_in_range(index: Any) -> None:
    with pytest.raises(PromptError, match=f"0 to {len(PROMPTS) - 1}"):
        check_prompt_index(index, 2, len(PROMPTS))


# ---- rewards and randomness ---------------------------------------------------------------------------------------


def test_the_reward_is_asked_once_a_step_for_all_rows_that_need_it() -> None:
    recorder = Recorder()
    core = make_core(toy(reward=recorder), 4)
    core.step([A, EOS, EOS, 5])
    assert recorder.calls == [(["eos", "eos"], ["", ""])]


def test_paid_by_step_it_sees_prefixes_with_no_stop_reason() -> None:
    recorder = Recorder()
    core = make_core(toy(reward=recorder), 3, timing="step")
    core.step([A, B, EOS])
    core.step([A, 5, A], np.array([2]))
    assert recorder.calls == [([None, None, "eos"], ["a", "b", ""]), ([None], ["a a"])]


def test_a_prefix_has_no_reward_parts_and_ends_nothing() -> None:
    core = make_core(TOYS["combined"], timing="step")
    rewards, ending = core.step([A])
    assert ending is None
    assert rewards[0] != 0.0


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (3, 0, 4, 1, 2), (0, 3, 1, 2, 4)])
@pytest.mark.parametrize("split", ["train", "test", "all"])
def test_every_prompt_of_a_split_is_drawn_and_no_other(split: str, order: tuple[int, ...]) -> None:
    prompts = tuple(PROMPTS[row] for row in order)
    core = make_core(replace(PLAIN, make_prompts=constant(prompts)), 300, split=split)
    expected = [row for row, prompt in enumerate(prompts) if split in ("all", prompt.split)]
    assert sorted(set(core.prompt_indices.tolist())) == expected
    assert len(set(core.keys.tolist())) == 300


def test_an_episode_hangs_on_the_lane_and_its_number_alone() -> None:
    many, one = make_core(PLAIN, 5, seed=0), make_core(PLAIN, 1, seed=3)
    for _ in range(4):
        assert (many.keys[3], many.prompt_indices[3]) == (one.keys[0], one.prompt_indices[0])
        many.reset(np.array([3]))
        one.reset(np.array([0]))


def test_stop_reasons_stand_in_order_of_precedence() -> None:
    assert STOP_REASONS == (None, "length", "stop", "eos", "illegal")


def test_a_state_of_another_size_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="1"):
        make_core(PLAIN, 3).set_state(make_core(PLAIN, 1).get_state())
