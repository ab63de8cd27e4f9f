"""The road to a model of one's own: docs/examples/rlhf_real.py on tiny random models, and what it says of bad input."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripts import load_script
from tiny_models import as_pickle_only, save_gpt2, save_trained_bpe

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

WORDS = ("ka mo", "ti ru", "se la", "vo ne", "shi pan", "dor gli", "ust ber", "mo ka", "ru ti", "la se", "ne vo", "pan")
SYLLABLES = ("ka", "mo", "ti", "ru", "se", "la", "vo", "ne", "shi", "pan", "dor", "gli")
PROMPTS = [f"{first} {second}" for first in WORDS for second in WORDS]


@pytest.fixture(scope="module")
def example() -> Any:
    """The script as a module."""
    return load_script("docs/examples/rlhf_real.py")


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 of two layers over 300 byte pairs."""
    from transformers import GPT2Config, GPT2LMHeadModel

    folder = tmp_path_factory.mktemp("gpt2")
    tokenizer = save_trained_bpe(folder, 300)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=64, bos_token_id=0, eos_token_id=0,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    return save(GPT2LMHeadModel, config, folder)


@pytest.fixture(scope="module")
def qwen2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen2 whose head has more rows than its tokenizer has ids, and no begin token."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    folder = tmp_path_factory.mktemp("qwen2")
    tokenizer = save_trained_bpe(folder, 300)
    config = Qwen2Config(
        vocab_size=len(tokenizer) + 20, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64, bos_token_id=None, eos_token_id=0,
        initializer_range=0.2,
    )  # fmt: skip
    return save(Qwen2ForCausalLM, config, folder)


@pytest.fixture(scope="module")
def reward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reward model with one logit."""
    return save_gpt2(tmp_path_factory.mktemp("reward"))


def save(model_class: Any, config: Any, folder: Path) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model_class(config).save_pretrained(folder)
    return folder


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"question": text}) + "\n" for text in PROMPTS), encoding="utf-8")
    return path


def options(model: Path, prompts: Path, reward: Path, out: Path, *more: str) -> list[str]:
    words = ["--model", str(model), "--prompts", str(prompts), "--prompt-column", "question", "--reward", str(reward)]
    return [
        *words,
        "--out",
        str(out),
        "--max-new-tokens",
        "5",
        "--texts",
        "32",
        "--micro-batch-size",
        "32",
        "--held-out",
        "0.3",
        *more,
    ]


def read(out: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((out / "report.json").read_text(encoding="utf-8"))
    return report


def write_with_transformers(folder: Path) -> str:
    """What ``transformers`` alone writes with the model that was trained."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    inputs = tokenizer("ka mo", return_tensors="pt")
    with torch.inference_mode():
        ids = model.generate(**inputs, max_new_tokens=4, do_sample=False, pad_token_id=0)
    return str(tokenizer.decode(ids[0]))


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Completions to learn from: any two words."""
    path, rng = tmp_path / "texts.jsonl", np.random.default_rng(0)
    pairs = [{"prompt": prompt, "completion": " " + " ".join(rng.choice(SYLLABLES, 2))} for prompt in PROMPTS]
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs), encoding="utf-8")
    return path


def test_gpt2_with_fine_tuning_and_grpo(
    example: Any,
    gpt2: Path,
    reward: Path,
    prompts: Path,
    texts: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    more = ("--sft", str(texts), "--sft-steps", "60", "--steps", "8000", "--learning-rate", "3e-3")
    example.main(options(gpt2, prompts, reward, out, *more))
    report = read(out)
    assert list(report["models"]) == ["before", "after SFT", "after RL"]
    assert report["gain"]["low"] > 0.0
    assert report["models"]["after SFT"]["kl"] == pytest.approx(0.0, abs=1e-5)
    assert report["models"]["after RL"]["kl"] > 0.1
    assert report["prompts"] + report["training_prompts"] == len(PROMPTS)
    learned = {json.loads(line)["prompt"] for line in (out / "sft" / "texts.jsonl").read_text().splitlines()}
    assert not learned & {text["prompt"] for text in report["texts"]}  # what is held out is held out from all
    markdown = (out / "report.md").read_text(encoding="utf-8")
    assert markdown in capsys.readouterr().out
    assert f"{report['gain']['estimate']:+.3f}" in markdown
    assert report["texts"][0]["prompt"] in markdown
    assert report["costs"]["peak_memory_gib"] > 0.05
    assert write_with_transformers(out / "rl" / "model").startswith("ka mo")


def test_qwen2_with_adapters_and_rloo(example: Any, qwen2: Path, reward: Path, texts: Path, tmp_path: Path) -> None:
    prompts, out = tmp_path / "prompts.csv", tmp_path / "out"
    lines = [f"{text},{('train', 'test')[row % 2]}" for row, text in enumerate(PROMPTS)]
    prompts.write_text("question,split\n" + "\n".join(lines) + "\n", encoding="utf-8")
    more = ("--algo", "rloo", "--lora-rank", "8", "--dtype", "bfloat16", "--learning-rate", "1e-2", "--steps", "1600")
    example.main(options(qwen2, prompts, reward, out, *more, "--sft", str(texts), "--sft-steps", "40"))
    report = read(out)
    models = report["models"]
    assert report["prompts"] == len(PROMPTS) // 2
    assert models["before"]["ended"] < 0.2
    assert models["after SFT"]["ended"] > 0.5
    assert models["after RL"]["kl"] > 0.1
    assert report["gain"]["estimate"] > 0.0
    assert not list((out / "rl" / "model").glob("adapter*"))  # adapters have become part of the weights
    assert write_with_transformers(out / "rl" / "model").startswith("ka mo")


@pytest.mark.filterwarnings("ignore:.*cut off at the token limit")  # it is: a few random tokens of 300
def test_ppo_without_fine_tuning_goes_on_where_it_stopped(
    example: Any, gpt2: Path, reward: Path, prompts: Path, tmp_path: Path
) -> None:
    more = ("--algo", "ppo", "--steps", "640", "--test-prompts", "5")
    example.main(options(gpt2, prompts, reward, tmp_path / "out", *more))
    report = read(tmp_path / "out")
    assert list(report["models"]) == ["before", "after RL"]
    assert (report["prompts"], report["costs"]["updates"]) == (5, 4)
    example.main(options(gpt2, prompts, reward, tmp_path / "out", *more, "--resume"))
    again = read(tmp_path / "out")
    for name, numbers in report["models"].items():
        assert again["models"][name] == pytest.approx(numbers, abs=1e-4)


def test_the_split_is_a_pure_function_of_the_text(example: Any) -> None:
    sides = np.array([example.side_of(f"prompt {number}", 0.1) for number in range(5_000)])
    assert 0.08 < (sides == "test").mean() < 0.12
    assert example.side_of("ka mo", 0.3) == example.side_of("ka mo", 0.3)
    assert {row for row in range(5_000) if example.side_of(f"prompt {row}", 0.05) == "test"} <= set(
        np.flatnonzero(sides == "test").tolist()
    )


def complaint(example: Any, arguments: list[str]) -> str:
    with pytest.raises(SystemExit) as stopped:
        example.main(arguments)
    return str(stopped.value)


@pytest.fixture
def two_labels(tmp_path: Path) -> Iterator[Path]:
    return save_gpt2(tmp_path / "two_labels", labels=("bad", "good"))


def test_a_column_that_is_not_there(example: Any, gpt2: Path, reward: Path, prompts: Path, tmp_path: Path) -> None:
    said = complaint(example, options(gpt2, prompts, reward, tmp_path / "out", "--prompt-column", "quest"))
    assert "which column is the prompt" in said
    assert "'question'" in said


def test_a_model_with_pickle_weights_only(
    example: Any, gpt2: Path, reward: Path, prompts: Path, tmp_path: Path
) -> None:
    import shutil

    folder = as_pickle_only(Path(shutil.copytree(gpt2, tmp_path / "pickled")))
    said = complaint(example, options(folder, prompts, reward, tmp_path / "out"))
    assert "safetensors" in said
    assert "save_pretrained" in said


def test_a_reward_with_two_labels(example: Any, gpt2: Path, two_labels: Path, prompts: Path, tmp_path: Path) -> None:
    arguments = options(gpt2, prompts, two_labels, tmp_path / "out")
    said = complaint(example, arguments)
    assert "'bad', 'good'" in said
    assert "--reward-label" in said
    chosen = example.make_reward(example.parse([*arguments, "--reward-label", "good"]))
    assert (chosen.label, chosen.output) == ("good", "log_odds")


def test_nothing_held_out(example: Any, gpt2: Path, reward: Path, prompts: Path, tmp_path: Path) -> None:
    said = complaint(example, options(gpt2, prompts, reward, tmp_path / "out", "--held-out", "1e-9"))
    assert "'test'" in said
    assert "--held-out" in said


def test_texts_without_completions(example: Any, gpt2: Path, reward: Path, prompts: Path, tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text('{"prompt": "ka mo", "answer": "ti"}\n', encoding="utf-8")
    said = complaint(example, options(gpt2, prompts, reward, tmp_path / "out", "--sft", str(path)))
    assert "`completion`" in said
