"""GRPO with TRL: a small model from scratch, its texts written under the environment's masks, no network.

python docs/examples/trl_grpo.py  (needs: pip install 'textgym[trl]')
"""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # TRL calls rollout_func experimental, in a warning

import argparse
import tempfile

import torch
from transformers import LlamaConfig, LlamaForCausalLM
from trl import GRPOConfig, GRPOTrainer

import textgym
from textgym.agents.lm.model import LegalTokens, LMPolicy
from textgym.evaluation import evaluate
from textgym.integrations import trl

STEPS, TEXTS, GROUP = 300, 256, 8  # steps of training, texts in each, texts to the same prompt


def train(envs, steps, seed, *, texts=TEXTS, folder):
    """Learns; returns the trainer, whose ``state.log_history`` has rewards and the share of illegal texts."""
    torch.set_num_threads(1)
    tokenizer = trl.tokenizer(envs)
    options = GRPOConfig(
        output_dir=str(folder), report_to="none", use_cpu=True, bf16=False, gradient_checkpointing=False, seed=seed,
        save_strategy="no", disable_tqdm=True, logging_steps=10, dataloader_pin_memory=False, max_steps=steps,
        per_device_train_batch_size=texts, num_generations=GROUP, max_completion_length=envs.task().budget,
        learning_rate=1e-3, scale_rewards="batch", entropy_coef=0.1, beta=0.0,
    )  # fmt: skip
    trainer = GRPOTrainer(
        trl.forbid(make_model(tokenizer, seed), envs),
        trl.reward_function(envs, processing_class=tokenizer),
        args=options,
        train_dataset=trl.dataset(envs, size=texts),
        processing_class=tokenizer,
        rollout_func=trl.rollout_function(envs, seed=seed),
    )
    trainer.train()
    return trainer


def make_model(tokenizer, seed):
    """Two layers of random weights in the shape of Llama, which does not mind TRL's padding in front of prompts."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def player(trainer, envs):
    """The model as textgym's evaluation calls it."""
    policy = LMPolicy(trainer.model.eval(), LegalTokens.of(envs.task()), begin_id=trainer.processing_class.bos_token_id)

    def act(observations, action_masks, *, deterministic=True, episode_starts=None):
        with torch.no_grad():
            log_probs = policy.next_log_probs(observations, action_masks)
        return (log_probs.argmax(-1) if deterministic else log_probs.exp().multinomial(1)[:, 0]).numpy()

    return act


def main() -> None:
    """Trains and prints what the greedy policy earns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env-id", default="TextGen-v0")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    envs = textgym.EnvFactory(args.env_id)
    with tempfile.TemporaryDirectory() as folder:
        trainer = train(envs, args.steps, args.seed, folder=folder)
    found = evaluate(player(trainer, envs), envs, episodes=500)
    illegal = max(row["textgym/illegal"] for row in trainer.state.log_history if "textgym/illegal" in row)
    score = "unknown" if found.normalized is None else f"{found.normalized:.3f}"
    print(f"mean return {found.returns.mean():.3f}, normalised {score}, illegal texts in training: {illegal:.0%}")


if __name__ == "__main__":
    main()
