"""Tabular Q-learning (Watkins 1989) on text: the state is the text so far, an action the next token.

Run it: ``python agents/q_learning.py`` learns the level "tiny" in two seconds and prints what it knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

import textgym
from textgym.agents.base import count_rollouts, make_config, read_card, sample_uniform, tokens_of, write_card
from textgym.errors import ConfigurationError
from textgym.keys import spawn_seed


@dataclass(frozen=True)
class QLearningConfig:
    """How to learn a table."""

    learning_rate: float = 1.0  # alpha: how far a value moves towards its target; lower it for noisy rewards
    discount: float = 1.0  # gamma: texts are short and paid at the end, so later is not worth less
    epsilon_start: float = 1.0  # share of random tokens at first ...
    epsilon_end: float = 0.05  # ... and from then on
    exploration: float = 0.8  # share of the training in which epsilon falls
    initial_value: float = 0.0  # Q of what was never tried; high means optimistic
    lanes: int = 32  # texts written at the same time

    def __post_init__(self) -> None:
        for name in ("learning_rate", "discount", "epsilon_start", "epsilon_end", "exploration"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
                raise ConfigurationError(f"{name}={getattr(self, name)!r}: expected a number from 0 to 1")
        if self.lanes < 1:
            raise ConfigurationError(f"lanes={self.lanes!r}: expected at least 1")


class QLearning:
    """A table of Q values, one row for each prefix that was ever seen."""

    def __init__(self, seed: int = 0, **config: Any) -> None:
        self.seed = seed
        self.config = make_config(QLearningConfig, config)
        self.rng = np.random.default_rng(seed)  # for exploring
        self.act_rng = np.random.default_rng(seed)  # for act, so that an evaluation does not disturb the learning
        self.rows: dict[bytes, int] = {}  # token ids of prompt and prefix -> row of the table
        self.q = np.zeros((0, 0))  # Q values, (rows, V)
        self.visits = np.zeros((0, 0), dtype=np.int64)  # how often each was updated, (rows, V)

    def learn(self, envs: textgym.EnvFactory, total_steps: int) -> None:
        """Q-learning with epsilon-greedy exploration."""
        c = self.config
        env = envs.vector(c.lanes, autoreset_mode="SameStep")
        observations, _ = env.reset(seed=spawn_seed(self.seed, "q_learning"))
        masks = env.unwrapped.action_masks()
        states = self._states(observations, masks.shape[1])
        for update in range(count_rollouts(total_steps, c.lanes)):
            progress = min(1.0, update * c.lanes / (c.exploration * total_steps + 1))
            epsilon = c.epsilon_start + progress * (c.epsilon_end - c.epsilon_start)
            actions = self._greedy(states, masks)
            explore = self.rng.random(c.lanes) < epsilon
            actions[explore] = sample_uniform(masks, self.rng)[explore]

            observations, rewards, terminated, _, _ = env.step(actions)
            masks = env.unwrapped.action_masks()
            next_states = self._states(observations, masks.shape[1])

            # The textbook update: Q(s, a) <- Q(s, a) + alpha * (r + gamma * max Q(s', .) - Q(s, a)).
            # (After the end, s' is the next text's first state: nothing follows there, hence ~terminated. Of lanes
            # in the same state with the same action the last one counts: they agree unless the reward is noisy.)
            best_next = np.where(masks, self.q[next_states], -np.inf).max(axis=1)
            target = rewards + c.discount * best_next * ~terminated
            self.q[states, actions] += c.learning_rate * (target - self.q[states, actions])
            np.add.at(self.visits, (states, actions), 1)  # not +=, which counts once however many lanes agree
            states = next_states

    def act(
        self,
        observations: Any,
        action_masks: NDArray[np.bool_] | None = None,
        *,
        deterministic: bool = True,
        episode_starts: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.int64]:
        """The best known token; a random one where the prefix is new, and sometimes if not deterministic."""
        tokens = tokens_of(observations)
        self._check(tokens, action_masks)
        states = np.array([self.rows.get(row.tobytes(), -1) for row in tokens])
        masks = np.ones((len(tokens), self.q.shape[1]), dtype=bool) if action_masks is None else action_masks
        actions = sample_uniform(masks, self.act_rng)
        chosen = states >= 0
        if not deterministic:
            chosen &= self.act_rng.random(len(tokens)) >= self.config.epsilon_end
        actions[chosen] = self._greedy(states[chosen], masks[chosen])
        return actions

    def _check(self, tokens: NDArray[np.int32], masks: NDArray[np.bool_] | None) -> None:
        if not self.rows:
            raise ConfigurationError("this QLearning has not learned anything yet; call learn() or load()")
        known = len(next(iter(self.rows))) // 4, self.q.shape[1]
        seen = tokens.shape[1], known[1] if masks is None else masks.shape[1]
        if known != seen:
            raise ConfigurationError(
                f"this agent learned with {known[0]} positions and {known[1]} ids, the environment has {seen[0]} "
                f"and {seen[1]}"
            )

    def seed_sampling(self, seed: int) -> None:
        """Starts the random numbers of :meth:`act` anew."""
        self.act_rng = np.random.default_rng(seed)

    def _greedy(self, states: NDArray[np.int64], masks: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.where(masks, self.q[states], -np.inf).argmax(axis=1)

    def _states(self, observations: Any, vocab_size: int) -> NDArray[np.int64]:
        """The table's row for each observation; a prefix seen for the first time gets a new one."""
        rows = self.rows
        states = np.array([rows.setdefault(tokens.tobytes(), len(rows)) for tokens in tokens_of(observations)])
        if len(rows) > len(self.q):
            more = max(1024, len(rows))
            fresh = np.full((more, vocab_size), self.config.initial_value)
            self.q = np.concatenate([self.q.reshape(-1, vocab_size), fresh])
            self.visits = np.concatenate([self.visits.reshape(-1, vocab_size), np.zeros_like(fresh, dtype=np.int64)])
        return states

    def save(self, path: Path) -> None:
        """Writes the card and the table (``table.npz``)."""
        known = len(self.rows)
        keys = np.frombuffer(b"".join(self.rows), dtype=np.int32).reshape(known, -1)
        write_card(path, self)
        np.savez_compressed(Path(path) / "table.npz", keys=keys, q=self.q[:known], visits=self.visits[:known])

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what :meth:`save` wrote."""
        card = read_card(path)
        agent = cls(seed=card["seed"], **card["config"])
        with np.load(Path(path) / "table.npz", allow_pickle=False) as table:
            agent.rows = {key.tobytes(): row for row, key in enumerate(table["keys"])}
            agent.q, agent.visits = table["q"], table["visits"]
        return agent


def main() -> None:
    """Learns the smallest level and prints the prefixes that were visited most."""
    envs = textgym.EnvFactory("TextGen-v0", {"level": "tiny"})
    agent = QLearning(seed=0)
    agent.learn(envs, total_steps=50_000)
    task = envs.task()
    print(f"{'text so far':<28} {'visits':>7} {'Q':>7}  best next token")
    masks = envs.vector(1).unwrapped.action_masks()
    visits = agent.visits.sum(axis=1)
    for row in np.argsort(-visits)[:12]:
        tokens = np.frombuffer(list(agent.rows)[row], dtype=np.int32)
        best = agent._greedy(np.array([row]), masks)[0]
        text = " ".join(task.tokenizer.tokens[token] for token in tokens if token < agent.q.shape[1])
        print(f"{text:<28} {visits[row]:>7} {agent.q[row, best]:>7.3f}  {task.tokenizer.tokens[best]}")
    print(f"greedy normalised reward: {textgym.evaluate(agent, envs, episodes=20).normalized:.3f} (1 is the optimum)")


if __name__ == "__main__":
    main()
