"""A reward model with TRL, from a file of preferences as `textgym label export` writes it; then it is a reward.

python docs/examples/trl_reward_model.py
python docs/examples/trl_reward_model.py --preferences preferences.jsonl --out models/reward

Needs: pip install 'textgym[trl]'.
"""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from datasets import load_dataset
from transformers import LlamaConfig, LlamaForSequenceClassification
from trl import RewardConfig, RewardTrainer

from textgym import EnvFactory
from textgym.annotators import BoltzmannAnnotator
from textgym.comparison_files import write_comparisons
from textgym.feedback.gathering import SyntheticGatherer
from textgym.feedback.pairs import sample_pairs, to_batches
from textgym.integrations import trl
from textgym.rewards import ClassifierReward


def write_preferences(envs, file, count, seed):
    """What a simulated annotator says of pairs of texts; people do the same with `textgym label serve`."""
    task = envs.task()
    annotator = BoltzmannAnnotator(task.gold, temperature=0.5)
    judged = SyntheticGatherer(task, annotator, seed=seed).gather(sample_pairs(envs, "mixed", count, seed=seed))
    print(write_comparisons(file, judged, form="trl_messages"))


def train(envs, file, out, steps, seed):
    """Trains on nine tenths of the file, saves the model, and returns its accuracy on the last tenth."""
    torch.set_num_threads(1)
    tokenizer = trl.tokenizer(envs)
    with tempfile.TemporaryDirectory() as cache:
        data = load_dataset("json", data_files=str(file), split="train", cache_dir=cache, keep_in_memory=True)
    data = data.train_test_split(test_size=0.1, seed=seed)
    options = RewardConfig(
        output_dir=str(out), report_to="none", use_cpu=True, bf16=False, gradient_checkpointing=False, seed=seed,
        save_strategy="no", disable_tqdm=True, logging_steps=50, dataloader_pin_memory=False, max_steps=steps,
        per_device_train_batch_size=64, per_device_eval_batch_size=256, learning_rate=1e-3, warmup_steps=20,
        center_rewards_coefficient=0.01,
    )  # fmt: skip
    trainer = RewardTrainer(
        make_model(tokenizer, seed), args=options, train_dataset=data["train"], eval_dataset=data["test"],
        processing_class=tokenizer,
    )  # fmt: skip
    trainer.train()
    trainer.save_model(str(out))
    return trainer.evaluate()["eval_accuracy"]


def make_model(tokenizer, seed):
    """Two layers of random weights in the shape of Llama, with a head that gives one number."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, num_labels=1,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return LlamaForSequenceClassification(config)


def correlate(envs, model, seed):
    """How the model's scores of new texts go with the true ones."""
    first, second = to_batches(envs.task(), sample_pairs(envs, "mixed", 300, seed=seed + 1))
    reward = ClassifierReward(str(model), text="chat")
    scores = np.concatenate([reward(first), reward(second)])
    return float(np.corrcoef(scores, np.concatenate([first.gold(), second.gold()]))[0, 1])


def main() -> None:
    """Trains and prints how good the model is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preferences", type=Path, help="a file of the format trl_messages; by default simulated")
    parser.add_argument("--out", type=Path, help="folder of the model; by default it is thrown away")
    parser.add_argument("--pairs", type=int, default=4_000)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    envs = EnvFactory("TextGen-v0")
    with tempfile.TemporaryDirectory() as folder:
        file, out = args.preferences or Path(folder) / "preferences.jsonl", args.out or Path(folder) / "model"
        if args.preferences is None:
            write_preferences(envs, file, args.pairs, args.seed)
        accuracy = train(envs, file, out, args.steps, args.seed)
        print(f"accuracy on held-out pairs {accuracy:.3f}, correlation with gold {correlate(envs, out, args.seed):.3f}")


if __name__ == "__main__":
    main()
