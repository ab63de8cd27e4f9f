"""docs/examples/large_vocabulary.py: stable-baselines3's DQN among the likeliest of 5,000 byte pairs."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripts import load_script
from tiny_models import save_trained_bpe

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("stable_baselines3")

SYLLABLES = ("ka", "mo", "ti", "ru", "se", "la", "vo", "ne", "shi", "pan", "dor", "gli", "ust", "ber")
WORDS = ["".join(pair) for pair in itertools.product(SYLLABLES, repeat=2)]
WANTED = WORDS[5]
VOCABULARY, K = 5_000, 16


@pytest.fixture(scope="module")
def example() -> Any:
    """The script as a module."""
    return load_script("docs/examples/large_vocabulary.py")


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty prompts, every fourth of them held out."""
    path = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    splits = ("train", "train", "train", "test")
    lines = [{"prompt": f"{word} {WORDS[-row]}", "split": splits[row % 4]} for row, word in enumerate(WORDS[20:60])]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, prompts: Path) -> Path:
    """A small GPT-2 over 5,000 byte pairs that has learned to write words, the first ones most often."""
    from transformers import GPT2Config, GPT2LMHeadModel

    from textgym import EnvFactory
    from textgym.agents.registry import make_agent
    from textgym.huggingface import HuggingFaceTokenizer

    folder = tmp_path_factory.mktemp("model")
    tokenizer = save_trained_bpe(folder, VOCABULARY)
    assert len(tokenizer) == VOCABULARY
    config = GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=2, n_positions=48, bos_token_id=0, eos_token_id=0,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        GPT2LMHeadModel(config).save_pretrained(folder)
    rng = np.random.default_rng(0)
    often = 1.0 / np.arange(1.0, len(WORDS) + 1)
    shown = [json.loads(line)["prompt"] for line in prompts.read_text(encoding="utf-8").splitlines()]
    texts = (" " + " ".join(rng.choice(WORDS, rng.integers(2, 6), p=often / often.sum())) for _ in range(600))
    pairs = [{"prompt": shown[row % len(shown)], "completion": text} for row, text in enumerate(texts)]
    (folder / "texts.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs), encoding="utf-8")
    agent = make_agent(
        "sft", seed=0, model=str(folder), texts=str(folder / "texts.jsonl"), steps=150, batch_size=32,
        learning_rate=5e-3, write_on=False, device="cpu",
    )  # fmt: skip
    kwargs = {"prompts": shown, "tokenizer": HuggingFaceTokenizer(str(folder)), "reward": len_of, "max_new_tokens": 12}
    agent.learn(EnvFactory("TextGen-v0", kwargs), 1)
    agent.save(folder / "tuned")
    return folder / "tuned" / "model"


def len_of(batch: Any) -> Any:
    return batch.lengths.astype(np.float64)


def test_dqn_beats_the_frozen_model(
    example: Any, model: Path, prompts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--model", str(model), "--prompts", str(prompts), "--words", WANTED, "--k", str(K), "--steps", "8000"]
    found = example.run(example.parse(words))
    assert found["actions"] == (K, VOCABULARY)
    assert len(found["rewards"]["DQN"]) == 10  # the held-out prompts
    for gain in found["gains"].values():
        assert gain.low > 0.0
    monkeypatch.setattr(example, "run", lambda _: found)
    example.main(words)
    said = capsys.readouterr().out
    assert "16 of 5,000 tokens" in said
    assert said.count(" better") == 2
    assert f"{found['rewards']['DQN'].mean():.3f}" in said


def test_what_is_wrong_is_said_in_a_line(example: Any, model: Path, prompts: Path) -> None:
    with pytest.raises(SystemExit, match="k=6000"):
        example.main(["--model", str(model), "--prompts", str(prompts), "--words", WANTED, "--k", "6000"])
