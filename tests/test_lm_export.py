"""Saved and exported folders: our loader and ``transformers`` find in them what was trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch
from small_lms import QUICK, TINY, learned

import textgym
from textgym.agents.lm.export import to_transformers
from textgym.tasks import TASKS, get
from textgym.tokenizers import ByteTokenizer, CharTokenizer, WordTokenizer

EASY = textgym.EnvFactory("TextGen-v0")


WORDS = ["It", "isn't", "bad", ",", "好", "看", "!", "(", "state-of-the-art", "x_1", "naïve", "é", "²", "।"]
STRANGE = [
    "It isn't bad , 好看!",
    "(naïve x_1) ² é।",
    "state-of-the-art  好\n\tIt",
    "<eos> unknown",
    "",
    " ",
    "½ aͤ ‿ '’ -a-",
]


@pytest.mark.parametrize(
    "tokenizer",
    [WordTokenizer(WORDS), CharTokenizer("abc é好!\n\t<>'’-("), ByteTokenizer()],
    ids=["words", "characters", "bytes"],
)
def test_exported_tokenizers_read_and_write_as_ours(tokenizer: Any, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    to_transformers(tokenizer).save_pretrained(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    for text in STRANGE:
        ids = tokenizer.encode(text)
        assert theirs.encode(text, add_special_tokens=False) == ids, text
        assert theirs.encode(text) == [theirs.bos_token_id, *ids]
    rng = np.random.default_rng(0)
    for _ in range(50):
        ids = rng.integers(tokenizer.vocab_size, size=6).tolist()
        assert theirs.decode(ids, skip_special_tokens=True) == tokenizer.decode(ids), ids


@pytest.mark.parametrize("name", TASKS)
def test_exported_tokenizers_know_the_texts_of_all_tasks(name: str) -> None:
    if name == "ReasoningGym":
        pytest.importorskip("reasoning_gym")
    task = get(name, None)
    theirs, rng = to_transformers(task.tokenizer), np.random.default_rng(0)
    texts = list(task.prompts.texts[:20])
    if task.partner is None:
        texts += [task.demonstrate(prompt, rng) for prompt in task.prompts.prompts[:20]]
    for text in texts:
        ids = task.tokenizer.encode(text)
        assert theirs.encode(text, add_special_tokens=False) == ids, text
        assert theirs.decode(ids, skip_special_tokens=True) == task.tokenizer.decode(ids)


def test_a_tokenizer_of_ones_own_is_no_obstacle_to_training(tmp_path: Path) -> None:
    from toys import TOYS

    assert to_transformers(TOYS["two ends"].tokenizer) is None


@pytest.mark.parametrize("options", [{}, {"architecture": "llama"}, {"temperature": 0.5}], ids=str)
def test_transformers_writes_what_the_agent_writes(options: dict[str, Any], tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, pipeline

    agent = learned("rloo", EASY, 2000, **{**QUICK, "sft_steps": 30, "group": 4, **options})
    agent.save(tmp_path)
    assert not [file for file in tmp_path.rglob("*") if file.suffix in (".bin", ".pt", ".pkl")]
    lm = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert sum(p.numel() for p in lm.parameters()) == sum(p.numel() for p in agent.policy.lm.parameters())
    write = pipeline("text-generation", model=str(tmp_path / "model"), device="cpu")
    prompts = ["praise the movie", "pan the actors"]
    greedy = [write(prompt, do_sample=False, return_full_text=False)[0]["generated_text"] for prompt in prompts]
    ours = textgym.generate(agent, EASY, prompts=prompts, deterministic=True)
    assert [text.strip() for text in greedy] == ours
    config = lm.generation_config
    assert (config.do_sample, config.top_k, config.temperature) == (True, 0, agent.config.temperature)
    assert config.max_new_tokens == EASY.task().budget


def test_a_saved_agent_acts_as_before_and_learns_on(tmp_path: Path) -> None:
    agent = learned("lm_ppo", **QUICK)
    agent.save(tmp_path)
    twin = type(agent).load(tmp_path)
    vector: Any = TINY.vector(5)
    observations, _ = vector.reset(seed=0)
    masks = vector.unwrapped.action_masks()
    assert np.array_equal(agent.log_probs(observations, masks), twin.log_probs(observations, masks))
    assert torch.equal(agent.policy.value_head.weight, twin.policy.value_head.weight)
    twin.learn(TINY, 300)
    assert not np.array_equal(agent.log_probs(observations, masks), twin.log_probs(observations, masks))


def test_saving_over_an_agent_leaves_the_old_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = learned("frozen_lm"), learned("frozen_lm")
    old.save(tmp_path)
    with torch.no_grad():
        new.policy.lm.transformer.wte.weight += 1.0
    monkeypatch.setattr("textgym.agents.lm.export.replace_folder", _die)
    with pytest.raises(KeyboardInterrupt):
        new.save(tmp_path)
    found = type(old).load(tmp_path).ready_policy.state_dict()
    assert all(torch.equal(tensor, found[name]) for name, tensor in old.policy.state_dict().items())


def _die(*_: Any) -> None:
    raise KeyboardInterrupt
