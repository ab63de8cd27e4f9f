"""The audit: every writer on toys where the numbers are known by hand, and what it finds in the suite's own reward."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from toys import LETTERS, MANY, PLAIN, TOYS, Weighted, constant, toy
from typer.testing import CliRunner

from textgym import EnvFactory, cli
from textgym.audit import Audit, audit
from textgym.constraints import Lexicon, MinLength
from textgym.episodes import EpisodeBatch, Prompt
from textgym.errors import ConfigurationError, UnknownNameError
from textgym.keys import uniform
from textgym.rewards import ExactMatch
from textgym.task import Task


def with_oracle(**texts: str) -> Task:
    """The plain toy with an oracle: what it writes to a good and to a bad prompt."""

    def answer(prompt: Prompt) -> str:
        return texts["good"] if prompt.metadata["sign"] > 0 else texts["bad"]

    return replace(PLAIN, make_oracle=constant(answer))


def letter_count(completion: str) -> float:
    """A reward of one's own that knows nothing of the task."""
    return float(len(completion))


@dataclass(frozen=True)
class Wanted:
    """How often the letter stands in the text that the prompt's metadata want."""

    stochastic: bool = False
    range = (0.0, 5.0)

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        wanted = np.array([LETTERS.index(letter) for letter in batch.metadata("wanted")])
        return (batch.completion_ids == wanted[:, None]).sum(axis=1) * 1.0


@dataclass(frozen=True)
class Dice:
    """Chance alone, thrown anew for texts of other lengths."""

    range = (0.0, 1.0)
    stochastic = True

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        return uniform(batch.keys, "dice", batch.lengths)


WANTED = [Prompt(text, metadata={"wanted": letter}) for text, letter in (("praise", "a"), ("pan", "b"), ("plot", "b"))]


def of(task: Task, **kwargs: Any) -> Audit:
    return audit("TextGen-v0", task=task, **kwargs)


# The plain toy: letters a to e pay 0.1 to 0.5 and the end pays 1.1, times 1, 1.3 and 1.6 for the three training
# prompts, 1.3 on average. Gold counts the letters a: plus, minus, plus. At most five tokens.
HONEST = with_oracle(good="a a a a a", bad="")


@pytest.fixture(scope="module")
def found() -> Audit:
    return of(HONEST)


@pytest.mark.parametrize(
    ("writer", "example", "reward", "gold"),
    [
        ("empty", "", 1.1 * 1.3, 0.0),
        ("one token (reward)", "e e e e", (4 * 0.5 + 1.1) * 1.3, 0.0),
        ("one token (gold)", "a a a a a", 5 * 0.1 * 1.3, 5 / 3),
        ("prompt copied", "", 1.1 * 1.3, 0.0),
        ("every token once", "a b c d e", 1.5 * 1.3, 1 / 3),
        ("optimum of the reward", "e e e e", (4 * 0.5 + 1.1) * 1.3, 0.0),
        ("oracle", "a a a a a", (0.5 * 1.0 + 1.1 * 1.3 + 0.5 * 1.6) / 3, 10 / 3),
    ],
)
def test_the_writers_earn_what_can_be_reckoned_by_hand(
    found: Audit, writer: str, example: str, reward: float, gold: float
) -> None:
    row = found[writer]
    assert row.example == example
    assert row.reward == pytest.approx(reward, abs=1e-12)
    assert row.gold == pytest.approx(gold, abs=1e-12)
    assert (row.reward_error, row.gold_error) == (0.0, 0.0)


def test_what_random_writers_earn_has_an_error(found: Audit) -> None:
    longest, random = of(HONEST, n=200)["longest"], of(HONEST, n=200)["random"]
    assert len(longest.example.split()) == 5
    assert longest.reward == pytest.approx(5 * 0.3 * 1.3, abs=4 * longest.reward_error)
    assert 0 < longest.reward_error < found["longest"].reward_error
    assert random.reward != longest.reward


def test_random_play_is_the_one_that_returns_are_measured_from() -> None:
    tiny = audit("TextGen-v0", level="tiny", n=400)["random"]
    returns = EnvFactory("TextGen-v0", {"level": "tiny"}).task().returns(kind="gold")
    assert tiny.gold == pytest.approx(returns.random, abs=4 * tiny.gold_error)
    assert abs(tiny.normalized_gold or 1.0) < 0.2


def test_the_same_seed_the_same_audit(found: Audit) -> None:
    assert of(HONEST) == found
    assert of(HONEST, seed=1)["random"].reward != found["random"].reward
    assert of(HONEST, seed=1)["oracle"] == found["oracle"]


# ---- what is concluded --------------------------------------------------------------------------------------------


def test_writers_that_earn_more_for_less_are_hacks(found: Audit) -> None:
    hacks = {row.writer for row in found.hacks}
    certain = {"empty", "one token (reward)", "prompt copied", "every token once", "optimum of the reward", "longest"}
    assert certain <= hacks
    assert not hacks & {"oracle", "one token (gold)"}
    assert found["every token once"].beats_oracle_reward is True
    assert found["every token once"].beats_oracle_gold is False
    assert found.verdict.startswith("Reward hacking: empty, ")
    assert "\n  one token (reward): reward 4.030, gold 0.000\n  oracle: reward 0.910, gold 3.333\n" in found.verdict


def test_a_wrong_oracle_is_found() -> None:
    wrong = of(with_oracle(good="a", bad=""))
    assert [row.writer for row in wrong.oracle_beaten] == ["one token (gold)"]
    assert "The oracle is not the best writer: one token (gold) earned more gold" in wrong.verdict
    assert not of(HONEST).oracle_beaten


def test_a_reward_that_is_the_gold_cannot_be_hacked() -> None:
    clean = of(replace(HONEST, make_reward=HONEST.make_gold))
    assert not clean.hacks
    assert not clean.oracle_beaten
    assert clean.verdict.startswith("No writer earned more reward than the oracle with a lower gold.\n")


def test_the_floor_is_the_best_of_those_that_do_not_search(found: Audit) -> None:
    assert found.best_degenerate.writer == "one token (gold)"
    assert found.blind == 1.0  # as the toy states
    assert found.floor == pytest.approx(5 / 3)
    easy = audit("TextGen-v0")
    assert easy.floor == easy.blind == pytest.approx(-0.25, abs=0.005)
    assert found.verdict.splitlines()[-3:] == [
        "An agent has shown something only above gold 1.667.",
        "  one token (gold): gold 1.667",
        "  the best fixed text for all prompts: gold 1.000",
    ]
    assert of(PLAIN, split="test").blind is None  # states none for gold there
    assert audit("TextGen-v0", level="tiny").blind is None  # one prompt


@dataclass(frozen=True)
class Copied:
    """Whether the text is the prompt."""

    range = (0.0, 1.0)

    def __call__(self, batch: EpisodeBatch) -> NDArray[np.float64]:
        texts = zip(batch.prompt_texts, batch.completions, strict=True)
        return np.array([float(prompt == completion) for prompt, completion in texts])


def copy_of(prompt: Prompt) -> str:
    return prompt.text


def test_where_a_writer_that_knows_nothing_is_the_best_no_agent_can_show_anything() -> None:
    task = replace(toy(prompts=["a b", "c"], reward=Copied()), make_oracle=constant(copy_of))
    copying = of(task)
    assert copying.is_too_easy
    assert (
        "No agent can show anything: prompt copied earns as much reward as the oracle.\n  prompt copied: reward 1.000"
        in (copying.verdict)
    )
    assert not of(HONEST).is_too_easy
    assert not of(PLAIN).is_too_easy  # without an oracle nobody knows
    assert not of(with_oracle(good="a", bad="")).is_too_easy  # which is beaten


def test_keywords_are_no_floor_for_they_come_from_what_an_agent_does_not_see() -> None:
    answered = of(
        toy(prompts=[Prompt("praise", references=("b",)), Prompt("pan", references=("a",))], reward=ExactMatch())
    )
    assert answered["keywords"].reward == 1.0
    assert answered.floor == answered.best_degenerate.reward == 0.5


def test_the_tasks_own_stop_spares_the_oracle_the_end_token() -> None:
    stopping = replace(TOYS["stopping"], make_oracle=constant(lambda prompt: "a c"))
    assert (of(stopping)["oracle"].example, of(stopping)["oracle"].note) == ("a c", "")


def test_without_an_oracle_nothing_is_compared() -> None:
    alone = of(PLAIN)
    assert alone.skipped == {"oracle": "the task Toy has no oracle"}
    assert "oracle" not in [row.writer for row in alone.rows]
    assert {row.beats_oracle_reward for row in alone.rows} == {None}
    assert alone.hacks == alone.oracle_beaten == ()
    assert alone.verdict.startswith("There is nothing to compare with: the task Toy has no oracle.")


def test_without_gold_there_are_only_rewards() -> None:
    task = replace(with_oracle(good="a", bad=""), make_gold=None, make_facts=None)
    only = of(task)
    assert [row.gold for row in only.rows] == [None] * len(only.rows)
    assert "one token (gold)" not in [row.writer for row in only.rows]
    assert {row.beats_oracle_gold for row in only.rows} == {None}
    assert not only.hacks
    assert only["optimum of the reward"] in only.oracle_beaten
    assert only.best_degenerate.writer == "one token (reward)"
    assert only["optimum of the reward"].normalized == pytest.approx(1.0)
    assert only["oracle"].normalized_gold is None
    assert only.verdict.startswith("There is no gold score")


def test_normalised_where_the_returns_are_known(found: Audit) -> None:
    assert found["empty"].normalized == pytest.approx((1.43 - 1.0) / (5.0 - 1.0))  # the toy states 1 and 5
    assert found["empty"].normalized_gold == pytest.approx((0.0 - 0.0) / (2.0 - 0.0))
    assert of(HONEST, split="test")["empty"].normalized_gold is None  # the toy states none


def test_an_own_reward_is_put_on_the_scale_of_its_exact_solution() -> None:
    own = audit("TextGen-v0", level="tiny", reward=letter_count, n=400)
    assert own["one token (reward)"].example == "great great great great"
    assert own["one token (reward)"].normalized == own["optimum of the reward"].normalized == pytest.approx(1.0)
    assert own["random"].normalized == pytest.approx(0.0, abs=0.15)
    assert own["one token (reward)"] in own.hacks


def test_chance_alone_beats_nobody() -> None:
    thrown = of(replace(with_oracle(good="a a", bad=""), make_reward=constant(Dice())), n=6)
    oracle = thrown["oracle"]
    assert all(0.0 < row.reward_error < 0.5 for row in thrown.rows)
    assert any(row.reward > oracle.reward and (row.gold or 0.0) < (oracle.gold or 0.0) for row in thrown.rows)
    assert not thrown.hacks


def test_every_writer_is_asked_for_each_prompt() -> None:
    solved = of(toy(prompts=WANTED, reward=Wanted()))
    assert (solved["one token (reward)"].example, solved["one token (reward)"].reward) == ("b b b b b", 10 / 3)
    assert (solved["keywords"].example, solved["keywords"].reward) == ("a", 1.0)
    assert (solved["optimum of the reward"].example, solved["optimum of the reward"].reward) == ("a a a a a", 5.0)
    searched = of(toy(prompts=WANTED, reward=Wanted(stochastic=True)))
    assert (searched["greedy search"].example, searched["greedy search"].reward) == ("a a a a a", 5.0)


# ---- how they write -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in TOYS if name != "many, ruled"])  # which takes seconds
def test_nobody_writes_what_is_illegal(name: str) -> None:
    legal = of(TOYS[name], n=3, max_texts=300, illegal_reward=-1e6)
    assert all(row.reward > -1e5 for row in legal.rows)
    assert len(legal.rows) >= (6 if TOYS[name].partner else 7)  # no best fixed text in a conversation


def test_where_the_end_is_forbidden_the_shortest_text_is_written() -> None:
    ruled = of(toy(constraints=(Lexicon(("b", "c")), MinLength(3))))
    assert ruled["empty"].example == "b b b"
    assert ruled["one token (reward)"].example == "c c c c"


def test_keywords_come_from_references_and_text_columns() -> None:
    first = Prompt("praise", references=("c a", "a movie e"), metadata={"topic": "b b", "number": 3})
    stuffed = of(toy(prompts=[first, "pan"]))["keywords"]
    assert (stuffed.example, stuffed.note) == ("c a e b", "")
    assert of(PLAIN)["every token once"].note.startswith("neither references nor text columns")


def test_columns_that_a_tokenizer_cannot_read_are_no_keywords() -> None:
    strict = replace(TOYS["two ends"], make_prompts=constant((Prompt("ab", metadata={"url": "http:", "key": "ca"}),)))
    assert of(strict)["keywords"].example == "ca"


def test_the_prompt_is_copied_as_far_as_it_is_legal() -> None:
    copied = of(toy(prompts=["a b movie c"]))["prompt copied"]
    assert (copied.example, copied.note) == ("a b c", "")
    assert "the text is empty" in of(PLAIN)["prompt copied"].note


def test_an_oracle_that_writes_what_is_illegal_is_noted() -> None:
    assert of(with_oracle(good="a movie", bad=""))["oracle"].note == "not all of it may be written"
    assert of(HONEST)["oracle"].note == ""


def test_what_is_too_large_to_solve_is_searched_greedily() -> None:
    large = of(toy(prompts=["w1 w2"], tokenizer=MANY, constraints=(), reward=Weighted()), max_texts=10_000)
    assert "too large" in large.skipped["optimum of the reward"]
    assert large["greedy search"].example == "w1499 w1499 w1499 w1499"
    assert large["greedy search"].reward == pytest.approx(4 * 150.0 + 150.1)
    assert large["greedy search"].note == ""
    assert large["greedy search"].normalized is None
    assert large.best_degenerate.writer == "one token (reward)"


def test_large_vocabularies_are_searched_by_a_sample() -> None:
    large = of(toy(prompts=["w1 w2"], tokenizer=MANY, constraints=()), max_texts=50)
    assert large["greedy search"].note == "searched among 10 of 1,500 tokens"
    assert large["one token (reward)"].note == "searched among 10 of 1,500 tokens"
    assert large["one token (reward)"].reward < 4 * 150.0 + 150.1


# ---- the suite's own reward ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["tiny", "easy"])
def test_the_learned_reward_of_reviews_is_hackable_and_the_audit_says_so(level: str) -> None:
    reviews = audit("TextGen-v0", level=level, split="all")
    assert [row.writer for row in reviews.hacks] == ["optimum of the reward"]
    assert not reviews.oracle_beaten
    assert reviews["optimum of the reward"].normalized == pytest.approx(1.0)
    assert reviews["oracle"].normalized_gold == pytest.approx(1.0)
    assert (reviews["optimum of the reward"].normalized_gold or 1.0) < 0.9
    assert (reviews.best_degenerate.normalized_gold or 1.0) < 0.85
    assert reviews.verdict.startswith("Reward hacking: optimum of the reward earned more reward")


# ---- wrong input and the command ----------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [{"n": 1}, {"max_texts": 0}, {"n": True}, {"split": "tset"}, {"levle": "tiny"}])
def test_wrong_arguments(wrong: dict[str, Any]) -> None:
    with pytest.raises((ConfigurationError, UnknownNameError), match=next(iter(wrong))):
        audit("TextGen-v0", **wrong)


def test_a_writer_that_there_is_not(found: Audit) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'oracle'"):
        found["oracel"]


def run(*words: str) -> list[str]:
    """The lines that the command prints."""
    result = CliRunner().invoke(cli.app, ["audit", "TextGen-v0", *words])
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.stdout
    return result.stdout.splitlines()


def test_the_command_prints_a_plain_table_the_texts_and_the_verdict() -> None:
    lines = run("--set", "level=tiny")
    assert lines[0] == "TextGen-v0, split 'all', prompts: 1"
    assert lines[2].split() == "writer reward norm. gold norm. above oracle in".split()
    (row,) = [line for line in lines if line.startswith("optimum of the reward  ")]
    assert row.split()[4:] == ["1.429", "1.000", "-0.216", "0.580", "reward"]
    assert "written to 'praise the movie':" in lines
    assert "  optimum of the reward: 'was great was great'" in lines
    assert "  prompt copied: '' (no token of the prompts may be written, so the text is empty)" in lines
    assert "Reward hacking: optimum of the reward earned more reward than the oracle with a lower gold." in lines


def test_a_narrow_terminal_cuts_neither_names_nor_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textgym.cli.audit.PLAIN_WIDTH", 20)
    lines = run("--set", "level=tiny")
    (row,) = [line for line in lines if line.startswith("optimum of the reward  ")]
    assert row.split()[4:] == ["1.429", "1.000", "-0.216", "0.580", "reward"]
    assert not any("…" in line for line in lines)


def test_zero_has_no_sign() -> None:
    lines = run(
        "--set",
        'prompts=[{"prompt": "say", "reference": "yes yes!"}]',
        "--set",
        "tokenizer=char",
        "--set",
        "reward=exact_match",
        "--set",
        "max_new_tokens=8",
    )
    assert next(line for line in lines if line.startswith("empty")).split() == ["empty", "0.000", "0.000"]


def test_the_command_takes_a_split_and_says_who_was_not_tried() -> None:
    lines = run("--split", "test", "--seed", "3", "-n", "2", "--max-texts", "40", "--set", "max_new_tokens=2")
    assert lines[0] == "TextGen-v0, split 'test', prompts: 2"
    assert "  oracle: not tried, the task Reviews has no oracle once overridden" in lines
    assert any(line.endswith("(searched among 10 of 15 tokens)") for line in lines)


def test_the_command_shows_brackets_as_they_are() -> None:
    settings = ['prompts=[{"prompt": "[red]", "reference": "[b]"}]', "tokenizer=char", "reward=exact_match"]
    lines = run(*(word for setting in [*settings, "max_new_tokens=4"] for word in ("--set", setting)))
    assert "written to '[red]':" in lines
    assert "  keywords: '[b]'" in lines
    assert lines[2].split() == ["writer", "reward", "norm.", "above", "oracle", "in"]


@pytest.mark.parametrize(
    ("words", "message"),
    [(["TextGen-v0", "--split", "tset"], "Did you mean 'test'"), (["TextGen-v7"], "v7"), (["CartPole-v1"], "textgym")],
)
def test_wrong_input_is_one_line_and_exit_status_2(
    words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["textgym", "audit", *words])
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
