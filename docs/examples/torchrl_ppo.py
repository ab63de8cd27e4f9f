"""PPO with torchrl's own parts: collector, advantages, loss, masked categorical policy.

python docs/examples/torchrl_ppo.py  (needs: pip install 'textgym[torchrl]')
"""

from __future__ import annotations

import argparse

import torch
from tensordict import TensorDict
from torch import nn
from torchrl.collectors import Collector
from torchrl.envs import ExplorationType, set_exploration_type
from torchrl.modules import ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

import textgym
from textgym.evaluation import evaluate
from textgym.integrations.torchrl import inputs_of, make_actor, make_env, one_hot

LANES, STEPS, EPOCHS, MINIBATCHES, ENTROPY = 256, 8, 4, 4, 0.3


def train(env_id: str, total_steps: int, seed: int):
    """Learns and returns the policy with the number of illegal tokens that it has written, which is 0."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    env = make_env(env_id, num_envs=LANES)
    env.set_seed(seed)
    actor = make_actor(one_hot(network(inputs_of(env), int(env.action_spec.space.n)), env), env)
    critic = ValueOperator(one_hot(network(inputs_of(env), 1), env), in_keys=["tokens"])
    advantage = GAE(gamma=1.0, lmbda=0.95, value_network=critic)
    loss = ClipPPOLoss(
        actor, critic, clip_epsilon=0.2, entropy_coeff=ENTROPY, critic_coeff=0.5, normalize_advantage=True
    )
    optimizer = torch.optim.Adam(loss.parameters(), lr=1e-3)
    updates, illegal = max(1, total_steps // (LANES * STEPS)), 0
    collector = Collector(
        env,
        actor,
        frames_per_batch=LANES * STEPS,
        total_frames=updates * LANES * STEPS,
        auto_register_policy_transforms=False,
    )
    for update, batch in enumerate(collector):
        illegal += int((~batch["action_mask"].gather(-1, batch["action"][..., None])).sum())
        loss.entropy_coeff.fill_(ENTROPY * (1.0 - update / updates))
        with torch.no_grad():
            advantage(batch)
        flat = batch.reshape(-1)
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(flat)).chunk(MINIBATCHES):
                found = loss(flat[rows])
                optimizer.zero_grad()
                (found["loss_objective"] + found["loss_critic"] + found["loss_entropy"]).backward()
                nn.utils.clip_grad_norm_(loss.parameters(), 0.5)
                optimizer.step()
    collector.shutdown()
    return actor, illegal


def network(inputs: int, outputs: int) -> nn.Module:
    """Two hidden layers."""
    return nn.Sequential(nn.Linear(inputs, 128), nn.Tanh(), nn.Linear(128, 128), nn.Tanh(), nn.Linear(128, outputs))


def player(actor):
    """The policy as textgym's evaluation calls it."""

    def act(observations, action_masks, *, deterministic=True, episode_starts=None):
        seen = {"tokens": torch.as_tensor(observations), "action_mask": torch.as_tensor(action_masks)}
        kind = ExplorationType.DETERMINISTIC if deterministic else ExplorationType.RANDOM
        with torch.no_grad(), set_exploration_type(kind):
            return actor(TensorDict(seen, batch_size=[len(observations)]))["action"].numpy()

    return act


def main() -> None:
    """Trains and prints what the greedy policy earns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env-id", default="TextGen-v0")
    parser.add_argument("--total-steps", type=int, default=300_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    actor, illegal = train(args.env_id, args.total_steps, args.seed)
    found = evaluate(player(actor), textgym.EnvFactory(args.env_id), episodes=500)
    score = "unknown" if found.normalized is None else f"{found.normalized:.3f}"
    print(f"mean return {found.returns.mean():.3f}, normalised {score}, illegal tokens in training: {illegal}")


if __name__ == "__main__":
    main()
