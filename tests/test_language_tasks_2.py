"""Neutral, Story and Recommend: their scores by hand, their oracles, their prompts and their facts."""

from __future__ import annotations

import itertools
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripts import load_script

from textgym.annotators import BoltzmannAnnotator
from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import ConfigurationError, TaskError, UnknownNameError
from textgym.exact import solve
from textgym.narratives import Column, Narrative, Reached, slip
from textgym.ngrams import NGramModel
from textgym.plots import ASLEEP, AWAY, DEEDS, EVENTS, HAS, count_contradictions, plan
from textgym.prompts import PromptTable
from textgym.task import Task
from textgym.tasks import get
from textgym.tasks.neutral import BIAS, Editor
from textgym.tasks.recommend import LOOKS, STRICTNESS, ExpectedLikes, Reader, list_titles
from textgym.tasks.story import Plot, make_grammar
from textgym.tokenizers import CharTokenizer, WordTokenizer

NAMES = ("Neutral", "Story", "Recommend")
LEVELS = ("easy", "medium", "hard")
EVERY = list(itertools.product(NAMES, LEVELS))


def write(task: Task, prompt: str, *texts: str, keys: Any = None) -> EpisodeBatch:
    """These texts as answers to one prompt."""
    rows = [task.prompts.index_of(prompt)] * len(texts)
    ids = [task.encode_completion(text) for text in texts]
    return EpisodeBatch.from_ids(task.prompts, task.tokenizer, rows, ids, max_new_tokens=task.budget, keys=keys)


def true_score(task: Task) -> Any:
    return task.gold or task.reward


def random_batch(task: Task, count: int) -> EpisodeBatch:
    """Random ids of every length, unknown words among them."""
    rng = np.random.default_rng(7)
    end, special = task.tokenizer.eos_ids[0], task.tokenizer.vocab_size - 1
    words = [*range(len(task.constraints[0].words)), special]  # type: ignore[attr-defined]
    ids = [rng.choice(words, size=rng.integers(task.budget + 1)).tolist() for _ in range(count)]
    ids = [[*row, end][: task.budget] for row in ids]
    rows = rng.integers(len(task.prompts), size=count).tolist()
    return EpisodeBatch.from_ids(task.prompts, task.tokenizer, rows, ids, max_new_tokens=task.budget)


# ---------------------------------------------------------------- all three


@pytest.mark.parametrize(("name", "level"), EVERY)
def test_the_oracle_earns_the_best_on_every_prompt(name: str, level: str) -> None:
    task = get(name, level)
    prompts = task.prompts
    ids = [task.encode_completion(task.best_text(prompt)) for prompt in prompts.prompts]
    batch = EpisodeBatch.from_ids(prompts, task.tokenizer, range(len(prompts)), ids, max_new_tokens=task.budget)
    expected = batch.metadata("best") if name == "Recommend" else [1.0] * len(batch)
    assert true_score(task)(batch).tolist() == pytest.approx(expected, abs=1e-12)
    assert task.success is not None
    assert task.success(batch).all()
    assert all(len(row) <= task.budget and task.tokenizer.unk_id not in row for row in ids)


@pytest.mark.parametrize(("name", "level"), EVERY)
def test_held_out_prompts_are_new_and_of_known_words(name: str, level: str) -> None:
    prompts = get(name, level).prompts
    train, test = ([prompts.texts[row] for row in prompts.rows(split)] for split in ("train", "test"))
    assert len({*train, *test}) == len(train) + len(test) == len(prompts)
    assert {word for text in test for word in text.split()} <= {word for text in train for word in text.split()}
    assert 0.2 < len(test) / len(prompts) < 0.35


@pytest.mark.parametrize(("name", "level"), EVERY)
def test_a_score_is_the_same_alone_and_together_and_in_range(name: str, level: str) -> None:
    task = get(name, level)
    batch = random_batch(task, 200)
    for score in filter(None, (task.reward, task.gold, task.success)):
        together = score(batch)
        assert [float(score(batch.take([row]))[0]) for row in range(0, 200, 9)] == together[::9].tolist()
        low, high = getattr(score, "range", (0.0, 1.0))
        assert together.min() >= low
        assert together.max() <= high


@pytest.mark.parametrize(("name", "level"), EVERY)
def test_demonstrations_are_legal_mixed_and_repeat_under_a_seed(name: str, level: str) -> None:
    task = get(name, level)
    prompts = np.resize(np.arange(len(task.prompts)), 300)

    def demonstrate() -> list[str]:
        rng = np.random.default_rng(3)
        return [task.demonstrate(task.prompts.prompts[row], rng) for row in prompts]

    texts = demonstrate()
    ids = [task.encode_completion(text) for text in texts]
    scores = true_score(task)(EpisodeBatch.from_ids(task.prompts, task.tokenizer, prompts.tolist(), ids))
    assert texts == demonstrate()
    assert task.tokenizer.unk_id not in {index for row in ids for index in row}
    assert scores.std() > 0.2
    assert task.returns("all", "gold" if task.gold else "reward").random < scores.mean() < scores.max()


@pytest.mark.parametrize("name", NAMES)
def test_easy_is_solved_exactly_and_the_facts_say_so(name: str) -> None:
    task = get(name)
    for split, kind in (("train", "reward"), ("test", "gold" if task.gold else "reward")):
        solution = solve(f"TextGen/{name}-v0", kind=kind, split=split, engine="tree")
        stated = task.returns(split, kind)
        assert stated.exact
        assert stated.best == pytest.approx(solution.optimal_return, abs=1e-8)
        assert stated.normalize(stated.blind) < 0.75


@pytest.mark.parametrize("name", NAMES)
def test_scores_pickle_without_their_tables(name: str) -> None:
    task = get(name)
    batch = random_batch(task, 20)
    for score in filter(None, (task.reward, task.gold, task.success)):
        before = score(batch)
        again = pickle.loads(pickle.dumps(score))
        assert again == score
        assert np.array_equal(again(batch), before)


@pytest.mark.parametrize("name", NAMES)
def test_rewards_refuse_a_vocabulary_that_they_do_not_know(name: str) -> None:
    import gymnasium

    with pytest.raises(ConfigurationError, match="vocabulary|tokenizer"):
        gymnasium.make(f"TextGen/{name}-v0", tokenizer="char")


# ---------------------------------------------------------------- Neutral


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("members discuss rates and income", 1.0),
        ("members discuss rates", 0.5),
        ("members discuss rates and rates", 0.25),
        ("heroes champion rates and income", 0.0),
        ("cronies champion rates and income", 0.0),
        ("members discuss pupils", -0.25),
        ("members discuss rates and pupils", 0.25),
        ("", -0.25),
        ("members discuss", -0.25),
        ("rates and income", 0.75),
        ("rates members discuss income", 0.5),  # no sentence begins so, and no noun is followed by people
        ("heroes heroes heroes heroes heroes", -1.0),
    ],
)
def test_gold_of_neutral_by_hand(text: str, expected: float) -> None:
    task = get("Neutral")
    assert task.gold is not None
    assert task.gold(write(task, "report on taxes", text))[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("prompt", "text", "expected"),
    [
        ("report on taxes", "heroes champion rates and income", 1.0 + 2 * BIAS),  # they are for taxes
        ("report on taxes", "cronies denounce rates and income", 1.0 - 2 * BIAS),
        ("report on schools", "heroes champion pupils and teachers", 1.0 - 2 * BIAS),  # and against schools
        ("report on schools", "members denounce pupils and teachers", 1.0 + BIAS),
        ("report on schools", "members discuss pupils and teachers", 1.0),
    ],
)
def test_annotators_take_sides(prompt: str, text: str, expected: float) -> None:
    task = get("Neutral")
    judge = Editor(task.settings, bias=BIAS)
    assert judge(write(task, prompt, text))[0] == pytest.approx(expected, abs=1e-12)
    assert BoltzmannAnnotator(judge).score is judge


@pytest.mark.parametrize("level", LEVELS)
def test_the_reward_of_neutral_can_be_hacked(level: str) -> None:
    task = get("Neutral", level)
    assert task.gold is not None
    words = range(len(task.constraints[0].words))  # type: ignore[attr-defined]
    for row in range(0, len(task.prompts), 3):
        context = [frozenset(task.prompts.ids[row].tolist())]
        favourite, _ = task.reward.model.best_text(context, words, task.budget)  # type: ignore[attr-defined]
        prompt = task.prompts.texts[row]
        batch = write(task, prompt, task.tokenizer.decode(favourite), task.best_text(prompt))
        paid, gold = task.reward(batch), task.gold(batch)
        assert paid[0] > paid[1]
        assert gold[0] <= 0.0 < gold[1]


def test_the_learned_reward_still_knows_what_is_better() -> None:
    task = get("Neutral")
    texts = ("members discuss rates and income", "members discuss rates", "members discuss pupils", "and and")
    paid = task.reward(write(task, "report on taxes", *texts))
    assert paid.tolist() == sorted(paid.tolist(), reverse=True)


@pytest.mark.slow
def test_the_shipped_reward_of_neutral_can_be_rebuilt(root: Path) -> None:
    path, module = root / "textgym" / "assets", load_script("textgym/assets/build_neutral.py")
    rebuilt, stored = module.build_model(get("Neutral")), NGramModel.load(path / "neutral-easy.safetensors")
    assert np.array_equal(rebuilt.features, stored.features)
    assert np.array_equal(rebuilt.weights, stored.weights)
    assert (rebuilt.offset, rebuilt.range, rebuilt.description) == (stored.offset, stored.range, stored.description)


# ---------------------------------------------------------------- Story


@pytest.mark.parametrize(
    ("prompt", "text", "expected"),
    [
        ("merry tale of a ring : the fox waits", "leaves finds ring returns happily", 1.0),
        ("merry tale of a ring : the fox waits", "leaves seeks ring returns happily", 0.7),
        ("merry tale of a ring : the fox waits", "leaves finds key returns happily", 0.3),
        ("merry tale of a ring : the fox waits", "finds ring happily", 0.55),
        ("merry tale of a ring : the fox waits", "leaves returns", 0.1),
        ("merry tale of a ring : the fox waits", "", -0.2),
        ("merry tale of a ring : the fox waits", "leaves finds ring returns sadly", 0.4),  # wrong end, and not sad
        ("merry tale of a ring : the fox waits", "happily leaves finds ring", -0.2),  # 0.7 - 0.3 - 0.2 * 3
        ("merry tale of a ring : the fox travels", "finds ring returns happily", 1.0),
        ("merry tale of a ring : the fox travels", "finds ring finds ring happily", 0.4 + 0.3 + 0.15 - 0.6),
        ("sad tale of a map : the fox waits", "leaves seeks map sadly", 1.0),
        ("sad tale of a map : the fox waits", "leaves finds map sadly", 0.7),
        ("sad tale of a map : the fox waits", "leaves leaves leaves leaves leaves", -1.0),
    ],
)
def test_tales_by_hand(prompt: str, text: str, expected: float) -> None:
    task = get("Story")
    assert task.reward(write(task, prompt, text))[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("state", "text", "contradictions"),
    [
        (ASLEEP, "wakes leaves", 0),
        (ASLEEP, "leaves returns", 2),
        (0, "returns", 1),
        (AWAY | HAS, "loses ring seeks ring finds ring", 0),
        (AWAY | HAS, "finds ring", 1),
        (0, "falls falls heals heals", 2),
        (AWAY, "descends returns climbs happily", 1),  # without the thing
        (AWAY | HAS, "descends happily", 1),
        (0, "sleeps sleeps", 1),
    ],
)
def test_contradictions_by_hand(state: int, text: str, contradictions: int) -> None:
    task = get("Story", "hard")
    ids = np.array([task.tokenizer.encode(text)], dtype=np.int32)
    assert count_contradictions(make_grammar(task.settings), ids, np.array([state])).tolist() == [contradictions]


def test_vectorised_contradictions_are_those_of_a_plain_walk() -> None:
    task = get("Story", "hard")
    batch = random_batch(task, 150)
    states = np.array(batch.metadata("state"))
    found = count_contradictions(make_grammar(task.settings), batch.completion_ids, states)
    for text, state, count in zip(batch.completions, states.tolist(), found.tolist(), strict=True):
        wrong = 0
        for event in (EVENTS[word] for word in text.split() if word in EVENTS):
            wrong, state = wrong + (not event.fits(state)), event.after(state)
        assert count == wrong


def test_a_plan_has_different_events_and_a_deed() -> None:
    known = get("Story", "hard").settings.known
    found = plan(known, ASLEEP, "sadly", 8)
    assert len(set(found)) == len(found) >= 8
    assert set(found) & set(DEEDS)
    with pytest.raises(TaskError, match="lead to 'happily'"):
        plan(("leaves", "seeks"), 0, "happily", 1)


# ---------------------------------------------------------------- Recommend


def test_the_prompts_of_recommend_give_the_taste_away() -> None:
    for level in LEVELS:
        task = get("Recommend", level)
        titles, genres = list_titles(task.settings), task.settings.genres
        assert len(set(titles)) == len(titles) == genres * task.settings.titles
        for prompt in task.prompts.prompts[:100]:
            read = Counter(titles.index(word) % genres for word in prompt.text.split()[1:])
            by_count = [genre for genre, _ in read.most_common()]
            assert [prompt.metadata["taste"][genre] for genre in by_count] == [1.0, 0.5, 0.25][: len(by_count)]
            assert tuple(sorted(read.values(), reverse=True)) == task.settings.read


def appeal_words(prompt: Prompt) -> dict[float, list[str]]:
    """The unread titles of a prompt by their appeal."""
    found: dict[float, list[str]] = {}
    for number, title in enumerate(list_titles(get("Recommend").settings)):
        if number not in prompt.metadata["read"]:
            found.setdefault(prompt.metadata["taste"][number % 3], []).append(title)
    return found


@pytest.mark.parametrize(
    ("appeals", "expected"),
    [
        ((1.0, 1.0, 0.5), 1.9),
        ((0.5, 1.0, 1.0), 1.6),
        ((0.0, 0.0, 1.0), 0.4),
        ((1.0,), 1.0),
        ((), 0.0),
    ],
)
def test_expected_ratings_by_hand(appeals: tuple[float, ...], expected: float) -> None:
    task = get("Recommend")
    prompt = task.prompts.prompts[0]
    free = appeal_words(prompt)
    text = " ".join(free[appeal].pop() for appeal in appeals)
    batch = write(task, prompt.text, text)
    assert task.gold is not None
    assert task.gold(batch)[0] == pytest.approx(expected, abs=1e-12)
    mean = sum(chance * rewards[0] for chance, rewards in task.reward.outcomes(batch))  # type: ignore[attr-defined]
    assert mean == pytest.approx(expected, abs=1e-12)


def test_what_was_read_or_named_before_is_worth_nothing() -> None:
    task = get("Recommend")
    prompt = task.prompts.prompts[0]
    known, best = prompt.text.split()[1], appeal_words(prompt)[1.0][0]
    reader = Reader(task.settings)
    assert reader.appeals(write(task, prompt.text, f"{known} {best} {best}")).tolist() == [[0.0, 1.0, 0.0]]


def test_outcomes_are_what_happens() -> None:
    task = get("Recommend")
    prompt = task.prompts.prompts[3]
    free = appeal_words(prompt)
    batch = write(task, prompt.text, *[f"{free[0.5][0]} {free[1.0][0]} {free[0.0][0]}"] * 20_000)
    outcomes = task.reward.outcomes(batch.take([0]))  # type: ignore[attr-defined]
    assert len(outcomes) == len(LOOKS) * len(STRICTNESS)
    assert sum(chance for chance, _ in outcomes) == pytest.approx(1.0)
    paid = task.reward(batch)
    for value in (0.0, 1.0, 2.0, 3.0):
        stated = sum(chance for chance, rewards in outcomes if rewards[0] == value)
        assert (paid == value).mean() == pytest.approx(stated, abs=0.015)


def test_ratings_hang_on_the_key_alone() -> None:
    task = get("Recommend")
    prompt = task.prompts.prompts[0].text
    text = task.best_text(prompt)
    keys = np.arange(50, dtype=np.uint64)
    first, again = (task.reward(write(task, prompt, *[text] * 50, keys=keys)) for _ in range(2))
    assert np.array_equal(first, again)
    assert len(set(first.tolist())) > 1
    same = task.reward(write(task, prompt, *[text] * 50, keys=np.full(50, 9, dtype=np.uint64)))
    assert len(set(same.tolist())) == 1


# ---------------------------------------------------------------- what they share


def test_a_narrative_counts_what_may_not_follow() -> None:
    grammar = Narrative({"noun": ("cat",), "verb": ("ran",)}, {"start": ["noun"], "noun": ["verb"], "verb": ["end"]}, 5)
    ids = np.array([[0, 1, 3], [1, 0, 3], [0, 1, 5], [0, 2, 1], [3, 5, 5], [4, 5, 5]], dtype=np.int32)
    assert grammar.order_errors(ids).tolist() == [0, 3, 0, 2, 1, 2]  # 2 is a prompt's word, 3 the end, 4 unknown
    assert grammar.distinct(np.array([[1, 0, 1], [0, 0, 0]], dtype=np.int32)).tolist() == [[0, 1, 5], [0, 5, 5]]
    assert grammar.flags(["ran"]).tolist() == [0, 1, 0, 0, 0, 0]
    assert grammar.sentence(np.random.default_rng(0), 2) == ["noun", "verb"]


def test_a_narrative_refuses_what_does_not_fit() -> None:
    with pytest.raises(TaskError, match="verb"):
        Narrative({"noun": ("cat",)}, {"start": ["verb"]}, 5)
    with pytest.raises(TaskError, match="do not fit"):
        Narrative({"noun": ("cat", "dog")}, {"start": ["noun"]}, 3)
    with pytest.raises(TaskError, match="at most 0 words"):
        Narrative({"noun": ("cat",)}, {"start": ["noun"], "noun": ["end"]}, 4).sentence(np.random.default_rng(0), 0)


def test_a_column_follows_the_table_that_it_is_given() -> None:
    tokenizer = CharTokenizer("ab")
    tables = [
        PromptTable([Prompt("a", metadata={"x": 1}), Prompt("b", metadata={"x": 2})][::step], tokenizer)
        for step in (1, -1)
    ]
    column = Column("x")
    for table, expected in zip([*tables, tables[0]], ([1, 2], [2, 1], [1, 2]), strict=True):
        assert column(EpisodeBatch.from_ids(table, tokenizer, [0, 1], [[0], [0]])).tolist() == expected
    with pytest.raises(UnknownNameError, match="'y'"):
        Column("y")(EpisodeBatch.from_ids(tables[0], tokenizer, [0], [[0]]))


def test_a_slip_is_one_mistake() -> None:
    rng = np.random.default_rng(0)
    slips = [slip(["a", "b", "c"], ["z"], rng) for _ in range(50)]
    assert {len(words) for words in slips} == {2, 3}
    assert all(len(set(words) - {"z"}) == 2 for words in slips)


def test_scores_compare_by_their_level() -> None:
    settings = get("Story").settings
    assert Plot(settings) == Plot(settings) != Plot(get("Story", "hard").settings)
    assert Reached(Plot(settings)) == Reached(Plot(settings))
    assert ExpectedLikes(Reader(get("Recommend").settings)).range[1] == pytest.approx(2.1)
    assert isinstance(get("Neutral").tokenizer, WordTokenizer)
