"""Two conversations of the suite in depth: Dialogue and Chain."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from talking import ask_oracle, converse, factory_of

from textgym.customers import COST, PARTS
from textgym.env import TextGenerationEnv
from textgym.episodes import Prompt
from textgym.evaluation import evaluate
from textgym.exact import solve
from textgym.factory import EnvFactory
from textgym.playing import random_act, speak
from textgym.smithy import BREAKS
from textgym.task import Task
from textgym.tasks import get
from textgym.tasks.chain import adding_value, best_value

# ---- Dialogue -------------------------------------------------------------------------------------------------------


def find(task: Task, text: str, *wish: str) -> int:
    numbers = tuple(PARTS[part].index(value) for part, value in zip(PARTS, wish, strict=False))
    return next(r for r, p in enumerate(task.prompts.prompts) if p.text == text and p.metadata["wish"] == numbers)


def test_a_customer_answers() -> None:
    task = get("Dialogue")
    row = find(task, "thai please", "thai", "south")
    batch, paid = converse(task, "which area", "confirm greek north", "book thai south", prompt=row)
    assert batch.completions == ["which area south please confirm greek north rather thai please book thai south"]
    assert (paid, batch.stop_reasons, batch.success().tolist()) == (1 - 2 * COST, ["length"], [True])
    batch, paid = converse(task, "confirm thai south", "book thai south", prompt=row)
    assert (batch.completions, paid) == (["confirm thai south yes book thai south thanks"], 1 - COST)
    batch, paid = converse(task, "book thai north", prompt=row)
    assert (batch.completions, batch.stop_reasons, paid) == (["book thai north sorry"], ["stop"], 0.0)


def test_a_customer_without_a_mask_hears_anything() -> None:
    task = get("Dialogue", "hard")
    batch, paid = converse(task, "area area", "which", "which book", "confirm", "six", "book six", prompt=0)
    replies = [text for side, text in batch.dialogue(0) if side == "partner"]
    assert replies == ["pardon"] * 5 + ["sorry"]
    assert paid == 0.0


def test_only_well_formed_turns_at_level_easy() -> None:
    env = TextGenerationEnv(get("Dialogue"))
    env.reset(seed=0)
    names = env.task.tokenizer.tokens
    seen = []
    for word in ("which", "area", "<eos>", "book", "thai"):
        seen.append([names[index] for index in np.flatnonzero(env.action_masks())])
        env.step(names.index(word))
    assert seen == [
        ["which", "confirm", "book"],
        ["cuisine", "area"],
        ["<eos>"],
        ["which", "confirm", "book"],
        ["thai", "greek", "french"],
    ]
    assert [names[index] for index in np.flatnonzero(env.action_masks())] == ["north", "south", "east"]


@pytest.mark.parametrize("level", ["easy", "medium", "hard"])
def test_every_wish_is_behind_every_first_sentence(level: str) -> None:
    task = get("Dialogue", level)
    wishes = Counter(task.prompts.texts)
    settings = task.settings
    assert set(wishes.values()) == {settings.values ** (settings.parts - settings.known)}
    for prompt in task.prompts.prompts:
        names = {settings.choices[part * settings.values + v] for part, v in enumerate(prompt.metadata["wish"])}
        assert set(prompt.text.split()[:-1]) <= names


@pytest.mark.parametrize("level", ["easy", "medium", "hard"])
def test_the_oracle_books_right(level: str) -> None:
    task = get("Dialogue", level)
    batch, returns = ask_oracle(task, 200, "test", seed=9)
    assert batch.success().all()
    turns = task.settings.parts - task.settings.known + task.settings.changes
    assert returns == pytest.approx(np.full(200, 1 - COST * turns))


@pytest.mark.slow
@pytest.mark.parametrize("level", ["easy", "medium", "hard"])
def test_the_oracle_books_right_a_thousand_times(level: str) -> None:
    for seed in (0, 1000):
        assert ask_oracle(get("Dialogue", level), 1000, "test", seed=seed)[0].success().all()


def test_a_changed_mind_is_found_by_confirming_only() -> None:
    task = get("Dialogue", "hard")

    def hasty(prompt: Prompt, turns: list[tuple[str, str]]) -> str:
        return task.best_turn(prompt, turns).replace("confirm", "book")

    rows = np.resize(task.prompts.rows("test"), 400)
    batch, _ = speak(hasty, factory_of(task), prompt_indices=rows)
    # One part of four changes, at the first turn or the second: who asks for two hears of it in three cases of eight.
    assert batch.success().mean() == pytest.approx(3 / 8, abs=4.5 * np.sqrt(3 / 8 * 5 / 8 / 400))
    heard = Counter("rather" in text for text in ask_oracle(task, 400, "test")[0].completions)
    assert heard[True] / 400 == pytest.approx(5 / 8, abs=4.5 * np.sqrt(3 / 8 * 5 / 8 / 400))


def test_exact_dialogue() -> None:
    solution = solve(EnvFactory("TextGen/Dialogue-v0", {"split": "train"}))
    assert solution.optimal_return == pytest.approx(0.95) == pytest.approx(get("Dialogue").max_return)


# ---- Chain ----------------------------------------------------------------------------------------------------------


def test_values_of_a_chain_by_hand() -> None:
    # With one move left: keep 3 of 4 links, or add one at a risk of 0.3: 0.7.
    assert best_value(3, 1, risk=0.3, top=4) == 0.75
    assert adding_value(3, 1, risk=0.3, top=4) == pytest.approx(0.7)
    # With two left a broken chain has a second chance: 0.7 + 0.3 * (0.7 * 0.25).
    assert best_value(3, 2, risk=0.3, top=4) == pytest.approx(0.7525)
    assert best_value(4, 9, risk=0.3, top=4) == 1.0


def test_pieces_that_do_not_fit_change_nothing_and_keep_ends() -> None:
    task = get("Chain")
    for row, prompt in enumerate(task.prompts.prompts):
        _, start, _, piece = prompt.text.split()
        other = next(word for word in task.settings.pieces if word != piece)
        batch, paid = converse(task, other, "keep", prompt=row, seed=row)
        assert batch.dialogue(0)[1][1].split()[0] == start
        assert (batch.dialogue(0)[-1], batch.stop_reasons) == (("partner", "kept"), ["stop"])
        assert paid == int(start) / 4


def test_of_several_words_in_a_turn_the_last_one_counts() -> None:
    task = get("Chain").override(max_new_tokens=2)
    row = task.prompts.texts.index("brass 2 links hook")
    for words, links in (("ring hook", {"3", "0"}), ("hook ring", {"2"}), ("ring ring", {"2"})):
        replies = [converse(task, words, prompt=row, seed=seed)[0].dialogue(0)[1][1] for seed in range(3)]
        assert {reply.split()[0] for reply in replies} <= links
    heard = converse(task, "bar bar", "ring ring", "hook hook", "bar bar", prompt=row)[0].dialogue(0)
    pieces = ["hook", *(text.split()[1] for side, text in heard[1:-1:2])]
    links = ["2", *(text.split()[0] for side, text in heard[1:-1:2])]
    for before, after, fits, (_, said) in zip(links, links[1:], pieces, heard[::2], strict=False):
        assert after in ({str(int(before) + 1), "0"} if said.split()[1] == fits else {before})


def test_chains_break_as_often_as_their_material_says() -> None:
    task, count = get("Chain"), 400
    for material in task.settings.materials:
        row = next(r for r, text in enumerate(task.prompts.texts) if text.startswith(f"{material} 2"))
        piece = task.prompts.texts[row].split()[-1]
        batch, _ = speak(lambda _, said, w=piece: "keep" if said else w, factory_of(task), prompt_indices=[row] * count)
        outcomes = Counter(batch.dialogue(number)[1][1].split()[0] for number in range(count))
        assert set(outcomes) == {"0", "3"}
        risk = BREAKS[material]
        assert outcomes["0"] / count == pytest.approx(risk, abs=4.5 * np.sqrt(risk * (1 - risk) / count))
        following = Counter(batch.dialogue(number)[1][1].split()[1] for number in range(count))
        assert set(following) == set(task.settings.pieces)


@pytest.mark.parametrize("level", ["easy", "medium", "hard"])
def test_the_oracle_earns_the_best_return(level: str) -> None:
    task = get("Chain", level)
    episodes = len(task.prompts) * max(1000 // len(task.prompts), 4)
    _, returns = ask_oracle(task, episodes)
    assert returns.mean() == pytest.approx(task.returns("all").best, abs=4.5 * returns.std() / np.sqrt(episodes))
    assert not task.returns().inexact


def test_no_fixed_text_beats_the_blind_return() -> None:
    task, rng = get("Chain"), np.random.default_rng(0)
    returns = task.returns("all")
    words = np.array([*task.settings.pieces, "keep"])
    for turns in [["hook"] * 8, ["ring"] * 3 + ["keep"], *([*rng.choice(words, size=8)] for _ in range(4))]:
        rows = np.resize(np.arange(27), 27 * 20)
        plan = lambda _, said, turns=turns: str(turns[len(said) // 2])  # noqa: E731
        paid = speak(plan, factory_of(task), prompt_indices=rows)[1]
        assert paid.mean() < returns.blind + 4.5 * paid.std() / np.sqrt(len(rows))


def test_chance_comes_from_the_key() -> None:
    task = get("Chain", "hard")
    texts = [ask_oracle(task, 60, seed=seed)[0].completions for seed in (0, 0, 1000)]
    assert texts[0] == texts[1] != texts[2]


def test_luck_is_not_called_impossible() -> None:
    found = evaluate(random_act(0), "TextGen/Chain-v0", episodes=60)
    assert found.impossible is None
    assert found.normalized is not None
