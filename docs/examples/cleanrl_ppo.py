"""PPO in one file: all that happens stands here, from the first step to the last update.

The manner is CleanRL's; what Gymnasium 1.x asks for is marked with (1) to (3).

    python docs/examples/cleanrl_ppo.py --env-id TextGen/Sort-v0 --seed 1

Needs torch.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.distributions import Categorical

import textgym
from textgym.evaluation import evaluate


@dataclass
class Args:
    """Every option is one of the command line, too: --total-steps 100000."""

    env_id: str = "TextGen-v0"
    seed: int = 0
    total_steps: int = 300_000  # tokens
    num_envs: int = 256  # texts written at the same time
    num_steps: int = 8  # tokens of each between two updates
    learning_rate: float = 1e-3
    gamma: float = 1.0
    gae_lambda: float = 0.95
    num_minibatches: int = 4
    update_epochs: int = 4
    clip_coef: float = 0.2
    ent_coef: float = 0.3  # falls to 0
    vf_coef: float = 0.5
    max_grad_norm: float = 0.5


class Agent(nn.Module):
    """A policy and a critic that see one-hot tokens."""

    def __init__(self, inputs: int, actions: int) -> None:
        super().__init__()
        self.critic = nn.Sequential(layer(inputs, 128), nn.Tanh(), layer(128, 128), nn.Tanh(), layer(128, 1, 1.0))
        self.actor = nn.Sequential(layer(inputs, 128), nn.Tanh(), layer(128, 128), nn.Tanh(), layer(128, actions, 0.01))

    def policy(self, observations: torch.Tensor, masks: torch.Tensor) -> Categorical:
        """The distribution over legal tokens."""
        logits = self.actor(observations)
        return Categorical(logits=logits.masked_fill(~masks, torch.finfo(logits.dtype).min))

    def act(self, observations, action_masks=None, *, deterministic=True, episode_starts=None):
        """What textgym's evaluation asks of an agent."""
        with torch.no_grad():
            policy = self.policy(torch.as_tensor(observations), torch.as_tensor(action_masks, dtype=torch.bool))
        return (policy.probs.argmax(dim=1) if deterministic else policy.sample()).numpy()


def layer(inputs: int, outputs: int, std: float = 2**0.5) -> nn.Linear:
    """A linear layer with orthogonal weights."""
    linear = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(linear.weight, std)
    nn.init.zeros_(linear.bias)
    return linear


def train(args: Args) -> tuple[Agent, int]:
    """Learns, and returns the agent with the number of illegal tokens that it has written, which is 0."""
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    # (1) SameStep: the step that ends a text returns the first observation of the next one. In the other modes of
    #     Gymnasium 1.x there is a step between two texts whose action is ignored, which must not be learnt from.
    envs = gym.make_vec(args.env_id, num_envs=args.num_envs, observation="one_hot", autoreset_mode="SameStep")
    agent = Agent(envs.single_observation_space.shape[0], int(envs.single_action_space.n))
    optimizer = torch.optim.Adam(agent.parameters(), lr=args.learning_rate, eps=1e-5)
    shape = (args.num_steps, args.num_envs)
    observations = torch.zeros((*shape, *envs.single_observation_space.shape))
    masks = torch.zeros((*shape, int(envs.single_action_space.n)), dtype=torch.bool)
    actions = torch.zeros(shape, dtype=torch.long)
    log_probs, rewards, dones, values = (torch.zeros(shape) for _ in range(4))
    observation, info = envs.reset(seed=args.seed)
    updates, illegal = max(1, args.total_steps // (args.num_steps * args.num_envs)), 0
    for update in range(updates):
        ent_coef = args.ent_coef * (1.0 - update / updates)
        for step in range(args.num_steps):
            observations[step] = torch.as_tensor(observation)
            masks[step] = torch.as_tensor(info["action_mask"], dtype=torch.bool)  # (2) of this observation
            with torch.no_grad():
                policy = agent.policy(observations[step], masks[step])
                actions[step] = policy.sample()
                log_probs[step] = policy.log_prob(actions[step])
                values[step] = agent.critic(observations[step])[:, 0]
            observation, reward, terminated, truncated, info = envs.step(actions[step].numpy())
            rewards[step] = torch.as_tensor(reward, dtype=torch.float32)
            dones[step] = torch.as_tensor(terminated | truncated, dtype=torch.float32)
            if "final_info" in info:  # (3) a dict of arrays, those of lanes that have not ended being empty
                illegal += int((info["final_info"]["stop_reason"] == "illegal").sum())
        with torch.no_grad():  # texts end by terminating, so nothing follows an end that a value could stand for
            following = agent.critic(torch.as_tensor(observation))[:, 0]
        advantages = torch.zeros(shape)
        advantage = torch.zeros(args.num_envs)
        for step in reversed(range(args.num_steps)):
            going = 1.0 - dones[step]
            delta = rewards[step] + args.gamma * following * going - values[step]
            advantage = delta + args.gamma * args.gae_lambda * going * advantage
            advantages[step], following = advantage, values[step]
        flat = [
            part.flatten(0, 1) for part in (observations, masks, actions, log_probs, advantages, advantages + values)
        ]
        for _ in range(args.update_epochs):
            for rows in np.array_split(rng.permutation(args.num_steps * args.num_envs), args.num_minibatches):
                seen, legal, chosen, before, gain, target = (part[rows] for part in flat)
                policy = agent.policy(seen, legal)
                ratio = (policy.log_prob(chosen) - before).exp()
                gain = (gain - gain.mean()) / (gain.std() + 1e-8)
                clipped = ratio.clamp(1.0 - args.clip_coef, 1.0 + args.clip_coef)
                policy_loss = -torch.min(ratio * gain, clipped * gain).mean()
                value_loss = (agent.critic(seen)[:, 0] - target).square().mean() / 2
                entropy = -(policy.probs * policy.logits.clamp(min=-1e9)).sum(dim=1).mean()
                loss = policy_loss + args.vf_coef * value_loss - ent_coef * entropy
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), args.max_grad_norm)
                optimizer.step()
    envs.close()
    return agent, illegal


def read_args(words: list[str] | None = None) -> Args:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in fields(Args):
        kind = {"str": str, "int": int, "float": float}[option.type]
        parser.add_argument(f"--{option.name.replace('_', '-')}", type=kind, default=option.default)
    return Args(**vars(parser.parse_args(words)))


def main(args: Args) -> None:
    """Trains and prints what the greedy policy earns."""
    agent, illegal = train(args)
    found = evaluate(agent, textgym.EnvFactory(args.env_id, {"observation": "one_hot"}), episodes=500)
    score = "unknown" if found.normalized is None else f"{found.normalized:.3f}"
    print(f"mean return {found.returns.mean():.3f}, normalised {score}, illegal tokens in training: {illegal}")


if __name__ == "__main__":
    main(read_args())
