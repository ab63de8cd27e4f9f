"""Language models as agents: demonstrations, searchers, saved and exported folders, and the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")

import torch
from small_lms import QUICK, SMALL, TINY, learned
from typer.testing import CliRunner

import textgym
from textgym.agents.lm import sft
from textgym.agents.lm.model import LegalTokens
from textgym.agents.registry import make_agent
from textgym.benchmarks.meter import Meter
from textgym.benchmarks.metering import MeteredFactory
from textgym.cli import app
from textgym.errors import ConfigurationError, PromptError
from textgym.playing import play
from textgym.tasks import TASKS, get
from textgym.writers import CountedFactory

EASY = textgym.EnvFactory("TextGen-v0")
GUESS = textgym.EnvFactory("TextGen/GuessNumber-v0")
DIALOGUE = textgym.EnvFactory("TextGen/Dialogue-v0")


# ---- demonstrations -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_demonstrations_that_may_be_written(name: str) -> None:
    if name == "ReasoningGym":
        pytest.importorskip("reasoning_gym")
    task, envs = get(name, None), textgym.EnvFactory(f"TextGen/{name}-v0")
    tokens, wrote = sft.demonstrations(task, envs, seed=0, count=40)
    assert len(tokens) == (10 if task.partner is not None else 40)
    assert sft.legal_texts(LegalTokens.of(task), (tokens, wrote)).all()
    assert wrote.any(axis=1).all()
    assert (tokens[:, task.prompts.width :][wrote] < task.tokenizer.vocab_size).all()


@pytest.mark.parametrize("envs", [GUESS, DIALOGUE], ids=["guess", "dialogue"])
def test_sft_learns_conversations(envs: textgym.EnvFactory) -> None:
    random = textgym.evaluate(make_agent("uniform"), envs, episodes=100).mean_return
    agent = learned("sft", envs, 1000, steps=120, layers=2, width=32, learning_rate=5e-3, write_on=False)
    assert agent.log.rows[0]["loss"] > agent.log.rows[-1]["loss"] + 0.1
    assert textgym.evaluate(agent, envs, episodes=100, deterministic=False).mean_return > random + 0.1


def test_the_partner_s_words_are_not_learned() -> None:
    task = DIALOGUE.task()
    tokens, wrote = sft.demonstrations(task, DIALOGUE, seed=0, count=40)
    spoken = tokens[:, task.prompts.width :] != task.tokenizer.vocab_size
    assert (spoken & ~wrote).any()


def test_demonstrations_are_of_the_split_that_is_trained_on() -> None:
    envs = textgym.EnvFactory("TextGen-v0", {"split": "test"})
    task = envs.task()
    tokens, _ = sft.demonstrations(task, envs, seed=0, count=40)
    expected = {tuple(row) for row in task.prompts.ids[task.prompts.rows("test")].tolist()}
    assert {tuple(row) for row in tokens[:, : task.prompts.width].tolist()} == expected


def write_lines(path: Path, *lines: Any) -> str:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines), "utf-8")
    return str(path)


GOOD = {"prompt": "praise the movie", "completion": "was great"}
PAIR = {"prompt": "praise the movie", "chosen": "was great", "rejected": "was bad"}


def test_sft_imitates_a_file(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "texts.jsonl", GOOD, "", GOOD)
    agent = learned("sft", texts=path, steps=60, learning_rate=1e-2)
    assert textgym.generate(agent, TINY, n=5, deterministic=True) == ["was great"] * 5


def test_dpo_learns_from_a_file(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "pairs.jsonl", PAIR)
    agent = learned("dpo", texts=32, sft_steps=0, preferences=path, steps=40, learning_rate=1e-2)
    task = TINY.task()
    better, worse = sft.read_columns(task, path, ("chosen", "rejected"))
    with torch.no_grad():
        gap = [float(agent.policy.score(*side).log_probs.sum()) for side in (better, worse)]
        before = [float(agent.reference.score(*side).log_probs.sum()) for side in (better, worse)]
    assert gap[0] - gap[1] > before[0] - before[1] + 1.0


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("{torn", "line 2: expected one JSON object"),
        ([1, 2], "line 2: expected an object"),
        ({"prompt": "praise the movie"}, "line 2: expected a text under 'completion'"),
        ({**GOOD, "completion": 7}, "line 2: expected a text under 'completion', got 7"),
        ({**GOOD, "prompt": "praise the sun"}, "line 2: the prompt 'praise the sun' is not one"),
        ({**GOOD, "completion": "was splendid"}, "line 2, completion: 'was splendid' has text outside"),
        ({**GOOD, "completion": "was very very very great"}, "line 2, completion: .* 5 tokens, the budget is 4"),
    ],
)
def test_bad_lines_are_named(bad: Any, message: str, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "texts.jsonl", GOOD, bad)
    with pytest.raises(PromptError, match=message):
        sft.read_texts(TINY.task(), path)


def test_files_that_are_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="has no texts"):
        sft.read_texts(TINY.task(), write_lines(tmp_path / "empty.jsonl"))
    with pytest.raises(PromptError, match="does not exist"):
        sft.read_texts(TINY.task(), str(tmp_path / "nowhere.jsonl"))
    with pytest.raises(ConfigurationError, match="who wrote what"):
        sft.read_texts(GUESS.task(), write_lines(tmp_path / "texts.jsonl", GOOD))


def test_texts_that_the_rules_forbid_are_named(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "texts.jsonl", {"prompt": get("Brackets", None).prompts.texts[0], "completion": ")("})
    with pytest.raises(PromptError, match="line 1: the rules of the task Brackets forbid"):
        sft.read_texts(get("Brackets", None), path)


# ---- searchers ----------------------------------------------------------------------------------------------------


def test_best_of_n_asks_the_reward_n_times_and_earns_more() -> None:
    agent = learned("best_of_n", EASY, n=6, steps=20, write_on=False)
    sampled = textgym.evaluate(agent.act, EASY, episodes=64, deterministic=False)
    chosen = textgym.evaluate(agent, EASY, episodes=64)
    assert chosen.reward_calls == 6 * 64
    assert chosen.metrics["reward_calls_per_text"] == 6.0
    assert sampled.reward_calls is None
    assert chosen.mean_return > sampled.mean_return + 0.3
    texts = [text["completion"] for text in chosen.texts]
    scores = textgym.score(EASY, [text["prompt"] for text in chosen.texts], texts)
    assert chosen.returns == pytest.approx(scores) or any(text == "" for text in texts)


def test_what_a_searcher_spends_in_metered_environments_is_metered() -> None:
    agent = learned("best_of_n", EASY, n=3, steps=5, write_on=False)
    meter = Meter(10_000)
    batch, _ = play(agent, MeteredFactory.around(EASY, meter), episodes=10)
    assert meter.episodes == meter.reward_calls == 30
    assert meter.steps > batch.lengths.sum()


def test_beam_search_asks_no_reward() -> None:
    agent = learned("beam", EASY, beams=3, steps=20, write_on=False)
    measured = textgym.evaluate(agent, EASY, episodes=12)
    assert measured.reward_calls == 0
    by_prompt = {text["prompt"]: text["completion"] for text in measured.texts}
    assert all(by_prompt[text["prompt"]] == text["completion"] for text in measured.texts)


@pytest.mark.parametrize("name", ["best_of_n", "beam"])
def test_searchers_refuse_conversations(name: str) -> None:
    agent = learned(name, GUESS, 200, steps=2, write_on=False)
    with pytest.raises(ConfigurationError, match="conversation"):
        textgym.evaluate(agent, GUESS, episodes=4)


class Writer:
    """Writes whatever it was given."""

    def __init__(self, texts: Any) -> None:
        self.texts = texts

    def write(self, envs: Any, prompt_indices: Any) -> Any:
        return self.texts if not callable(self.texts) else self.texts(envs, prompt_indices)


def test_an_agent_of_ones_own_may_write_whole_texts() -> None:
    eos, seen = EASY.task().tokenizer.eos_ids[0], []

    def texts(envs: Any, prompt_indices: Any) -> Any:
        seen.extend(prompt_indices.tolist())
        textgym.score(envs, [envs.task().prompts.texts[row] for row in prompt_indices], [[eos]] * len(prompt_indices))
        return [[0, 1, eos]] * len(prompt_indices)

    agent = Writer(texts)
    measured = textgym.evaluate(agent, EASY, episodes=3, seed=5)
    prompts = [EASY.task().prompts.texts[row] for row in seen]
    assert [text["prompt"] for text in measured.texts] == prompts
    assert measured.returns == pytest.approx(textgym.score(EASY, prompts, [[0, 1, eos]] * 3))
    assert measured.reward_calls == 3
    assert measured.lengths.tolist() == [3, 3, 3]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("text", "expected a list of token ids for each"),
        ([[1]], "1 texts for 2 prompts"),
        ([[0.5], [1.0]], "expected a list of token ids"),
        ([[], [1]], "expected a list of token ids"),
        ([[0], [0]], "does not end"),
    ],
)
def test_what_a_writer_may_not_return(texts: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        textgym.evaluate(Writer(texts), TINY, episodes=2)


def test_counted_environments_count_single_and_vector_steps() -> None:
    envs = CountedFactory("TextGen-v0", {"level": "tiny", "reward_timing": "step"})
    env = envs.single()
    env.reset(seed=0)
    env.step(0)
    env.step(env.unwrapped.eos_id)  # type: ignore[attr-defined]
    assert (envs.meter.steps, envs.meter.reward_calls) == (2, 2)


def _die(*_: Any) -> None:
    raise KeyboardInterrupt


def test_learners_need_room_for_one_update_before_they_do_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sft, "fit", _die)
    with pytest.raises(ConfigurationError, match="too few"):
        make_agent("grpo", **SMALL).learn(TINY, 100)


# ---- the command line ---------------------------------------------------------------------------------------------


def textgym_command(*words: str) -> Any:
    return CliRunner().invoke(app, list(words), catch_exceptions=False)


def test_train_and_generate(tmp_path: Path) -> None:
    options = [word for name, value in {**QUICK, "group": 4}.items() for word in ("--option", f"{name}={value}")]
    level = ("--set", "level=tiny")
    result = textgym_command("train", "grpo", *level, "--steps", "300", "--save", str(tmp_path / "run"), *options)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "run" / "training.jsonl").is_file()
    again = textgym_command(
        "train", "grpo", *level, "--steps", "300", "--save", str(tmp_path / "run"), "--resume", *options
    )
    assert again.exit_code == 0, again.output
    shown = textgym_command("generate", str(tmp_path / "run"), "-n", "3")
    assert shown.exit_code == 0
    assert shown.output.count("praise the movie >") == 3


def test_train_a_searcher_says_what_it_asked() -> None:
    options = ("--option", "steps=2", "--option", "n=3", "--option", "width=16", "--option", "heads=2")
    result = textgym_command("train", "best_of_n", "--set", "level=tiny", "--steps", "200", *options)
    assert result.exit_code == 0, result.output
    assert "3 reward calls a text" in result.output


@pytest.mark.parametrize(
    ("words", "message"),
    [(("grpo",), "pass --save"), (("uniform", "--save", "run"), "uniform writes no checkpoints")],
)
def test_resume_needs_something_to_go_on_with(
    words: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=message):
        textgym_command("train", *words, "--resume", "--set", "level=tiny")
