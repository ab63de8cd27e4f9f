"""Double DQN in one file: all that happens stands here, from the first step to the last update.

The manner is CleanRL's; what Gymnasium 1.x and texts ask for is marked with (1) to (4).

    python docs/examples/cleanrl_dqn.py --env-id TextGen/Sort-v0 --seed 1

Needs torch.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields

import gymnasium as gym
import numpy as np
import torch
from torch import nn

import textgym
from textgym.evaluation import evaluate


@dataclass
class Args:
    """Every option is one of the command line, too: --total-steps 100000."""

    env_id: str = "TextGen-v0"
    seed: int = 0
    total_steps: int = 150_000  # tokens
    num_envs: int = 16  # texts written at the same time
    buffer_size: int = 100_000  # tokens that are remembered
    learning_starts: int = 2_000  # tokens that are written at random first
    batch_size: int = 128
    train_frequency: int = 2  # steps of all texts after which as many updates follow
    target_frequency: int = 1_000  # tokens between two copies to the target network
    learning_rate: float = 1e-3
    gamma: float = 1.0
    exploration_fraction: float = 0.5  # of the tokens, in which epsilon falls from 1 ...
    end_epsilon: float = 0.05  # ... to this


class Agent(nn.Module):
    """A value for each token, from one-hot tokens."""

    def __init__(self, inputs: int, actions: int) -> None:
        super().__init__()
        sizes = ((inputs, 128), (128, 128), (128, actions))
        first, second, last = (nn.Linear(*size) for size in sizes)
        self.network = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), last)

    def best(self, observations: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """The best legal token of each row."""
        return self.network(observations).masked_fill(~masks, -torch.inf).argmax(dim=1)

    def act(self, observations, action_masks=None, *, deterministic=True, episode_starts=None):
        """What textgym's evaluation asks of an agent; always greedy."""
        with torch.no_grad():
            return self.best(torch.as_tensor(observations), torch.as_tensor(action_masks, dtype=torch.bool)).numpy()


class Buffer:
    """The latest transitions."""

    def __init__(self, size: int, inputs: int, actions: int) -> None:
        self.size, self.place, self.count = size, 0, 0
        self.observations = np.zeros((size, inputs), dtype=np.uint8)  # zeros and ones
        self.next_observations = np.zeros((size, inputs), dtype=np.uint8)
        self.next_masks = np.zeros((size, actions), dtype=bool)
        self.actions = np.zeros(size, dtype=np.int64)
        self.rewards, self.dones = (np.zeros(size, dtype=np.float32) for _ in range(2))

    def add(self, *parts: np.ndarray) -> None:
        """Takes a transition of each lane, over the oldest ones."""
        rows = (self.place + np.arange(len(parts[0]))) % self.size
        for array, part in zip(self.arrays, parts, strict=True):
            array[rows] = part
        self.place = int(rows[-1] + 1) % self.size
        self.count = min(self.size, self.count + len(rows))

    def sample(self, count: int, rng: np.random.Generator) -> list[torch.Tensor]:
        """So many transitions, drawn evenly."""
        rows = rng.integers(self.count, size=count)
        return [torch.as_tensor(array[rows]) for array in self.arrays]

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """All columns, in the order of :meth:`add`."""
        return self.observations, self.actions, self.rewards, self.next_observations, self.next_masks, self.dones


def train(args: Args) -> tuple[Agent, int]:
    """Learns, and returns the agent with the number of illegal tokens that it has written, which is 0."""
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    # (1) SameStep: the step that ends a text returns the first observation of the next one. In the other modes of
    #     Gymnasium 1.x there is a step between two texts whose action is ignored, which must not be learnt from.
    envs = gym.make_vec(args.env_id, num_envs=args.num_envs, observation="one_hot", autoreset_mode="SameStep")
    inputs, actions = envs.single_observation_space.shape[0], int(envs.single_action_space.n)
    agent, target = Agent(inputs, actions), Agent(inputs, actions)
    target.load_state_dict(agent.state_dict())
    optimizer = torch.optim.Adam(agent.parameters(), lr=args.learning_rate)
    buffer = Buffer(args.buffer_size, inputs, actions)
    observation, info = envs.reset(seed=args.seed)
    illegal = 0
    for step in range(max(1, args.total_steps // args.num_envs)):
        tokens = step * args.num_envs
        share = min(1.0, tokens / (args.exploration_fraction * args.total_steps))
        epsilon = 1.0 - share * (1.0 - args.end_epsilon)
        mask = info["action_mask"].astype(bool)
        chance = np.where(mask, rng.random(mask.shape), -1.0)
        explore = (rng.random(args.num_envs) < epsilon) | (tokens < args.learning_starts)
        action = np.where(explore, chance.argmax(axis=1), agent.act(observation, mask))  # (2) chance is legal, too
        following, reward, terminated, truncated, info = envs.step(action)
        # (3) `following` belongs to the next text where one has ended. That is never looked at: texts end by
        #     terminating, and `done` takes the value of what follows off. Nothing is truncated.
        done = terminated | truncated
        buffer.add(observation, action, reward, following, info["action_mask"].astype(bool), done)
        observation = following
        if "final_info" in info:
            illegal += int((info["final_info"]["stop_reason"] == "illegal").sum())
        if tokens >= args.learning_starts and step % args.train_frequency == 0:
            for _ in range(args.train_frequency):
                update(agent, target, optimizer, buffer.sample(args.batch_size, rng), args.gamma)
        if tokens % args.target_frequency < args.num_envs:
            target.load_state_dict(agent.state_dict())
    envs.close()
    return agent, illegal


def update(
    agent: Agent, target: Agent, optimizer: torch.optim.Optimizer, batch: list[torch.Tensor], gamma: float
) -> None:
    """One step towards the rewards and what the target network says of what follows."""
    seen, chosen, reward, following, legal, done = batch
    with torch.no_grad():
        best = agent.best(following.float(), legal)  # (4) the best legal token: illegal ones keep untrained values
        later = target.network(following.float()).gather(1, best[:, None])[:, 0]
        wanted = reward + gamma * (1.0 - done) * later
    value = agent.network(seen.float()).gather(1, chosen[:, None])[:, 0]
    loss = nn.functional.smooth_l1_loss(value, wanted)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(agent.parameters(), 10.0)
    optimizer.step()


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
