"""Conversations: turns, replies, their ends, and what a partner may not do."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from toys import BUDGET, EOS, PLAIN, TALKING, A, B, C, D, E, Noisy, Weighted, constant, stop_at_c

from textgym.constraints import Lexicon
from textgym.env import TextGenerationEnv
from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import ConfigurationError, SolveError, TaskError
from textgym.exact import solve
from textgym.partners import pad_replies
from textgym.task import Task
from textgym.tokenizers import WordTokenizer
from textgym.vector_env import TextGenerationVectorEnv


@dataclass(frozen=True)
class Script:
    """Always the same reply; remembers what it was asked."""

    reply: tuple[int, ...]
    max_reply_tokens: int = 2
    asked: list[list[list[tuple[str, list[int]]]]] = field(default_factory=list)

    def __call__(self, batch: EpisodeBatch) -> Any:
        self.asked.append([batch.turns(row) for row in range(len(batch))])
        return pad_replies([self.reply] * len(batch), batch.tokenizer.vocab_size)


def talk(partner: Any, **changes: Any) -> Task:
    usual: dict[str, Any] = {"make_partner": constant(partner), "max_turns": constant(3), "max_new_tokens": constant(2)}
    return replace(PLAIN, make_facts=None, **{**usual, **changes})


def say(env: TextGenerationEnv, *ids: int) -> list[Any]:
    return [env.step(index) for index in ids]


def test_turns_alternate_and_the_last_has_no_reply() -> None:
    script = Script((D, E))
    env = TextGenerationEnv(talk(script))
    env.reset(seed=0)
    steps = say(env, A, EOS, B, C, EOS)
    assert [step[2] for step in steps] == [False] * 4 + [True]
    info, batch = steps[-1][4], env.last_episodes
    assert (info["stop_reason"], info["turns"], info["num_tokens"]) == ("length", 3, 5)
    assert batch.turns(0) == [
        ("agent", [A, EOS]),
        ("partner", [D, E]),
        ("agent", [B, C]),  # two tokens are a whole turn, with or without an end id
        ("partner", [D, E]),
        ("agent", [EOS]),
    ]
    assert info["completion"] == "a d e b c d e"
    assert len(script.asked) == 2
    assert script.asked[1] == [batch.turns(0)[:3]]


def test_the_budget_is_that_of_all_turns_and_replies() -> None:
    task = talk(Script((D,)))
    assert (task.budget, task.turn_tokens, task.turns) == (3 * (2 + 2), 2, 3)
    assert (PLAIN.budget, PLAIN.turn_tokens, PLAIN.turns) == (BUDGET, BUDGET, 1)
    assert TextGenerationEnv(task).observation_space.shape == (task.prompts.width + 12,)


def test_the_tasks_own_rule_ends_before_a_reply_and_after_it() -> None:
    script = Script((D,))
    env = TextGenerationEnv(talk(script, make_stop=constant(stop_at_c)))
    env.reset(seed=0)
    steps = say(env, A, C)
    assert (steps[-1][4]["stop_reason"], script.asked) == ("stop", [])
    env = TextGenerationEnv(talk(Script((C,)), make_stop=constant(stop_at_c)))
    env.reset(seed=0)
    steps = say(env, A, EOS)
    assert steps[-1][4]["stop_reason"] == "stop"
    assert env.last_episodes.turns(0) == [("agent", [A, EOS]), ("partner", [C])]


def test_an_illegal_token_ends_a_conversation() -> None:
    env = TextGenerationEnv(talk(Script((D,))))
    env.reset(seed=0)
    step = say(env, A, EOS, 7)[-1]
    assert (step[2], step[4]["stop_reason"], step[4]["turns"]) == (True, "illegal", 1)


def test_a_partner_that_says_nothing_is_heard() -> None:
    env = TextGenerationEnv(talk(Script(())))
    env.reset(seed=0)
    info = say(env, EOS, EOS, EOS)[-1][4]
    assert (info["turns"], info["num_tokens"]) == (3, 3)


@dataclass(frozen=True)
class Broken:
    max_reply_tokens: int = 2

    def __call__(self, batch: EpisodeBatch) -> Any:
        raise KeyError("no such room")


def test_a_partner_that_fails_is_named_with_the_conversation() -> None:
    env = TextGenerationEnv(talk(Broken()))
    env.reset(seed=0, options={"prompt_index": 2})
    said = r"the partner Broken failed .*\[\('agent', 'a'\)\] to the prompt 'praise': KeyError: 'no such room'"
    with pytest.raises(TaskError, match=said):
        say(env, A, EOS)


@pytest.mark.parametrize("timing", ["end", "turn", "step"])
def test_all_timings_pay_the_same_sum(timing: str) -> None:
    task = talk(Script((D, E)), make_reward=constant(Weighted()))
    env = TextGenerationEnv(task, reward_timing=timing)
    env.reset(seed=0, options={"prompt_index": 0})
    rewards = [step[1] for step in say(env, A, EOS, B, EOS, C, EOS)]
    total = TextGenerationEnv(task)
    total.reset(seed=0, options={"prompt_index": 0})
    assert sum(rewards) == pytest.approx(say(total, A, EOS, B, EOS, C, EOS)[-1][1])
    paid = {"end": [5], "turn": [1, 3, 5], "step": [0, 1, 2, 3, 4, 5]}[timing]
    assert np.flatnonzero(rewards).tolist() == paid


def test_waiting_lanes_are_answered_in_one_call() -> None:
    script = Script((D,))
    envs = TextGenerationVectorEnv(talk(script), num_envs=5)
    envs.reset(seed=0)
    envs.step(np.array([EOS, A, EOS, A, EOS]))
    assert [len(call) for call in script.asked] == [3]
    envs.step(np.array([A, EOS, A, EOS, A]))
    assert [len(call) for call in script.asked] == [3, 2]


@dataclass(frozen=True)
class Rude:
    """Returns what no partner may return."""

    answer: Any
    max_reply_tokens: int = 2

    def __call__(self, batch: EpisodeBatch) -> Any:
        return self.answer


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (np.zeros((1, 3), dtype=np.int32), "replied 3 tokens; its max_reply_tokens is 2"),
        (np.array([[12, 0]]), "expected ids, then padding"),
        (np.array([[99, 0]]), "expected ids, then padding"),
        (np.array([[-1, 0]]), "expected ids, then padding"),
        (np.zeros((2, 1), dtype=np.int32), "for 1 conversations"),
        (np.zeros((1, 1)), "for 1 conversations"),
        (["a"], "for 1 conversations"),
    ],
)
def test_replies_are_checked(answer: Any, message: str) -> None:
    env = TextGenerationEnv(talk(Rude(answer)))
    env.reset(seed=0)
    with pytest.raises(TaskError, match=message):
        env.step(EOS)


def test_another_vocabulary_has_no_partner() -> None:
    task = TALKING.override(tokenizer=WordTokenizer(["x", "y"]))
    assert (task.partner, task.turns) == (None, 1)


def test_turns_need_a_deterministic_reward() -> None:
    with pytest.raises(ConfigurationError, match="reward_timing='turn'"):
        TextGenerationEnv(talk(Script((D,)), make_reward=constant(Noisy())), reward_timing="turn")


def test_replies_count_as_context_for_masks_and_observations() -> None:
    env = TextGenerationEnv(talk(Script((D, E))), observation="dict")
    env.reset(seed=0)
    observation = say(env, EOS)[-1][0]
    width = env.task.prompts.width
    assert observation["tokens"][width : width + 4].tolist() == [EOS, D, E, 12]
    assert observation["attention_mask"][width : width + 4].tolist() == [1, 1, 1, 0]


def test_turns_of_a_single_text() -> None:
    batch = EpisodeBatch.from_ids(PLAIN.prompts, PLAIN.tokenizer, [0], [[A, B, EOS]])
    assert batch.turns(0) == [("agent", [A, B, EOS])]
    assert batch.num_tokens.tolist() == [3]


def test_padded_replies() -> None:
    padded: NDArray[np.int32] = pad_replies([], 5)
    assert padded.shape == (0, 0)


# ---- exact values -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Oracle:
    """Says whether the agent's letter is the secret, which the metadata alone have: "d" for yes, "e" for no."""

    max_reply_tokens: int = 1

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.int32]:
        said = [batch.turns(row)[-1][1][0] for row in range(len(batch))]
        right = np.array(said) == np.array(batch.metadata("secret"))
        return np.where(right, D, E).astype(np.int32)[:, None]


@dataclass(frozen=True)
class Last:
    """1 where the last letter of the agent is the secret."""

    range = (0.0, 1.0)

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        letters = [[i for i in ids if i < 3] for ids in (batch.turns(row)[-1][1] for row in range(len(batch)))]
        return np.array(
            [float(bool(ids) and ids[-1] == s) for ids, s in zip(letters, batch.metadata("secret"), strict=True)]
        )


def guessing(turns: int, **changes: Any) -> Task:
    prompts = tuple(Prompt("praise", metadata={"secret": secret}) for secret in (A, B, C))
    usual: dict[str, Any] = {
        "make_prompts": constant(prompts),
        "make_partner": constant(Oracle()),
        "make_reward": constant(Last()),
        "make_gold": None,
        "make_success": None,
        "make_facts": None,
        "make_constraints": constant((Lexicon(("a", "b", "c")),)),
        "max_turns": constant(turns),
        "max_new_tokens": constant(1),
    }
    return replace(PLAIN, **{**usual, **changes})


@pytest.mark.parametrize(("turns", "expected"), [(1, 1 / 3), (2, 2 / 3), (3, 1.0)])
def test_a_player_who_sees_the_replies_and_not_the_secret(turns: int, expected: float) -> None:
    solution = solve(guessing(turns))
    assert solution.optimal_return == pytest.approx(expected)
    assert solution.value() == pytest.approx(expected)
    assert solution.random_return == pytest.approx(1 / 4)  # of three letters and the end id, one is right


def test_values_of_histories() -> None:
    solution = solve(guessing(3))
    assert solution.value([A, D]) == 1.0  # the secret is known
    assert solution.q([A, E])[[A, B, C]] == pytest.approx([0.5, 1.0, 1.0])
    two = solve(guessing(2))
    assert two.value([A, D]) == 1.0
    assert two.q([A, E])[[A, B, C]] == pytest.approx([0.0, 0.5, 0.5])
    assert two.best_id([A, E]) == B
    with pytest.raises(SolveError, match="none that agent and partner can have"):
        two.value([A, A])
    with pytest.raises(SolveError, match="depends on the replies"):
        _ = two.optimal_texts


def test_histories_equal_brute_force() -> None:
    """Each policy of a small conversation, played against each secret."""
    task = guessing(2)
    best = 0.0
    for first in range(3):
        for after_yes in range(3):
            for after_no in range(3):
                wins = sum((after_yes if first == secret else after_no) == secret for secret in range(3))
                best = max(best, wins / 3)
    assert solve(task).optimal_return == pytest.approx(best)


@pytest.mark.parametrize("timing", ["end", "turn", "step"])
def test_conversations_are_worth_the_same_however_they_are_paid(timing: str) -> None:
    assert solve(guessing(2), reward_timing=timing).optimal_return == pytest.approx(2 / 3)


def test_random_partners_are_refused() -> None:
    @dataclass(frozen=True)
    class Moody(Oracle):
        stochastic: bool = True

    with pytest.raises(SolveError, match="random beyond its prompts"):
        solve(guessing(2, make_partner=constant(Moody())))
    with pytest.raises(SolveError, match="without wrappers, temperature and automata"):
        solve(guessing(2), temperature=1.0)
