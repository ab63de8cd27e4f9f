"""CandidateActions and ReferenceLogProb with a transformer as the reference, over hundreds and thousands of ids."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from tiny_models import save_trained_bpe
from wrapped import MODES

from textgym.episodes import EpisodeBatch
from textgym.factory import EnvFactory
from textgym.language_models import HuggingFaceLanguageModel
from textgym.wrappers import CandidateActions, ReferenceLogProb, vector

PROMPTS = ["kamo tiru", "sela", "vo kamo sela tiru", "ne"]
SIZES = (300, 3000)
K, LANES, BETA, TOKENS = 5, 4, 0.3, 4
every_mode = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.value)


def short(batch: EpisodeBatch) -> Any:
    return -0.1 * batch.lengths


@pytest.fixture(scope="module", params=SIZES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_causal(tmp_path_factory.mktemp("gpt"), request.param)


def save_causal(path: Path, size: int) -> Path:
    """A random GPT-2 of two layers and its byte-level BPE tokenizer."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer = save_trained_bpe(path, size)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=16, n_layer=2, n_head=2, n_positions=48, initializer_range=0.5,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        GPT2LMHeadModel(config).save_pretrained(path)
    return path


def factory(folder: Path, **kwargs: Any) -> EnvFactory:
    prompts = [{"prompt": text} for text in PROMPTS]
    given = {"tokenizer": str(folder), "prompts": prompts, "reward": short, "max_new_tokens": TOKENS}
    return EnvFactory("TextGen-v0", {**given, "observation": "tokens", **kwargs})


def model_of(folder: Path) -> HuggingFaceLanguageModel:
    return HuggingFaceLanguageModel(folder, device="cpu")


def full_log_probs(folder: Path, ids: list[int], legal: Any) -> Any:
    """Of the next token, by the model itself, read from the beginning."""
    import torch
    from transformers import GPT2LMHeadModel

    model = GPT2LMHeadModel.from_pretrained(folder).eval()
    with torch.inference_mode():
        logits = model(torch.tensor([[0, *ids]])).logits[0, -1].double().numpy()
    logits = np.where(legal, logits[: len(legal)], -np.inf)
    return logits - np.logaddexp.reduce(logits)


def present(env: Any) -> list[int]:
    """The ids of prompt and text without padding."""
    row = env.unwrapped.present_episodes.tokens[0]
    ids: list[int] = row[row != env.unwrapped.task.tokenizer.vocab_size].tolist()
    return ids


def test_candidates_and_prices_are_those_of_a_full_forward_pass(folder: Path) -> None:
    model = model_of(folder)
    env = CandidateActions(ReferenceLogProb(factory(folder).single(), model, BETA), model, K)
    assert env.action_space == spaces.Discrete(K)
    assert env.unwrapped.action_space.n == model.vocab_size == len(env.unwrapped.action_masks())
    rng, ended = np.random.default_rng(0), 0
    _, info = env.reset(seed=0)
    for _ in range(8):
        expected = full_log_probs(folder, present(env), env.unwrapped.action_masks())
        offered = info["candidates"]
        assert expected[offered] == pytest.approx(np.sort(expected)[::-1][:K], abs=1e-5)
        action = int(rng.integers(K))
        before = env.unwrapped.present_episodes.lengths[0]
        _, reward, terminated, _, info = env.step(action)
        base = -0.1 * (before + 1) if terminated else 0.0
        assert reward == pytest.approx(base + BETA * expected[offered[action]], abs=1e-5)
        if terminated:
            assert info["candidates"].tolist() == [env.unwrapped.eos_id] * K
            ended, (_, info) = ended + 1, env.reset()
        else:
            assert present(env)[-1] == offered[action]
    assert ended >= 1


@every_mode
def test_the_vector_twin_offers_and_pays_the_same(mode: AutoresetMode, folder: Path) -> None:
    model, made = model_of(folder), factory(folder)
    inner = vector.ReferenceLogProb(made.vector(LANES, autoreset_mode=mode), model, BETA)
    ours = vector.CandidateActions(inner, model, K)
    singles = [partial(_wrapped, made, model)] * LANES
    theirs = gym.vector.SyncVectorEnv(singles, autoreset_mode=mode)
    (one, info), (other, known) = ours.reset(seed=5), theirs.reset(seed=5)
    rng, ended = np.random.default_rng(1), 0
    for _ in range(14):
        assert np.array_equal(one, other)
        assert np.array_equal(info["candidates"], known["candidates"])
        assert np.array_equal(ours.action_masks().astype(np.int8), info["action_mask"])
        actions = rng.integers(K, size=LANES)
        one, rewards, over, _, info = ours.step(actions)
        other, expected, finished, _, known = theirs.step(actions)
        assert rewards == pytest.approx(expected, abs=1e-5)
        assert np.array_equal(over, finished)
        ended += int(over.sum())
        if mode is AutoresetMode.DISABLED and over.any():
            (one, info), (other, known) = (envs.reset(options={"reset_mask": over.copy()}) for envs in (ours, theirs))
            info, known = ({**told, "candidates": told["candidates"] * over[:, None]} for told in (info, known))
            info["action_mask"] = ours.action_masks().astype(np.int8)
    assert ended > LANES


def _wrapped(made: EnvFactory, model: Any) -> Any:
    return CandidateActions(ReferenceLogProb(made.single(), model, BETA), model, K)


def test_a_step_is_one_forward_pass_for_all_lanes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    forward = HuggingFaceLanguageModel._logits

    def counted(self: Any, lengths: Any, inputs: Any, **options: Any) -> Any:
        logits = forward(self, lengths, inputs, **options)
        asked.append((len(inputs), logits.shape[1]))
        return logits

    monkeypatch.setattr(HuggingFaceLanguageModel, "_logits", counted)
    lanes = 64
    envs = vector.CandidateActions(factory(folder).vector(lanes), model_of(folder), K)
    _, infos = envs.reset(seed=0)
    for _ in range(2):
        actions = (infos["candidates"] == envs.unwrapped.eos_id).argmin(axis=1)  # the likeliest that goes on
        infos = envs.step(actions)[4]
    assert [texts for texts, _ in asked] == [lanes] * 3
    assert max(places for _, places in asked) <= len(PROMPTS)  # one for each length: logits after the last tokens alone


def test_dqn_of_stable_baselines3_learns_on_candidates(folder: Path) -> None:
    sb3 = pytest.importorskip("stable_baselines3")
    from textgym.integrations.sb3 import NativeVecEnv

    native = factory(folder).vector(4, autoreset_mode="SameStep")
    envs = NativeVecEnv(vector.CandidateActions(native, model_of(folder), K))
    assert envs.action_space == spaces.Discrete(K)
    small = {"learning_starts": 16, "batch_size": 8, "buffer_size": 64, "policy_kwargs": {"net_arch": [8]}, "seed": 0}
    agent = sb3.DQN("MlpPolicy", envs, device="cpu", **small)
    agent.learn(60)
    assert agent.num_timesteps >= 60
    assert agent._n_updates > 0
    chosen, _ = agent.predict(envs.reset(), deterministic=True)
    assert envs.action_space.contains(chosen[0])
