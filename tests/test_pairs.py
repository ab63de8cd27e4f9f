"""Pairs of texts: who writes them, that they differ, their names, and the batches that they become."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import textgym
from textgym.episodes import EpisodeBatch
from textgym.errors import ConfigurationError, PromptError, UnknownNameError
from textgym.factory import EnvFactory
from textgym.feedback.pairs import Pair, is_swapped, mark_best, sample_pairs, to_batches
from textgym.feedback.text_sources import POLICIES, TextSource

REVIEWS = EnvFactory("TextGen-v0")
TINY = EnvFactory("TextGen-v0", {"level": "tiny"})


def write_greedily(observations: Any, masks: np.ndarray, *, deterministic: bool, episode_starts: Any) -> np.ndarray:
    """An agent that always writes the same."""
    return masks.argmax(axis=1)


class Listed:
    """An agent that writes whole texts, another one each time it is asked, of two."""

    name = "listed"

    def __init__(self) -> None:
        self.asked = 0

    def write(self, envs: EnvFactory, prompt_indices: np.ndarray) -> list[list[int]]:
        self.asked += 1
        return [envs.task().encode_completion("was great" if self.asked % 2 else "was bad") for _ in prompt_indices]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("kwargs", [{}, {"level": "medium"}, {"level": "chinese"}])
def test_pairs_are_two_different_legal_texts_of_one_training_prompt(policy: str, kwargs: dict[str, Any]) -> None:
    envs = EnvFactory("TextGen-v0", kwargs)
    task = envs.task()
    pairs = sample_pairs(envs, policy, 60, seed=3)
    training = {task.prompts.texts[row] for row in task.prompts.rows("train")}
    assert len(pairs) == len({pair.id for pair in pairs}) == 60
    for pair in pairs:
        assert pair.first != pair.second
        assert task.prompts.texts[pair.prompt_index] == pair.prompt
        assert (pair.env_id, pair.policy, pair.gold) == ("TextGen-v0", policy, "")
        for text, ids in ((pair.first, pair.first_ids), (pair.second, pair.second_ids)):
            assert task.tokenizer.decode(list(ids)) == text
    assert {pair.prompt for pair in pairs} <= training
    completions: list[Any] = [list(pair.second_ids) for pair in pairs]
    assert len(textgym.score(envs, [pair.prompt for pair in pairs], completions)) == 60  # which refuses illegal texts


def test_prompts_take_turns_in_random_order() -> None:
    count = len(REVIEWS.task().prompts.rows("train"))
    pairs = sample_pairs(REVIEWS, "uniform", 5 * count)
    assert set(Counter(pair.prompt for pair in pairs).values()) == {5}
    orders = {tuple(pair.prompt_index for pair in pairs[start : start + count]) for start in range(0, 5 * count, count)}
    assert len(orders) > 1


def test_the_split_of_the_environments_is_respected() -> None:
    task = REVIEWS.task()
    held_out = sample_pairs(EnvFactory("TextGen-v0", {"split": "test"}), "uniform", 10)
    assert {pair.prompt_index for pair in held_out} <= set(task.prompts.rows("test").tolist())


def test_pairs_repeat_under_a_seed_and_differ_between_seeds() -> None:
    assert sample_pairs(REVIEWS, "mixed", 300, seed=5) == sample_pairs(REVIEWS, "mixed", 300, seed=5)
    one, other = ({pair.id for pair in sample_pairs(REVIEWS, "mixed", 300, seed=seed)} for seed in (0, 1))
    assert len(one & other) < 30


def test_no_pair_comes_twice_while_there_are_others() -> None:
    pairs = sample_pairs(TINY, "uniform", 1_000)
    assert len({(pair.prompt, frozenset((pair.first_ids, pair.second_ids))) for pair in pairs}) == 1_000


def test_a_pair_that_must_come_twice_has_a_name_of_its_own() -> None:
    pairs = sample_pairs(TINY, Listed(), 4)
    assert {frozenset((pair.first, pair.second)) for pair in pairs} == {frozenset(("was great", "was bad"))}
    assert len({pair.id for pair in pairs}) == 4
    assert {pair.policy for pair in pairs} == {"listed"}


def test_a_name_is_that_of_the_content() -> None:
    one = {pair.id: pair for pair in sample_pairs(TINY, "demonstrations", 20, seed=0)}
    other = {pair.id: pair for pair in sample_pairs(TINY, "demonstrations", 20, seed=1)}
    same = {(pair.prompt, pair.first_ids, pair.second_ids): pair.id for pair in one.values()}
    again = [pair for pair in other.values() if (pair.prompt, pair.first_ids, pair.second_ids) in same]
    assert again
    assert all(same[pair.prompt, pair.first_ids, pair.second_ids] == pair.id for pair in again)


def test_two_policies_write_one_text_each() -> None:
    pairs = sample_pairs(TINY, "demonstrations", 30, other=write_greedily)
    assert len({pair.second for pair in pairs}) == 1
    assert len({pair.first for pair in pairs}) > 1
    assert {pair.policy for pair in pairs} == {"demonstrations and write_greedily"}


def test_mixed_texts_are_demonstrations_changed_ones_and_random_ones() -> None:
    task = REVIEWS.task()
    batch = TextSource.of("mixed", REVIEWS).write(np.zeros(600, dtype=np.int64), seed=0)
    gold = task.gold(batch)
    demonstrations = TextSource.of("demonstrations", REVIEWS).write(np.zeros(600, dtype=np.int64), seed=0)
    known = set(demonstrations.completions)
    share = np.mean([text in known for text in batch.completions])
    assert 0.2 < share < 0.6
    random = TextSource.of("uniform", REVIEWS).write(np.zeros(600, dtype=np.int64), seed=0)
    assert task.gold(random).mean() < gold.mean() < task.gold(demonstrations).mean()


def test_the_reward_is_not_asked() -> None:
    def expensive(batch: EpisodeBatch) -> np.ndarray:
        raise AssertionError("nobody may ask")

    envs = EnvFactory("TextGen-v0", {"reward": expensive})
    assert len(sample_pairs(envs, "mixed", 20)) == 20


def test_a_policy_that_writes_always_the_same_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no two different legal texts to the prompt 'praise the movie'"):
        sample_pairs(TINY, write_greedily, 2)


@pytest.mark.parametrize(
    ("env", "policy", "count", "kind", "said"),
    [
        (REVIEWS, "unifrom", 3, UnknownNameError, "'uniform'"),
        (REVIEWS, 7, 3, ConfigurationError, "expected an agent"),
        (REVIEWS, "uniform", 0, ConfigurationError, "count=0"),
        (REVIEWS, "uniform", True, ConfigurationError, "count=True"),
        (EnvFactory("TextGen/GuessNumber-v0"), "uniform", 3, ConfigurationError, "conversation"),
        (
            EnvFactory("TextGen-v0", {"prompts": ["a", "b"], "tokenizer": "char", "reward": "diversity"}),
            "mixed",
            3,
            ConfigurationError,
            "demon",
        ),
    ],
)
def test_what_cannot_be_is_refused(env: EnvFactory, policy: Any, count: Any, kind: Any, said: str) -> None:
    with pytest.raises(kind, match=said):
        sample_pairs(env, policy, count)


# ---- sides ----------------------------------------------------------------------------------------------------------


def test_sides_are_a_fair_coin_that_falls_the_same_way_again() -> None:
    names = [f"pair {number}" for number in range(10_000)]
    sides = [is_swapped(3, "ann", name) for name in names]
    assert np.mean(sides) == pytest.approx(0.5, abs=0.015)
    assert sides == [is_swapped(3, "ann", name) for name in names]
    for other in ([is_swapped(4, "ann", name) for name in names], [is_swapped(3, "bob", name) for name in names]):
        assert np.mean([one == two for one, two in zip(sides, other, strict=True)]) == pytest.approx(0.5, abs=0.015)


# ---- batches --------------------------------------------------------------------------------------------------------


def test_batches_hold_the_texts_and_know_their_gold() -> None:
    task = REVIEWS.task()
    pairs = sample_pairs(REVIEWS, "mixed", 50)
    first, second = to_batches(task, pairs)
    assert first.completions == [pair.first for pair in pairs]
    assert second.completions == [pair.second for pair in pairs]
    assert first.prompt_texts == second.prompt_texts == [pair.prompt for pair in pairs]
    assert first.gold().tolist() == task.gold(first).tolist()  # type: ignore[union-attr]
    rewards = textgym.score(REVIEWS, first.prompt_texts, [list(pair.first_ids) for pair in pairs])
    assert task.reward(first) == pytest.approx(rewards)


def test_both_texts_of_a_pair_meet_the_same_chance_whoever_else_is_in_the_batch() -> None:
    pairs = sample_pairs(REVIEWS, "mixed", 10)
    first, second = to_batches(REVIEWS.task(), pairs)
    assert first.keys.tolist() == second.keys.tolist()
    assert len(set(first.keys.tolist())) == 10
    alone, _ = to_batches(REVIEWS.task(), pairs[4:5])
    assert alone.keys.tolist() == first.keys[4:5].tolist()


def test_texts_without_ids_are_encoded_and_prompts_found_by_their_text() -> None:
    pairs = sample_pairs(REVIEWS, "mixed", 5)
    bare = [replace(pair, first_ids=(), second_ids=(), prompt_index=-1) for pair in pairs]
    given, found = to_batches(REVIEWS.task(), pairs), to_batches(REVIEWS.task(), bare)
    for one, other in zip(given, found, strict=True):
        assert one.completions == other.completions
        assert one.prompt_indices.tolist() == other.prompt_indices.tolist()
    moved = [replace(pair, prompt_index=(pair.prompt_index + 1) % 4) for pair in pairs]  # of another table
    assert to_batches(REVIEWS.task(), moved)[0].prompt_texts == given[0].prompt_texts
    with pytest.raises(PromptError, match="eat the movie"):
        to_batches(REVIEWS.task(), [replace(bare[0], prompt="eat the movie")])


def test_texts_end_as_they_did_in_the_environment() -> None:
    pairs = sample_pairs(REVIEWS, "uniform", 60)
    ended = to_batches(REVIEWS.task(), pairs)[0].stop_reasons
    assert set(ended) == {"eos", "length"}
    expected = textgym.score(REVIEWS, [pair.prompt for pair in pairs], [list(pair.first_ids) for pair in pairs])
    assert REVIEWS.task().reward(to_batches(REVIEWS.task(), pairs)[0]) == pytest.approx(expected)


def test_the_end_by_a_rule_of_the_task_is_known_too() -> None:
    def stop_at_three(completions: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        return lengths >= 3

    task = replace(REVIEWS.task(), make_stop=lambda settings: stop_at_three)
    pairs = [
        Pair(id=str(ids), prompt="praise the movie", first="", second="", first_ids=ids, second_ids=ids)
        for ids in ((1, 2, 3), (1, 2, task.tokenizer.eos_ids[0]), (1, task.tokenizer.eos_ids[0]))
    ]
    assert to_batches(task, pairs)[0].stop_reasons == ["stop", "eos", "eos"]


# ---- attention checks -----------------------------------------------------------------------------------------------


def test_the_clearest_pairs_become_attention_checks() -> None:
    task = REVIEWS.task()
    pairs = sample_pairs(REVIEWS, "mixed", 40)
    marked = mark_best(task, pairs, 6)
    assert [replace(pair, gold="") for pair in marked] == pairs
    first, second = (batch.gold() for batch in to_batches(task, pairs))
    margins = np.abs(first - second)  # type: ignore[operator]
    chosen = np.array([pair.gold != "" for pair in marked])
    assert chosen.sum() == 6
    assert margins[chosen].min() >= margins[~chosen].max()
    for pair, one, other in zip(marked, first, second, strict=True):  # type: ignore[arg-type]
        assert pair.gold in ("", "first" if one > other else "second")


def test_without_gold_there_are_no_attention_checks() -> None:
    envs = EnvFactory("TextGen-v0", {"reward": "diversity", "prompts": ["a", "b"], "tokenizer": "char"})
    with pytest.raises(ConfigurationError, match="no gold score"):
        mark_best(envs.task(), sample_pairs(envs, "uniform", 3), 1)
