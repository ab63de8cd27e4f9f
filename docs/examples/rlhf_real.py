"""RLHF with your own model, prompts and reward model: fine-tuning on texts, reinforcement learning, a report.

    python docs/examples/rlhf_real.py --model gpt2 --prompts prompts.jsonl --prompt-column prompt \
        --reward models/reward --algo grpo --sft texts.jsonl --lora-rank 8 --out runs/rlhf

Writes ``report.md`` and ``report.json`` on held-out prompts, and ``rl/model``, a folder that transformers loads.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from textgym import EnvFactory
from textgym.agents.lm.agent import LMAgent
from textgym.agents.lm.rollout import Rollout, collect
from textgym.agents.lm.training import log_probs_of
from textgym.agents.registry import make_agent
from textgym.benchmarks.stats import mean, paired_difference
from textgym.episodes import Prompt
from textgym.errors import ConfigurationError, PromptError, TextGymError
from textgym.huggingface import HuggingFaceTokenizer
from textgym.metrics import distinct
from textgym.prompts import load_prompts
from textgym.rewards import ClassifierReward
from textgym.scales import standard_error

ALGORITHMS = {"grpo": "grpo", "rloo": "rloo", "ppo": "lm_ppo"}
SHOWN = 8  # texts side by side in the report
UNSPENT = 10**9  # steps of agents that write nothing


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", required=True, help="folder or hub name of a causal language model with safetensors")
    add("--prompts", required=True, help="JSONL, CSV, Parquet or text; a column `split` may say train or test")
    add("--prompt-column", help="by default `prompt`, else `text`")
    add("--reward", required=True, help="folder or hub name of a reward model or classifier")
    add("--reward-label", help="of a classifier with several labels, the one that is wanted")
    add("--reward-text", default="{prompt}{completion}", help="what it reads; also completion, pair, chat")
    add("--algo", default="grpo", choices=ALGORITHMS)
    add("--sft", help="JSONL with `prompt` and `completion`, learned from first")
    add("--sft-steps", type=int, default=300)
    add("--out", type=Path, default=Path("runs/rlhf"))
    add("--max-new-tokens", type=int, default=24)
    add("--steps", type=int, help="tokens to write in training; by default 100 updates")
    add("--texts", type=int, default=64, help="texts between two updates")
    add("--group", type=int, default=8, help="texts to each prompt (grpo, rloo)")
    add("--micro-batch-size", type=int, default=8, help="texts in one pass of an update: lower it to save memory")
    add("--learning-rate", type=float, help="by default 1e-4 with adapters, else 1e-5")
    add("--kl-coefficient", type=float, default=0.05, help="what a nat of divergence from the start costs")
    add("--lora-rank", type=int, default=0, help="above 0, train low-rank adapters only")
    add("--dtype", default="float32", choices=("float32", "bfloat16"))
    add("--gradient-checkpointing", action="store_true")
    add("--device", default="auto")
    add("--held-out", type=float, default=0.1, help="share of the prompts, where no column `split` says which")
    add("--test-prompts", type=int, default=256, help="the most held-out prompts in the report")
    add("--seed", type=int, default=0)
    add("--resume", action="store_true", help="go on where a killed run in --out stopped")
    chosen = parser.parse_args(arguments)
    if chosen.learning_rate is None:
        chosen.learning_rate = 1e-4 if chosen.lora_rank else 1e-5
    if chosen.steps is None:
        chosen.steps = 100 * chosen.texts * chosen.max_new_tokens
    return chosen


def read_prompts(args: argparse.Namespace) -> list[Prompt]:
    """The prompts, each in its split: as the file says, else by a hash of the text, the same in every run."""
    if not 0.0 < args.held_out < 1.0:
        raise ConfigurationError(f"--held-out {args.held_out}: expected a share between 0 and 1")
    names = {} if args.prompt_column is None else {"prompt": args.prompt_column}
    prompts = list(load_prompts({"path": args.prompts, **names}))
    if all(prompt.split is None for prompt in prompts):
        prompts = [replace(prompt, split=side_of(prompt.text, args.held_out)) for prompt in prompts]
    for split in ("train", "test"):
        if all(prompt.split != split for prompt in prompts):
            advice = "add a column `split`, change --held-out, or bring more prompts"
            raise PromptError(f"{args.prompts}: none of {len(prompts)} prompts is in the split {split!r}; {advice}")
    return prompts


def side_of(text: str, held_out: float) -> str:
    """``"test"`` for that share of all texts."""
    return "test" if int(sha256(text.encode()).hexdigest()[:8], 16) < held_out * 2**32 else "train"


def make_reward(args: argparse.Namespace) -> ClassifierReward:
    """A one-logit head pays its logit, a classifier the log-odds of the label that is wanted."""
    output = None if args.reward_label is None else "log_odds"
    try:
        return ClassifierReward(
            args.reward, label=args.reward_label, output=output, text=args.reward_text, device=args.device
        )
    except ConfigurationError as error:
        raise ConfigurationError(f"--reward: {error} (on this command line, label is --reward-label)") from error


def make_envs(args: argparse.Namespace, prompts: Sequence[Prompt], model: str, reward: Any) -> EnvFactory:
    """One token of the model is one action; one text to one of the prompts is one episode."""
    tokenizer = HuggingFaceTokenizer(model)
    kwargs = {"prompts": list(prompts), "tokenizer": tokenizer, "reward": reward, "max_new_tokens": args.max_new_tokens}
    return EnvFactory("TextGen-v0", kwargs)


def model_options(args: argparse.Namespace, model: str) -> dict[str, Any]:
    """Adapters train well on bfloat16 weights; whole models keep float32 weights and compute in bfloat16."""
    narrow = args.dtype == "bfloat16"
    return {
        "model": model, "device": args.device, "dtype": "bfloat16" if narrow and args.lora_rank else "float32",
        "autocast": narrow and not args.lora_rank, "lora_rank": args.lora_rank,
        "gradient_checkpointing": args.gradient_checkpointing,
    }  # fmt: skip


def fine_tune(args: argparse.Namespace, prompts: Sequence[Prompt], reward: Any) -> str:
    """Learns from the texts whose prompts are not held out; returns the folder of the model."""
    folder = args.out / "sft"
    if args.resume and (folder / "agent.json").is_file():
        return str(folder / "model")
    held_out = {prompt.text for prompt in prompts if prompt.split == "test"}
    texts = list(load_prompts({"path": args.sft, "prompt": "prompt"}))
    if any(not isinstance(text.metadata.get("completion"), str) for text in texts):
        raise PromptError(f"{args.sft}: expected a column `completion` with the text that follows each prompt")
    kept = [text for text in texts if text.text not in held_out]
    folder.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps({"prompt": text.text, "completion": text.metadata["completion"]}) for text in kept)
    (folder / "texts.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    agent = make_agent(
        "sft", seed=args.seed, texts=str(folder / "texts.jsonl"), steps=args.sft_steps, write_on=False,
        batch_size=2 * args.micro_batch_size, learning_rate=2.0 * args.learning_rate, **model_options(args, args.model),
    )  # fmt: skip
    agent.learn(make_envs(args, [Prompt(text.text) for text in kept], args.model, reward), UNSPENT)
    agent.save(folder)
    return str(folder / "model")


def reinforce(args: argparse.Namespace, envs: EnvFactory, start: str) -> LMAgent:
    """Raises the reward from where the model begins, which stays as the reference."""
    group = {"group": args.group} if args.algo != "ppo" else {}
    agent: Any = make_agent(
        ALGORITHMS[args.algo], seed=args.seed, texts=args.texts, lanes=args.texts, sft_steps=0,
        learning_rate=args.learning_rate, micro_batch_size=args.micro_batch_size,
        kl_coefficient=args.kl_coefficient, **group, **model_options(args, start),
    )  # fmt: skip
    agent.keep_in(args.out / "rl", resume=args.resume)
    agent.learn(envs, args.steps)
    agent.save(args.out / "rl")
    return agent


def load_frozen(args: argparse.Namespace, envs: EnvFactory, model: str) -> LMAgent:
    """The model as it is."""
    options = {**model_options(args, model), "lora_rank": 0, "gradient_checkpointing": False}
    agent: Any = make_agent("frozen_lm", seed=args.seed, write_on=False, **options)
    agent.learn(envs, UNSPENT)
    return agent


def write(args: argparse.Namespace, agent: LMAgent, envs: EnvFactory, rows: Sequence[int]) -> Rollout:
    """One sampled text to each held-out prompt; the same random numbers for every agent."""
    lanes: Any = envs.vector(min(args.texts, len(rows)), autoreset_mode="Disabled", observation="tokens", split="test")
    lanes.reset(seed=args.seed)
    rollout = collect(agent.ready_policy, lanes, np.array(rows), generator=torch.Generator().manual_seed(args.seed))
    lanes.close()
    return rollout


def measure(args: argparse.Namespace, rollout: Rollout, start: LMAgent) -> dict[str, float]:
    """What the report says of a model's texts."""
    referred = log_probs_of(start.ready_policy, rollout.tokens, rollout.wrote, args.micro_batch_size)
    gaps = (rollout.log_probs - referred).sum(axis=1, dtype=np.float64)
    return {
        "reward": float(rollout.returns.mean()),
        "reward_standard_error": standard_error(rollout.returns),
        "kl": float(gaps.mean()),
        "kl_standard_error": standard_error(gaps),
        "tokens": float(rollout.wrote.sum(axis=1).mean()),
        "ended": float(np.mean([reason == "eos" for reason in rollout.episodes.stop_reasons])),
        "distinct_2": distinct(rollout.episodes, 2),
    }


def side_by_side(rollouts: dict[str, Rollout]) -> list[dict[str, Any]]:
    """The first texts of every model, prompt by prompt."""
    texts: list[dict[str, Any]] = []
    for name, found in rollouts.items():
        for row in range(min(SHOWN, len(found))):
            texts += [{"prompt": found.episodes.prompt_texts[row]}] if len(texts) <= row else []
            texts[row][name] = {"text": found.episodes.completions[row], "reward": float(found.returns[row])}
    return texts


def speed(agent: LMAgent, seconds: float) -> dict[str, float]:
    """Updates, and tokens a second: while writing, and with all that learning takes."""
    rows = agent.log.rows
    writing = float(np.mean([row["rollout_tokens_per_second"] for row in rows]))
    speeds = {"tokens_per_second_writing": writing, "tokens_per_second_in_all": rows[-1]["steps"] / seconds}
    return {"seconds": seconds, "updates": len(rows), **speeds}


def peak_memory(device: torch.device) -> dict[str, float]:
    """The most memory used so far, in GiB: of the accelerator, else of this process where the system says so."""
    if device.type == "cuda":
        return {"peak_memory_gib": torch.cuda.max_memory_allocated(device) / 2**30}
    if sys.platform == "win32":
        return {}
    import resource

    unit = 1 if sys.platform == "darwin" else 2**10
    return {"peak_memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30}


def to_markdown(report: dict[str, Any]) -> str:
    """The report for people."""
    gain, models = report["gain"], report["models"]
    names, interval = list(models), f"{gain['estimate']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"
    found = f"{report['prompts']} held-out prompts, one sampled text each: reward {interval} through RL"
    lines = [f"# {report['model']}, {report['algo']}", "", f"On {found} (paired bootstrap, 95 %).", ""]
    lines += _table(["", *names], [
        ["reward", *(_with_error(models[name], "reward") for name in names)],
        ["KL from the start, nats a text", *(_with_error(models[name], "kl") for name in names)],
        ["tokens a text", *(f"{models[name]['tokens']:.1f}" for name in names)],
        ["ended by itself", *(f"{models[name]['ended']:.0%}" for name in names)],
        ["distinct pairs of tokens", *(f"{models[name]['distinct_2']:.2f}" for name in names)],
    ])  # fmt: skip
    lines += ["", "If the reward rises while distinct pairs fall towards 0, read the texts before you believe it.", ""]
    texts = report["texts"]
    rows = [
        [text["prompt"], *(f"{text[name]['text']} ({text[name]['reward']:.2f})" for name in names)] for text in texts
    ]
    lines += _table(["prompt", *names], rows)
    lines += ["", *(f"- {name.replace('_', ' ')}: {value:,.4g}" for name, value in report["costs"].items())]
    return "\n".join(lines) + "\n"


def _with_error(numbers: dict[str, float], name: str) -> str:
    return f"{numbers[name]:.3f} ± {numbers[f'{name}_standard_error']:.3f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *cells)]


def run(args: argparse.Namespace) -> dict[str, Any]:
    """All of it; returns the report."""
    reward, prompts = make_reward(args), read_prompts(args)
    rows = [row for row, prompt in enumerate(prompts) if prompt.split == "test"][: args.test_prompts]
    start = fine_tune(args, prompts, reward) if args.sft else args.model
    envs, begin = make_envs(args, prompts, start, reward), perf_counter()
    trained = reinforce(args, envs, start)
    seconds = perf_counter() - begin
    first = load_frozen(args, envs, start)
    agents = {"before": first}
    if args.sft:
        agents = {"before": load_frozen(args, envs, args.model), "after SFT": first}
    agents["after RL"] = trained
    rollouts = {name: write(args, agent, envs, rows) for name, agent in agents.items()}
    ours, theirs = ([list(rollouts[name].returns)] for name in list(agents)[:-3:-1])
    gain = paired_difference(ours, theirs, np.random.default_rng(0), statistic=mean, replicates=10_000)
    costs = speed(trained, seconds) | peak_memory(trained.ready_policy.device)
    return {
        "model": args.model, "algo": args.algo, "reward": args.reward, "prompts": len(rows),
        "training_prompts": sum(prompt.split == "train" for prompt in prompts),
        "gain": {"estimate": gain.estimate, "low": gain.low, "high": gain.high},
        "models": {name: measure(args, rollout, first) for name, rollout in rollouts.items()},
        "texts": side_by_side(rollouts), "costs": costs,
    }  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs it and writes the report; what is wrong with the input is said in one line."""
    args = parse(arguments)
    try:
        report = run(args)
    except TextGymError as error:
        sys.exit(f"error: {error}")
    text = to_markdown(report)
    (args.out / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (args.out / "report.md").write_text(text, encoding="utf-8")
    print(text)
    print(f"model: {args.out / 'rl' / 'model'}")


if __name__ == "__main__":
    main()
