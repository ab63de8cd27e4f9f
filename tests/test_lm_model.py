"""What a policy says of texts: in chunks as in one piece, with gradients, on every device, and in little memory."""

from __future__ import annotations

import copy
import dataclasses
import gc
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from lm_oracles import play_at_random, random_lm, task_of
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from textgym.agents.lm import model as model_module
from textgym.agents.lm.building import ModelConfig, add_adapters, build_policy
from textgym.agents.lm.model import LegalTokens, LMPolicy, Scored, Unadapted
from textgym.agents.lm.sampling import top_p_mask
from textgym.legality import masks_after, read_rules
from textgym.task import Task

CLOSE: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(scope="module")
def task() -> Task:
    return task_of("TextGen/Brackets-v0")


@pytest.fixture(scope="module")
def texts(task: Task) -> Any:
    return play_at_random(task)


def policy_of(task: Task, shape: str = "gpt2", **options: Any) -> LMPolicy:
    v = task.tokenizer.vocab_size
    lm = random_lm(shape, v + 2, positions=2 + task.prompts.width + task.budget)
    return LMPolicy(lm, LegalTokens.of(task), begin_id=v, **{"temperature": 0.8, **options})


def other_policy(task: Task) -> LMPolicy:
    other = policy_of(task)
    with torch.no_grad():
        for number, weights in enumerate(other.parameters()):
            weights.add_(torch.randn(weights.shape, generator=torch.Generator().manual_seed(number)), alpha=0.05)
    return other.requires_grad_(False)


def whole(
    policy: LMPolicy, tokens: np.ndarray, wrote: np.ndarray, legal: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """``(N, T, V)`` log-probabilities in one piece, and the mask: with gradients."""
    ids, lengths = policy.sequences(tokens)
    logits = policy.lm(input_ids=torch.from_numpy(ids), use_cache=False).logits[..., : policy.vocab_size]
    n, t = wrote.shape
    begins = policy.offset + (tokens[:, :-t] != policy.vocab_size).sum(axis=1)
    spots = np.minimum(begins[:, None] + np.arange(t) - 1, lengths[:, None] - 1)
    if legal is None:
        rows, places = np.repeat(np.arange(n), t), np.tile(np.arange(t), n)
        legal = torch.from_numpy(policy.legal.at(tokens[rows, -t:], places)).view(n, t, -1)
    chosen = logits[torch.arange(n)[:, None], torch.from_numpy(spots)] / policy.temperature
    return chosen.masked_fill(~legal, -torch.inf).log_softmax(dim=-1), legal


def described(log_probs: Tensor, tokens: np.ndarray, wrote: np.ndarray) -> tuple[Tensor, Tensor]:
    """``(N, T)`` log-probabilities of what was written and entropies, 0 elsewhere."""
    written = torch.from_numpy(np.where(wrote, tokens[:, -wrote.shape[1] :], 0).astype(np.int64))
    mine = torch.from_numpy(wrote)
    entropy = -(log_probs.exp() * log_probs.masked_fill(log_probs == -torch.inf, 0.0)).sum(-1)
    return log_probs.gather(-1, written[..., None])[..., 0].masked_fill(~mine, 0.0), entropy.masked_fill(~mine, 0.0)


def test_a_prompt_that_brings_its_own_beginning_is_read_as_it_is(task: Task, texts: Any) -> None:
    tokens, wrote = texts[0], texts[1]
    policy = policy_of(task)
    policy.begin_id = None
    expected, _ = described(whole(policy, tokens, wrote)[0], tokens, wrote)
    with torch.no_grad():
        torch.testing.assert_close(policy.score(tokens, wrote).log_probs, expected, **CLOSE)
        first = tokens[0][tokens[0] != policy.vocab_size].astype(np.int64)
        logits = policy.lm(input_ids=torch.from_numpy(first[None])).logits[0, -1, : policy.vocab_size]
        legal = torch.from_numpy(policy.legal.fixed)
        alone = (logits / policy.temperature).masked_fill(~legal, -torch.inf).log_softmax(-1)
        torch.testing.assert_close(policy.next_log_probs(tokens[:1])[0], alone, **CLOSE)


def test_where_rules_leave_nothing_the_end_is_left(task: Task) -> None:
    def forbid(tokenizer: Any, completions: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        return np.repeat(lengths[:, None] < 2, tokenizer.vocab_size, axis=1)

    rules = dataclasses.replace(read_rules(task), dynamic=(forbid,))  # type: ignore[arg-type]
    masks = masks_after(rules, task.tokenizer, np.zeros((3, 5), dtype=np.int32), np.array([0, 2, 1]))
    assert (masks[[0, 2]] == rules.fixed_mask).all()
    assert np.flatnonzero(masks[1]).tolist() == [task.tokenizer.eos_ids[0]]


@pytest.mark.parametrize("elements", [1, 100, 2**24])
def test_chunks_say_what_one_piece_says(task: Task, texts: Any, elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "CHUNK_ELEMENTS", elements)
    (tokens, wrote), policy, reference = texts, policy_of(task), other_policy(task)
    assert policy.legal.dynamic
    with torch.no_grad():
        found = policy.score(tokens, wrote, reference=reference)
        mine, legal = whole(policy, tokens, wrote)
        theirs, _ = whole(reference, tokens, wrote)
    log_probs, entropies = described(mine, tokens, wrote)
    gaps = (mine.exp() * (mine - theirs).masked_fill(~legal, 0.0)).sum(-1).masked_fill(~torch.from_numpy(wrote), 0.0)
    torch.testing.assert_close(found.log_probs, log_probs, **CLOSE)
    torch.testing.assert_close(found.entropies, entropies, **CLOSE)
    assert found.divergences is not None
    torch.testing.assert_close(found.divergences, gaps, **CLOSE)
    assert (found.divergences >= -1e-6).all()
    assert found.divergences.max() > 0.01


def test_a_lagged_policy_limits_what_could_be_written(task: Task, texts: Any) -> None:
    (tokens, wrote), policy, masker = texts, policy_of(task), other_policy(task)
    with torch.no_grad():
        found = policy.score(tokens, wrote, mask_policy=masker, top_p=0.6)
        likely, legal = whole(masker, tokens, wrote)
        written = torch.from_numpy(np.where(wrote, tokens[:, -wrote.shape[1] :], 0).astype(np.int64))
        kept = top_p_mask(likely, 0.6).scatter(-1, written[..., None], True) & legal
        mine, _ = whole(policy, tokens, wrote, kept)
    log_probs, entropies = described(mine, tokens, wrote)
    torch.testing.assert_close(found.log_probs, log_probs, **CLOSE)
    torch.testing.assert_close(found.entropies, entropies, **CLOSE)


def loss_of(scored: Scored) -> Tensor:
    """Something that every output has a part in."""
    loss = -scored.log_probs.sum() - 0.3 * scored.entropies.sum() + 0.2 * (scored.values - 1.0).square().sum()
    return loss if scored.divergences is None else loss + 0.5 * scored.divergences.sum()


def gradients(policy: LMPolicy, loss: Tensor) -> dict[str, Tensor]:
    policy.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    return {name: p.grad.clone() for name, p in policy.named_parameters() if p.grad is not None}


def assert_equal(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-4, msg=name)


def test_gradients_are_those_of_one_piece_however_they_are_made(
    task: Task, texts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tokens, wrote), policy, reference = texts, policy_of(task, value_head=True), other_policy(task)
    mine, legal = whole(policy, tokens, wrote)
    with torch.no_grad():
        theirs, _ = whole(reference, tokens, wrote)
    log_probs, entropies = described(mine, tokens, wrote)
    finite, other = mine.masked_fill(~legal, 0.0), theirs.masked_fill(~legal, 0.0)
    gaps = (mine.exp() * (finite - other)).sum(-1) * torch.from_numpy(wrote)
    values = torch.zeros(wrote.shape)  # the head begins at 0, but learns
    expected = gradients(policy, loss_of(Scored(log_probs, entropies, values, gaps)))
    for elements in (200, 2**24):  # the first is computed again, the second kept
        monkeypatch.setattr(model_module, "CHUNK_ELEMENTS", elements)
        found = gradients(policy, loss_of(policy.score(tokens, wrote, reference=reference)))
        assert found.pop("value_head.weight").abs().sum() > 0
        assert found.pop("value_head.bias").abs().sum() > 0
        assert_equal(found, expected)
    policy.zero_grad()
    for part in np.split(np.arange(len(tokens)), [3, 5]):  # micro-batches add up
        loss_of(policy.score(tokens[part], wrote[part], reference=reference)).backward()  # type: ignore[no-untyped-call]
    assert_equal({name: p.grad for name, p in policy.lm.named_parameters(prefix="lm") if p.grad is not None}, expected)


def test_gradient_checkpointing_recomputes_layers_and_changes_nothing(task: Task, texts: Any) -> None:
    tokens, wrote = texts
    for architecture in ("gpt2", "llama"):
        config = ModelConfig(architecture=architecture, device="cpu", width=16)
        thrifty_config = ModelConfig(**{**vars(config), "gradient_checkpointing": True})
        found, calls = [], []
        for options in (config, thrifty_config):
            policy, seen = build_policy(options, task, seed=0), list[int]()
            inner = policy.lm.transformer.h[0].mlp if architecture == "gpt2" else policy.lm.model.layers[0].mlp
            inner.register_forward_pre_hook(partial(note, seen))
            found.append(gradients(policy, loss_of(policy.score(tokens, wrote))))
            calls.append(len(seen))
            assert not any(module.training for module in policy.lm.modules())  # dropout would stay off
        assert_equal(found[1], found[0])
        assert calls == [1, 2]


def note(seen: list[int], *_: Any) -> None:
    seen.append(1)


def test_half_precision_runs_and_stays_near(task: Task, texts: Any) -> None:
    (tokens, wrote), config = texts, ModelConfig(device="cpu", width=16)
    exact, coarse = (
        build_policy(ModelConfig(**{**vars(config), "dtype": dtype}), task, seed=0, value_head=True)
        for dtype in ("float32", "bfloat16")
    )
    assert {p.dtype for p in coarse.lm.parameters()} == {torch.bfloat16}
    expected = exact.score(tokens, wrote)
    with torch.autocast("cpu", torch.bfloat16):
        cast = exact.score(tokens, wrote)
    for scored, policy in ((cast, exact), (coarse.score(tokens, wrote), coarse)):
        assert scored.log_probs.dtype == scored.values.dtype == torch.float32
        torch.testing.assert_close(scored.log_probs, expected.log_probs, rtol=0.05, atol=0.05)
        found = gradients(policy, loss_of(scored))
        assert all(gradient.isfinite().all() for gradient in found.values())


@pytest.mark.parametrize("shape", ["gpt2", "qwen2"])
def test_the_reference_of_adapters_is_the_same_weights_without_them(task: Task, texts: Any, shape: str) -> None:
    (tokens, wrote), before = texts, policy_of(task, shape)
    policy = policy_of(task, shape)
    policy.lm = add_adapters(policy.lm, 2, seed=0)
    reference = LMPolicy(Unadapted(policy.lm), policy.legal, begin_id=policy.begin_id, temperature=policy.temperature)
    trained = [p for p in policy.parameters() if p.requires_grad]
    assert 0 < sum(p.numel() for p in trained) < sum(p.numel() for p in before.parameters())
    optimizer = torch.optim.SGD(trained, lr=0.1)
    for _ in range(2):
        scored = policy.score(tokens, wrote, reference=reference)
        (-scored.log_probs.sum() / len(tokens)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        expected, found, moved = (p.score(tokens, wrote).log_probs for p in (before, reference, policy))
        divergences = policy.score(tokens, wrote, reference=reference).divergences
    torch.testing.assert_close(found, expected, **CLOSE)
    assert (moved - expected).abs().max() > 0.01
    assert divergences is not None
    assert divergences.max() > 0.001
    copied = copy.deepcopy(policy).lm.merge_and_unload()
    torch.testing.assert_close(
        LMPolicy(copied, policy.legal, begin_id=policy.begin_id, temperature=policy.temperature)
        .score(tokens, wrote).log_probs.detach(), moved, **CLOSE,
    )  # fmt: skip


class Largest(TorchDispatchMode):
    """Notes the most numbers, of 4 bytes, that any tensor has room for."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        parts = result if isinstance(result, tuple | list) else (result,)
        made = [part.untyped_storage().nbytes() // 4 for part in parts if isinstance(part, Tensor)]
        self.elements = max([self.elements, *made])
        return result


def test_distributions_are_never_there_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of("TextGen-v0", prompts=["a b", "b"], tokenizer="byte", reward="diversity", max_new_tokens=40)
    policy, reference = policy_of(task), other_policy(task)
    rng = np.random.default_rng(0)
    completions = rng.integers(256, size=(20, 40)).astype(np.int32)
    tokens = np.concatenate([np.repeat(task.prompts.ids[:1], 20, axis=0), completions], axis=1)
    wrote = np.ones((20, 40), dtype=bool)
    monkeypatch.setattr(model_module, "CHUNK_ELEMENTS", 64 * 257)
    everything = tokens.shape[0] * wrote.shape[1] * 257
    gc.collect()
    with Largest() as largest:
        loss = loss_of(policy.score(tokens, wrote, reference=reference, mask_policy=reference, top_p=0.9))
        wide = [o for o in gc.get_objects() if type(o) is Tensor and o.dim() == 2 and o.shape[1] in (257, 259)]
        loss.backward()  # type: ignore[no-untyped-call]
    assert sum(o.numel() for o in wide if o.shape[0] not in (257, 259)) == 0  # nothing but the weights waits
    assert largest.elements < everything / 3


def test_nothing_written_is_nothing_said(task: Task, texts: Any) -> None:
    tokens, wrote = texts
    scored = policy_of(task).score(tokens, np.zeros_like(wrote))
    assert scored.log_probs.shape == wrote.shape
    assert (scored.log_probs == 0).all()
