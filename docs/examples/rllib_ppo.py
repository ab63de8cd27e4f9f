"""PPO (or DQN) with RLlib: masked modules, the native vector environment, a checkpoint.

python docs/examples/rllib_ppo.py
python docs/examples/rllib_ppo.py --algorithm dqn --num-env-runners 2

Needs: pip install 'textgym[rllib]'.
"""

from __future__ import annotations

import argparse

import torch

import textgym
from textgym.benchmarks.ray_connection import connected
from textgym.evaluation import evaluate
from textgym.integrations.rllib import dqn_config, player, ppo_config


def train(config, total_steps: int):
    """Learns and returns the algorithm with the number of illegal tokens that it has written, which is 0."""
    algorithm = config.build_algo()
    steps, illegal = 0, 0
    while steps < total_steps:
        result = algorithm.train()["env_runners"]
        steps, illegal = result["num_env_steps_sampled_lifetime"], result["illegal_texts"]
    return algorithm, int(illegal)


def main() -> None:
    """Trains and prints what the greedy policy earns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algorithm", choices=["ppo", "dqn"], default="ppo")
    parser.add_argument("--env-id", default="TextGen-v0")
    parser.add_argument("--total-steps", type=int, help="tokens; by default 150,000 for PPO and 100,000 for DQN")
    parser.add_argument("--num-env-runners", type=int, default=0, help="processes that write texts; 0: this one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", help="a folder for a checkpoint")
    args = parser.parse_args()
    torch.set_num_threads(1)
    make, steps = (ppo_config, 150_000) if args.algorithm == "ppo" else (dqn_config, 100_000)
    steps = args.total_steps or steps
    config = make(args.env_id, total_steps=steps, num_env_runners=args.num_env_runners).debugging(seed=args.seed)
    with connected(cores=max(1, args.num_env_runners)):  # Ray, quiet; or the cluster that this process has joined
        algorithm, illegal = train(config, steps)
        found = evaluate(player(algorithm), textgym.EnvFactory(args.env_id), episodes=500)
        if args.save:
            algorithm.save_to_path(args.save)
        algorithm.stop()
    score = "unknown" if found.normalized is None else f"{found.normalized:.3f}"
    print(f"mean return {found.returns.mean():.3f}, normalised {score}, illegal tokens in training: {illegal}")


if __name__ == "__main__":
    main()
