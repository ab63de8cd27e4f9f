"""DQN on a language model's whole vocabulary: it chooses among the model's likeliest tokens, 16 at each place.

    python docs/examples/large_vocabulary.py --model gpt2 --prompts prompts.txt --words "great superb moving"

The reward is the share of these words in the text; any other reward fits in its place. Prints what the model earns by
itself, sampled and greedy, and what DQN earns, on prompts that neither was trained on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3 import DQN

from textgym import EnvFactory
from textgym.agents.registry import make_agent
from textgym.benchmarks.stats import mean, paired_difference
from textgym.errors import TextGymError
from textgym.huggingface import HuggingFaceTokenizer
from textgym.integrations.sb3 import NativeVecEnv, TokenEmbedding
from textgym.language_models import HuggingFaceLanguageModel
from textgym.playing import play
from textgym.rewards import WordScores
from textgym.wrappers.vector import CandidateActions

LANES = 32  # texts at once


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", required=True, type=Path, help="folder or hub name of a causal language model with safetensors")
    add("--prompts", required=True, help="text, JSONL, CSV or Parquet; a column `split` may say train or test")
    add("--words", required=True, help="what the text should say, separated by spaces")
    add("--k", type=int, default=16, help="candidates at each place")
    add("--steps", type=int, default=20_000, help="tokens to write in training")
    add("--max-new-tokens", type=int, default=8)
    add("--seed", type=int, default=0)
    return parser.parse_args(arguments)


def make_envs(args: argparse.Namespace) -> EnvFactory:
    """One token of the model is one action; the observation is a dict without the mask of all tokens."""
    return EnvFactory("TextGen-v0", {
        "tokenizer": HuggingFaceTokenizer(str(args.model)), "prompts": args.prompts,
        "reward": WordScores(dict.fromkeys(args.words.split(), 1.0)), "max_new_tokens": args.max_new_tokens,
    })  # fmt: skip


def candidates(envs: EnvFactory, model: HuggingFaceLanguageModel, lanes: int, k: int, **extra: Any) -> CandidateActions:
    """The environment with ``k`` actions instead of the whole vocabulary."""
    inner = envs.vector(lanes, autoreset_mode="SameStep", observation="dict", include_mask=False, **extra)
    return CandidateActions(inner, model, k)


def train(args: argparse.Namespace, envs: EnvFactory, model: HuggingFaceLanguageModel) -> DQN:
    """DQN of stable-baselines3, as for any game with 16 actions."""
    learner = DQN(
        "MultiInputPolicy", NativeVecEnv(candidates(envs, model, LANES, args.k)), seed=args.seed, device="cpu",
        policy_kwargs={"features_extractor_class": TokenEmbedding, "net_arch": [128]}, gamma=1.0, learning_rate=1e-3,
        buffer_size=args.steps, learning_starts=1_000, batch_size=128, train_freq=1, gradient_steps=4,
        target_update_interval=1_000, exploration_fraction=0.4, exploration_final_eps=0.02,
    )  # fmt: skip
    return learner.learn(args.steps)


def write_with(learner: DQN, args: argparse.Namespace, envs: EnvFactory, model: Any) -> tuple[Any, list[str]]:
    """``(N,)`` rewards of the greedy texts, one to each held-out prompt, and the texts."""
    rows = envs.task().prompts.rows("test")
    lanes = candidates(envs, model, len(rows), args.k, split="test")
    observations, _ = lanes.reset(seed=args.seed, options={"prompt_index": rows})
    base: Any = lanes.unwrapped
    rewards, texts = np.full(len(rows), np.nan), [""] * len(rows)
    while np.isnan(rewards).any():
        observations, _, terminations, truncations, _ = lanes.step(learner.predict(observations, deterministic=True)[0])
        for place, row in enumerate(base.last_rows if (terminations | truncations).any() else ()):
            if np.isnan(rewards[row]):  # the first text of each lane: a lane goes on with other prompts
                rewards[row], texts[row] = base.last_returns[place], base.last_episodes.completions[place]
    lanes.close()
    return rewards, texts


def write_alone(args: argparse.Namespace, envs: EnvFactory, *, greedy: bool) -> NDArray[np.float64]:
    """``(N,)`` rewards of the model's own texts, one to each held-out prompt."""
    agent: Any = make_agent("frozen_lm", seed=args.seed, model=str(args.model), write_on=False, device="cpu")
    agent.learn(envs, 1)
    rows = envs.task().prompts.rows("test")
    options: Any = {"seed": args.seed, "deterministic": greedy, "prompt_indices": rows, "split": "test"}
    return np.asarray(play(agent, envs, episodes=len(rows), **options)[1])


def run(args: argparse.Namespace) -> dict[str, Any]:
    """All of it: rewards on held-out prompts, and DQN's gain over the model with a 95 % interval."""
    envs, model = make_envs(args), HuggingFaceLanguageModel(args.model, device="cpu")
    rewards, texts = write_with(train(args, envs, model), args, envs, model)
    found = {
        "model, sampled": write_alone(args, envs, greedy=False),
        "model, greedy": write_alone(args, envs, greedy=True),
    }
    gains = {
        name: paired_difference([rewards], [own], np.random.default_rng(0), statistic=mean, replicates=10_000)
        for name, own in found.items()
    }
    return {"rewards": {**found, "DQN": rewards}, "gains": gains, "texts": texts, "actions": (args.k, model.vocab_size)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs it and prints the table; what is wrong with the input is said in one line."""
    try:
        found = run(parse(arguments))
    except TextGymError as error:
        sys.exit(f"error: {error}")
    print("{} of {:,} tokens at each place".format(*found["actions"]))
    for name, rewards in found["rewards"].items():
        gain = found["gains"].get(name)
        better = "" if gain is None else f"   DQN is {gain.estimate:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}] better"
        print(f"{name:15} {rewards.mean():.3f}{better}")
    print("\n".join(f"  {text}" for text in found["texts"][:5]))


if __name__ == "__main__":
    main()
