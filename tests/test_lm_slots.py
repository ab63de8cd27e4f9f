"""Reading through slots gives the numbers of a whole forward pass, for every shape and every order of reading."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lm_oracles import SHAPES, direct, env_masks, last_logits, random_lm

from textgym.agents.lm import lean as lean_module
from textgym.agents.lm.building import ModelConfig, build_policy
from textgym.agents.lm.model import LegalTokens, LMPolicy
from textgym.agents.lm.reader import Reader
from textgym.agents.lm.rollout import collect
from textgym.agents.lm.slots import Slots
from textgym.agents.lm.support import check_support
from textgym.agents.lm.writer import Writer
from textgym.errors import ConfigurationError

V = 11
CLOSE: dict[str, Any] = {"rtol": 0.0, "atol": 1e-5}
SMALL = settings(max_examples=15)


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {shape: random_lm(shape, V) for shape in SHAPES}


def read_at_random(lm: Any, seed: int) -> int:
    """Rows read different numbers of tokens, begin anew, are left out, and change places; how many were compared."""
    compared = 0
    rng, rows, width = np.random.default_rng(seed), 4, 12
    slots, texts = Slots(lm, rows, width), [list[int]() for _ in range(rows)]
    for step in range(14):
        for row in range(rows):
            if len(texts[row]) > width - 3 or (step and rng.random() < 0.15):
                texts[row], slots.lengths[row] = [], 0
        chosen = np.arange(rows) if rng.random() < 0.5 else rng.permutation(rows)[: rng.integers(1, rows + 1)]
        counts = rng.integers(0 if step else 1, 4, size=len(chosen))
        q = max(1, int(counts.max()))
        ids = rng.integers(V, size=(len(chosen), q))
        for row, new, count in zip(chosen.tolist(), ids.tolist(), counts.tolist(), strict=True):
            texts[row] += new[q - count :]
        everyone = len(chosen) == rows and (chosen == np.arange(rows)).all()
        part = None if everyone else torch.from_numpy(chosen)
        logits, _ = slots.read(torch.from_numpy(ids), torch.from_numpy(counts), part)
        for index, (row, count) in enumerate(zip(chosen.tolist(), counts.tolist(), strict=True)):
            if count:
                torch.testing.assert_close(logits[index], last_logits(lm, texts[row]), **CLOSE)
                compared += 1
        if rng.random() < 0.2:
            order = rng.integers(rows, size=rows)
            slots.reorder(torch.from_numpy(order))
            texts = [list(texts[row]) for row in order]
    return compared


@pytest.mark.parametrize("shape", SHAPES)
def test_any_order_of_reading_gives_the_logits_of_a_whole_pass(models: dict[str, Any], shape: str) -> None:
    for seed in range(3):
        with torch.inference_mode():
            assert read_at_random(models[shape], seed) > 10


@pytest.mark.parametrize("shape", ["gpt2", "mistral", "qwen2_mixed"])
def test_attention_that_adds_its_masks_is_read_as_well(shape: str) -> None:
    with torch.inference_mode():
        assert read_at_random(random_lm(shape, V, attention="eager"), 0) > 10


def test_texts_are_copied_between_slots(models: dict[str, Any]) -> None:
    lm = models["llama"]
    ahead, slots = Slots(lm, 2, 5), Slots(lm, 3, 8)
    with torch.inference_mode():
        ahead.read(torch.tensor([[3, 4, 5], [0, 6, 7]]), torch.tensor([3, 2]))
        slots.copy_from(ahead, torch.tensor([2, 0]), torch.tensor([0, 1]), 3)
        logits, _ = slots.read(torch.tensor([[8], [0], [9]]), torch.tensor([1, 0, 1]))
    assert slots.lengths.tolist() == [3, 0, 4]
    torch.testing.assert_close(logits[0], last_logits(lm, [6, 7, 8]), **CLOSE)
    torch.testing.assert_close(logits[2], last_logits(lm, [3, 4, 5, 9]), **CLOSE)


def free_policy(lm: Any, begin_id: int | None = 0) -> LMPolicy:
    return LMPolicy(lm, LegalTokens(np.ones(V, dtype=bool)), begin_id=begin_id)


ROWS = st.lists(st.lists(st.integers(0, V - 1), min_size=1, max_size=7), min_size=2, max_size=2)
TEXTS = st.lists(st.integers(0, V - 1), min_size=1, max_size=6)


def padded(texts: list[list[int]], left: int, width: int) -> np.ndarray:
    rows = np.full((len(texts), width), V, dtype=np.int32)
    for row, text in enumerate(texts):
        rows[row, left : left + len(text)] = text
    return rows


@pytest.mark.parametrize("shape", ["gpt2", "mistral"])
@given(data=st.data())
@SMALL
def test_the_reader_follows_any_sequence_of_observations(
    models: dict[str, Any], shape: str, data: st.DataObject
) -> None:
    policy, width = free_policy(models[shape]), 8
    reader, texts = Reader(policy, (2, width)), data.draw(ROWS)
    with torch.inference_mode():
        for _ in range(5):
            logits = reader.read(padded(texts, 0, width))
            for row, text in enumerate(texts):
                torch.testing.assert_close(logits[row], last_logits(policy.lm, [0, *text]), **CLOSE)
            for row, text in enumerate(texts):
                kind = data.draw(st.sampled_from(["grow", "repeat", "restart", "shrink", "change"]))
                if kind == "grow" and len(text) < width:
                    texts[row] = [*text, data.draw(st.integers(0, V - 1))]
                elif kind == "restart":
                    texts[row] = data.draw(TEXTS)
                elif kind == "shrink" and len(text) > 1:
                    texts[row] = text[:-1]
                elif kind == "change":
                    texts[row] = [*text[:-1], (text[-1] + 1) % V]


@given(texts=ROWS, left=st.integers(0, 3), begin=st.sampled_from([0, None]))
@SMALL
def test_positions_do_not_depend_on_padding(
    models: dict[str, Any], texts: list[list[int]], left: int, begin: int | None
) -> None:
    policy = free_policy(models["gpt2"], begin)
    rows, narrow = padded(texts, left, 12), padded(texts, 0, 7)
    ids, lengths = policy.sequences(rows)
    assert lengths.tolist() == [len(text) + policy.offset for text in texts]
    for row, text in enumerate(texts):
        assert ids[row, : lengths[row]].tolist() == [0] * policy.offset + text
    found, expected = (policy.next_log_probs(tokens).detach() for tokens in (rows, narrow))
    torch.testing.assert_close(found, expected, **CLOSE)
    with torch.inference_mode():
        read = Reader(policy, (2, 12)).read(rows).log_softmax(dim=-1)
    torch.testing.assert_close(read, found, **CLOSE)


# ---- whole episodes -------------------------------------------------------------------------------------------------

TASKS = {  # fixed mask, rules that depend on the text, a partner's turns
    "fixed": ("TextGen-v0", {"level": "tiny"}),
    "dynamic": ("TextGen/Brackets-v0", {}),
    "partner": ("TextGen/GuessNumber-v0", {}),
    "partner with rules": ("TextGen/Wordle-v0", {}),
}


def check_episodes(
    name: str, shape: str, *, lean: bool | None = None, temperature: float = 1.0, count: int = 5
) -> None:
    """Log-probabilities of a rollout and of :meth:`LMPolicy.score` are those of whole passes and environment masks."""
    env_id, kwargs = TASKS[name]
    envs = gym.make_vec(env_id, num_envs=3, autoreset_mode="Disabled", observation="tokens", **kwargs)
    task = envs.unwrapped.task
    v, width = task.tokenizer.vocab_size, task.prompts.width
    lm = random_lm(shape, v + 2, positions=2 + width + task.budget)  # one row of the head belongs to no token
    policy = LMPolicy(lm, LegalTokens.of(task), begin_id=v, temperature=temperature)
    envs.reset(seed=1)
    indices = np.resize(task.prompts.rows("all"), count)
    rollout = collect(policy, envs, indices, generator=torch.Generator().manual_seed(2), lean=lean)
    with torch.no_grad():
        scored = policy.score(rollout.tokens, rollout.wrote)
    env = gym.make(env_id, observation="tokens", split="all", **kwargs)
    checked = 0
    for row in range(count):
        written = rollout.tokens[row, width:]
        completion = written[written != v].tolist()
        masks = env_masks(env, int(indices[row]), completion, rollout.wrote[row, : len(completion)].tolist())
        for place, log_probs in direct(policy, rollout.tokens[row], width, masks).items():
            expected = float(log_probs[written[place]])
            assert rollout.log_probs[row, place] == pytest.approx(expected, abs=1e-5)
            assert float(scored.log_probs[row, place]) == pytest.approx(expected, abs=1e-5)
            probs = log_probs.exp()
            entropy = -float((probs * log_probs.masked_fill(probs == 0, 0.0)).sum())
            assert float(scored.entropies[row, place]) == pytest.approx(entropy, abs=1e-5)
            recomputed = policy.legal.at(written[None], np.array([place]))
            assert (np.broadcast_to(recomputed, (1, v))[0] == masks[place]).all()
            checked += 1
    assert checked == rollout.wrote.sum() > count
    envs.close()
    env.close()


@pytest.mark.parametrize("shape", SHAPES)
def test_episodes_score_as_whole_passes_do(shape: str) -> None:
    check_episodes("fixed", shape, temperature=0.7)


@pytest.mark.parametrize("name", ["dynamic", "partner", "partner with rules"])
@pytest.mark.parametrize("shape", ["gpt2", "mistral"])
def test_rules_and_partners_score_as_whole_passes_do(name: str, shape: str) -> None:
    check_episodes(name, shape, temperature=1.3)


@pytest.mark.parametrize("lean", [False, True])
def test_the_lean_step_and_the_plain_one_score_as_whole_passes_do(lean: bool) -> None:
    check_episodes("dynamic", "gpt2", lean=lean)


@pytest.mark.parametrize("packed_from", [0, 10**9])
def test_lean_and_plain_steps_agree_row_by_row(packed_from: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lean_module, "PACKED_FROM", packed_from)
    lm = random_lm("gpt2", V)
    policy, rng = free_policy(lm), np.random.default_rng(0)
    prompts = rng.integers(V, size=(4, 3)).astype(np.int32)
    writers = [Writer(policy, 4, prompts, 8, lean=lean) for lean in (True, False)]
    with torch.inference_mode():
        for writer in writers:
            writer.begin(np.arange(4), np.arange(4))
        for step in range(8):
            alive = np.ones(4, dtype=np.int64) if step % 3 else np.array([1, 0, 1, 1])
            ids = rng.integers(V, size=(4, 1))
            for writer in writers:
                writer.read(ids, alive)
            lean, plain = (writer.logits[alive > 0] for writer in writers)
            torch.testing.assert_close(lean, plain, **CLOSE)


# ---- what cannot be read --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_all_shapes_are_supported(models: dict[str, Any], shape: str) -> None:
    check_support(models[shape])
    check_support(random_lm(shape, 3).bfloat16())  # few ids, coarse numbers


def small(name: str, **options: Any) -> Any:
    import transformers

    common = {"vocab_size": V, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = getattr(transformers, f"{name}Config")(**{**common, **options})
    return getattr(transformers, f"{name}ForCausalLM")(config).eval()


def test_recurrent_layers_and_unknown_positions_are_refused() -> None:
    with pytest.raises(
        ConfigurationError, match="MambaForCausalLM (has layers of the kinds|cannot be read row by row)"
    ):
        check_support(small("Mamba", state_size=4))
    with pytest.raises(ConfigurationError, match="BloomForCausalLM cannot be read row by row"):
        check_support(small("Bloom", n_layer=2, n_head=2))


def test_logits_that_are_more_than_a_head_are_refused() -> None:
    capped = small("Gemma2", num_key_value_heads=1, head_dim=8, intermediate_size=16)
    with pytest.raises(ConfigurationError, match="Gemma2ForCausalLM does more to its logits than its output head"):
        check_support(capped)
    with pytest.raises(ConfigurationError, match="does more to its logits"):
        check_support(small("Cohere", intermediate_size=16, logit_scale=0.5))
    capped.config.final_logit_softcapping = None
    check_support(capped)


def test_attention_without_masks_of_its_own_is_refused() -> None:
    lm = random_lm("llama", V)
    lm.config._attn_implementation = "flash_attention_2"
    with pytest.raises(ConfigurationError, match="attn_implementation='flash_attention_2'.*take 'sdpa' or 'eager'"):
        Slots(lm, 1, 2)


def test_models_from_scratch_are_read() -> None:
    task = gym.make("TextGen-v0", level="tiny").unwrapped.task  # type: ignore[attr-defined]
    for architecture in ("gpt2", "llama"):
        policy = build_policy(ModelConfig(architecture=architecture, device="cpu"), task, seed=0)
        with torch.inference_mode():
            logits = Reader(policy, task.prompts.ids[:1].shape).read(np.asarray(task.prompts.ids[:1]))
        prompt = [token for token in task.prompts.ids[0].tolist() if token != policy.vocab_size]
        torch.testing.assert_close(logits[0], last_logits(policy.lm, [policy.begin_id or 0, *prompt]), **CLOSE)
