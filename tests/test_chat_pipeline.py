"""Chat models on this machine, by ``transformers``: random ones of some kB, built here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from chatting import save_writer

import textgym
from textgym.agents.base import load_agent
from textgym.agents.registry import make_agent
from textgym.errors import ConfigurationError

pytest.importorskip("transformers")
import torch

from textgym.agents.chat_options import Question
from textgym.agents.chat_pipeline import Pipeline

TINY = textgym.EnvFactory("TextGen-v0", {"level": "tiny"})
WORDS = ("was", "not", "very", "great", "bad", "and")
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] + ' ' + m['content'] + ' ' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant ' }}{% endif %}"
)
STRICT = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_writer(tmp_path_factory.mktemp("writer"), WORDS)


def pipeline(folder: Path, **config: Any) -> Any:
    return make_agent("pipeline", model=str(folder), **{"marker": "", "max_answer_tokens": 4, **config})


def question(text: str, temperature: float = 0.0, seed: int | None = None) -> Question:
    return Question([{"role": "user", "content": text}], temperature, seed)


def test_it_plays_and_is_counted(folder: Path) -> None:
    agent = pipeline(folder)
    found = textgym.evaluate(agent, TINY, episodes=8)
    assert found.tally == {"answers": 8, "unparseable": 0, "texts": 8, "illegal": 0}
    assert "illegal" not in found.stop_reasons
    marked = textgym.evaluate(pipeline(folder, marker="Text:"), TINY, episodes=8)
    assert marked.tally["unparseable"] == 8  # a random model knows no form
    assert marked.lengths.tolist() == [1] * 8


def test_it_says_what_the_model_itself_would(folder: Path) -> None:
    """The likeliest tokens one by one, found without ``generate``."""
    agent: Pipeline = pipeline(folder)
    (answer,) = agent.answer([question("was not great")])
    ids = agent._encode("was not great\n\n")
    for _ in range(4):
        ids.append(int(agent._model(torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] == 0:
            break
    assert answer == agent._tokenizer.backend.decode(ids[3:], skip_special_tokens=True)


def test_answers_go_by_question_and_seed_and_not_by_their_neighbours(folder: Path) -> None:
    asked = [question("was"), question("was not very great and bad"), *(question("was", 1.0, n) for n in range(30))]
    together = pipeline(folder, batch_size=32).answer(asked)
    assert pipeline(folder, batch_size=1).answer(asked) == together
    assert pipeline(folder).answer(asked[::-1]) == together[::-1]
    assert len(set(together[2:])) > 5
    assert len({*pipeline(folder).answer([question("was", 0.01, n) for n in range(10)])}) < 4


def test_draws_follow_the_models_distribution(folder: Path) -> None:
    agent: Pipeline = pipeline(folder, max_answer_tokens=1, batch_size=500)
    drawn = agent.answer([question("was not", 1.0, n) for n in range(4000)])
    logits = agent._model(torch.tensor([agent._encode("was not\n\n")])).logits[0, -1]
    for index, probability in enumerate(logits.softmax(0).tolist()):
        word = "" if index == 0 else ("<unk>", *WORDS)[index - 1]
        shown = sum(text == word for text in drawn) / 4000
        if word not in ("", "<unk>"):  # both are special, and leave no trace
            assert shown == pytest.approx(probability, abs=0.03)


def test_the_generator_of_the_process_stays_as_it_is(folder: Path) -> None:
    before = torch.random.get_rng_state()
    textgym.generate(pipeline(folder), TINY, n=5, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_templates_say_how_a_conversation_is_written(tmp_path: Path) -> None:
    chatty: Pipeline = pipeline(save_writer(tmp_path / "chatty", WORDS, template=TEMPLATE))
    messages = [{"role": "system", "content": "was"}, {"role": "user", "content": "great"}]
    assert chatty._render(messages) == "system was user great assistant "
    strict = save_writer(tmp_path / "strict", WORDS, template=STRICT + TEMPLATE)
    with pytest.raises(ConfigurationError, match="System role not supported.*system_role=False"):
        textgym.generate(pipeline(strict), TINY)
    assert len(textgym.generate(pipeline(strict, system_role=False), TINY, n=2)) == 2


def test_votes_are_the_same_every_time(folder: Path) -> None:
    one, two = (pipeline(folder, samples=5, batch_size=size) for size in (2, 16))
    first = textgym.generate(one, "TextGen-v0", n=6, deterministic=True)
    assert textgym.generate(one, "TextGen-v0", n=6, deterministic=True, seed=0) == first
    assert textgym.generate(two, "TextGen-v0", n=6, deterministic=True) == first


def test_save_and_load(folder: Path, tmp_path: Path) -> None:
    agent = pipeline(folder)
    agent.learn(TINY, 1)
    agent.save(tmp_path / "agent")
    assert [file.name for file in (tmp_path / "agent").iterdir()] == [
        "agent.json"
    ]  # no weights: they stay where they are
    loaded: Any = load_agent(tmp_path / "agent")
    assert textgym.generate(loaded, TINY, n=4, seed=3) == textgym.generate(agent, TINY, n=4, seed=3)


@pytest.mark.parametrize(
    ("config", "message"),
    [({"model": ""}, "model=''"), ({"max_answer_tokens": 0}, "max_answer_tokens=0"), ({"batch_size": 1.5}, "batch")],
)
def test_options_are_checked(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make_agent("pipeline", **{"model": "m", **config})


def test_models_that_cannot_be_used(tmp_path: Path) -> None:
    short = save_writer(tmp_path / "short", WORDS, places=16)
    with pytest.raises(ConfigurationError, match="reads at most 16"):
        textgym.generate(pipeline(short), TINY)
    (short / "model.safetensors").unlink()
    with pytest.raises(ConfigurationError, match="no language model could be loaded"):
        textgym.generate(pipeline(short), TINY)
    with pytest.raises(textgym.errors.TextGymError, match="no tokenizer could be loaded"):
        textgym.generate(pipeline(tmp_path / "nothing"), TINY)
