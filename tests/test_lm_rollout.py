"""Rollouts: whole episodes in the order asked, scored and paid as the environment itself would."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch
from small_lms import TINY, make_policy, write

import textgym
from textgym.agents.lm import rollout as rollouts
from textgym.agents.lm.model import LegalTokens, LMPolicy
from textgym.agents.lm.rollout import Rollout, collect
from textgym.benchmarks.meter import Meter
from textgym.benchmarks.metering import MeteredFactory
from textgym.errors import BudgetSpent
from textgym.playing import play
from textgym.wrappers.vector import TokenCost

EASY = textgym.EnvFactory("TextGen-v0")
GUESS = textgym.EnvFactory("TextGen/GuessNumber-v0")
DIALOGUE = textgym.EnvFactory("TextGen/Dialogue-v0")
BRACKETS = textgym.EnvFactory("TextGen/Brackets-v0")
ENVS = {"tiny": TINY, "easy": EASY, "guess": GUESS, "dialogue": DIALOGUE, "brackets": BRACKETS}


def full_log_probs(policy: LMPolicy, envs: textgym.EnvFactory, rollout: Rollout) -> Any:
    """``(N, T)`` by one full forward pass a token, over the environment's rows cut off before it."""
    legal = LegalTokens.of(envs.task())
    width, found = rollout.tokens.shape[1] - rollout.wrote.shape[1], np.zeros(rollout.wrote.shape)
    for t in range(rollout.wrote.shape[1]):
        rows = np.flatnonzero(rollout.wrote[:, t])
        if rows.size:
            before = rollout.tokens[rows].copy()
            before[:, width + t :] = policy.vocab_size
            masks = legal.at(rollout.tokens[rows, width:], np.full(len(rows), t))
            with torch.no_grad():
                log_probs = policy.next_log_probs(before, masks).numpy()
            found[rows, t] = log_probs[np.arange(len(rows)), rollout.tokens[rows, width + t]]
    return found


@pytest.mark.parametrize("lean", [True, False])
@pytest.mark.parametrize("name", ENVS)
def test_log_probs_are_those_of_a_full_forward_pass(name: str, lean: bool) -> None:
    policy = make_policy(ENVS[name], temperature=0.8)
    rollout = write(policy, ENVS[name], 21, lanes=8, lean=lean)
    assert np.abs(rollout.log_probs - full_log_probs(policy, ENVS[name], rollout)).max() < 1e-5
    assert (rollout.log_probs[rollout.wrote] < 0).any()


@pytest.mark.parametrize("name", ENVS)
def test_first_ratios_are_one(name: str) -> None:
    policy = make_policy(ENVS[name], value_head=True)
    with torch.no_grad():
        assert policy.value_head is not None
        policy.value_head.weight.fill_(0.1)
    rollout = write(policy, ENVS[name], 30)
    with torch.no_grad():
        scored = policy.score(rollout.tokens, rollout.wrote)
    ratios = np.exp(scored.log_probs.numpy() - rollout.log_probs)[rollout.wrote]
    assert np.abs(ratios - 1.0).max() < 1e-5
    assert np.abs(scored.values.numpy() - rollout.values)[rollout.wrote].max() < 1e-5
    assert np.abs(rollout.values[rollout.wrote]).max() > 1e-3


@pytest.mark.parametrize(("count", "lanes"), [(21, 8), (3, 8), (16, 8), (1, 1), (9, 1)])
def test_episodes_are_whole_and_in_the_order_asked(count: int, lanes: int) -> None:
    rollout = write(make_policy(EASY), EASY, count, lanes=lanes)
    task = EASY.task()
    assert len(rollout) == len(rollout.episodes) == count
    assert np.array_equal(rollout.episodes.prompt_indices, rollout.prompt_indices)
    assert np.array_equal(rollout.tokens[:, : task.prompts.width], task.prompts.ids[rollout.prompt_indices])
    assert all(reason in ("eos", "length") for reason in rollout.episodes.stop_reasons)
    assert np.array_equal(rollout.wrote.sum(axis=1), rollout.episodes.lengths)


@pytest.mark.parametrize("timing", ["end", "step"])
def test_returns_are_the_scores_of_the_texts(timing: str) -> None:
    envs = textgym.EnvFactory("TextGen-v0", {"reward_timing": timing})
    rollout = write(make_policy(envs), envs, 21)
    ids = [rollout.episodes.ids(row) for row in range(21)]
    scores = textgym.score(envs, rollout.episodes.prompt_texts, ids)
    assert rollout.returns == pytest.approx(scores, abs=1e-5)
    paid = (rollout.rewards != 0).sum(axis=1)
    assert paid.max() > 1 if timing == "step" else paid.max() == 1


def test_conversations_are_paid_as_the_environment_pays() -> None:
    rollout = write(make_policy(DIALOGUE), DIALOGUE, 16, lanes=16, seed=3)
    vector: Any = DIALOGUE.vector(16, autoreset_mode="Disabled")
    vector.reset(seed=3)  # the episodes of a rollout are the lanes' second ones
    vector.reset(options={"prompt_index": rollout.prompt_indices, "reset_mask": np.ones(16, dtype=bool)})
    width = rollout.tokens.shape[1] - rollout.wrote.shape[1]
    queues = [rollout.tokens[row, width:][rollout.wrote[row]].tolist() for row in range(16)]
    over, returns = np.zeros(16, dtype=bool), np.zeros(16)
    while not over.all():
        actions = [rollouts.RESTS if done else queue.pop(0) for done, queue in zip(over, queues, strict=True)]
        tokens, rewards, ended, _, _ = vector.step(np.array(actions))
        returns, over = returns + np.where(over, 0.0, rewards), over | ended
    assert np.array_equal(tokens, rollout.tokens)
    assert returns == pytest.approx(rollout.returns, abs=1e-5)
    assert not any(queues)
    assert rollout.wrote.sum() < (rollout.tokens[:, width:] != vector.unwrapped.task.tokenizer.vocab_size).sum()


def test_rewards_of_wrappers_arrive() -> None:
    policy = make_policy(EASY)
    vector: Any = TokenCost(EASY.vector(8, autoreset_mode="Disabled"), cost=0.25)
    vector.reset(seed=0)
    rows = np.arange(4).repeat(4)
    dear = collect(policy, vector, rows, generator=torch.Generator().manual_seed(0))
    plain = textgym.score(EASY, dear.episodes.prompt_texts, [dear.episodes.ids(row) for row in range(16)])
    assert dear.returns == pytest.approx(plain - 0.25 * dear.episodes.lengths, abs=1e-5)


def test_the_groups_of_a_prompt_stand_together_and_complete() -> None:
    vector: Any = EASY.vector(8, autoreset_mode="Disabled")
    vector.reset(seed=0)
    rollout = collect(make_policy(EASY), vector, np.repeat([2, 0, 1], 5), generator=torch.Generator().manual_seed(0))
    groups = np.array(rollout.episodes.prompt_texts).reshape(3, 5)
    assert (groups == groups[:, :1]).all()
    assert len(set(groups[:, 0])) == 3


def test_the_same_seed_writes_the_same_and_another_does_not() -> None:
    policy = make_policy(EASY)
    one, two, other = (write(policy, EASY, 40, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.tokens, two.tokens)
    assert np.array_equal(one.log_probs, two.log_probs)
    assert not np.array_equal(one.tokens, other.tokens)


@pytest.mark.parametrize("name", ENVS)
def test_the_lean_path_writes_what_the_plain_one_writes(name: str) -> None:
    policy = make_policy(ENVS[name], value_head=True)
    lean, plain = (write(policy, ENVS[name], 21, lean=lean) for lean in (True, False))
    assert np.array_equal(lean.tokens, plain.tokens)
    assert np.abs(lean.log_probs - plain.log_probs).max() < 1e-5


def test_greedy_rollouts_write_what_the_agent_writes_greedily() -> None:
    policy = make_policy(EASY)

    def act(observations: Any, masks: Any, **_: Any) -> Any:
        with torch.no_grad():
            return policy.next_log_probs(observations, masks).argmax(dim=-1).numpy()

    rollout = write(policy, EASY, 8, greedy=True)
    batch, _ = play(act, EASY, episodes=8, prompt_indices=rollout.prompt_indices)
    assert batch.completions == rollout.episodes.completions


def test_a_row_whose_text_has_ended_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forward passes of one token: with restarts row by row, about tokens / lanes; in lockstep one for each longest."""
    passes: list[int] = []
    read = rollouts.Writer.read

    def counted(self: rollouts.Writer, ids: Any, counts: Any) -> None:
        passes.append(int(counts.sum()))
        read(self, ids, counts)

    monkeypatch.setattr(rollouts.Writer, "read", counted)
    rollout = write(make_policy(EASY), EASY, 64, lanes=8)
    lockstep = sum(int(lengths.max()) for lengths in rollout.episodes.lengths.reshape(8, 8))
    assert sum(passes) == rollout.steps - 64  # the last token of a text is never read
    assert len(passes) < lockstep
    assert len(passes) <= rollout.steps / 8 + rollout.episodes.lengths.max()


@pytest.mark.parametrize("name", ["easy", "guess", "dialogue"])
def test_metered_steps_are_the_tokens_that_were_written(name: str) -> None:
    meter = Meter(100_000)
    rollout = write(make_policy(ENVS[name]), MeteredFactory.around(ENVS[name], meter), 21)
    assert meter.steps == rollout.steps == rollout.wrote.sum()
    assert meter.episodes == 21
    assert meter.reward_calls == 21


def test_a_spent_budget_ends_the_rollout() -> None:
    meter = Meter(20)
    with pytest.raises(BudgetSpent):
        write(make_policy(EASY), MeteredFactory.around(EASY, meter), 64)
    assert meter.steps <= 20


def test_nlpo_draws_only_what_the_other_policy_finds_likely() -> None:
    policy, masker = make_policy(TINY, seed=1), make_policy(TINY, seed=2)
    rollout = write(policy, TINY, 64, mask_policy=masker, top_p=0.5)
    with torch.no_grad():
        scored = policy.score(rollout.tokens, rollout.wrote, mask_policy=masker, top_p=0.5)
        likely = masker.score(rollout.tokens, rollout.wrote, mask_policy=masker, top_p=0.5)
        freely = policy.score(rollout.tokens, rollout.wrote)
    assert np.abs(scored.log_probs.numpy() - rollout.log_probs).max() < 1e-5
    assert (likely.log_probs.numpy()[rollout.wrote] > np.log(0.05)).all()
    assert (freely.log_probs.numpy() < rollout.log_probs - 0.01)[rollout.wrote].any()
