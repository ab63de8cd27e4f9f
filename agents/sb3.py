"""DQN, PPO, A2C and MaskablePPO of stable-baselines3 behind textgym's agent protocol.

The networks see one-hot tokens and, MaskablePPO apart, no masks: that some tokens are illegal is theirs to learn.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from textgym.agents.base import count_rollouts, make_config, read_card, sample_uniform, tokens_of, write_card
from textgym.agents.sb3_configs import A2CConfig, DQNConfig, PPOConfig
from textgym.errors import BudgetSpent, ConfigurationError, missing_dependency
from textgym.factory import EnvFactory
from textgym.keys import spawn_seed
from textgym.observations import one_hot
from textgym.wrappers.vector import OneHotTokens

try:
    import torch
    from gymnasium import spaces
    from safetensors.torch import load_file, save_file
    from sb3_contrib import MaskablePPO
    from stable_baselines3 import A2C, DQN, PPO
    from stable_baselines3.common.callbacks import BaseCallback

    from textgym.integrations.sb3 import NativeVecEnv
except ImportError as error:
    raise missing_dependency(error.name or "stable-baselines3", "sb3", "this agent") from error

WEIGHTS = "policy.safetensors"


class _SB3Agent(ABC):
    """Trains one SB3 algorithm on one-hot tokens and keeps its policy network."""

    algorithm: ClassVar[type[Any]]
    config_class: ClassVar[type[Any]]

    def __init__(self, seed: int = 0, **config: Any) -> None:
        if "hidden" in config:
            config["hidden"] = tuple(config["hidden"])
        self.seed = seed
        self.config = make_config(self.config_class, config)
        self.vocab_size = 0
        self._rng = np.random.default_rng(seed)  # for act; SB3 would sample from torch's global generator
        self.policy: Any = None

    def learn(self, envs: EnvFactory, total_steps: int) -> None:
        """Trains for ``total_steps`` tokens, rounded down to whole rollouts; goes on from earlier training."""
        if envs.kwargs.get("observation", "tokens") not in ("tokens", "dict"):
            raise ConfigurationError(f"observation={envs.kwargs['observation']!r}: this agent reads 'tokens' or 'dict'")
        vector = envs.vector(self.config.lanes, autoreset_mode="SameStep", observation="tokens")
        env = NativeVecEnv(OneHotTokens(vector))
        self.vocab_size = int(env.action_space.n)  # type: ignore[attr-defined]
        rollout = self.config.lanes * getattr(self.config, "n_steps", getattr(self.config, "train_freq", 1))
        steps = count_rollouts(total_steps, rollout) * rollout
        model = self.algorithm("MlpPolicy", env, seed=spawn_seed(self.seed, "sb3"), device="cpu", **self._options())
        if self.policy is not None:
            model.policy.load_state_dict(self.policy.state_dict())
        self.policy = model.policy
        try:
            model.learn(total_timesteps=steps, callback=self._callback())
        except BudgetSpent:
            pass  # a normal end: what was learned stays
        finally:
            self.policy.set_training_mode(False)

    def _callback(self) -> BaseCallback | None:
        return None

    def _options(self) -> dict[str, Any]:
        """The config in SB3's terms: all but ``lanes`` and ``hidden`` are keyword arguments of the algorithm."""
        options = asdict(self.config)
        del options["lanes"]
        options["policy_kwargs"] = {"net_arch": list(options.pop("hidden"))}
        return options

    def act(
        self,
        observations: Any,
        action_masks: NDArray[np.bool_] | None = None,
        *,
        deterministic: bool = True,
        episode_starts: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.int64]:
        """The network's best token; else a draw: PPO and A2C softmax, DQN epsilon-greedy."""
        if deterministic:
            best, _ = self._policy().predict(self._features(observations), deterministic=True)
            return np.asarray(best, dtype=np.int64)
        return self._sample(observations, action_masks)

    @abstractmethod
    def _sample(self, observations: Any, action_masks: NDArray[np.bool_] | None) -> NDArray[np.int64]:
        """Draws from the agent's own policy."""

    def seed_sampling(self, seed: int) -> None:
        """Starts the random numbers of :meth:`act` anew."""
        self._rng = np.random.default_rng(seed)

    def _policy(self) -> Any:
        if self.policy is None:
            raise ConfigurationError(f"this {type(self).__name__} has not learned anything yet; call learn() or load()")
        return self.policy

    def _features(self, observations: Any) -> NDArray[np.float32]:
        tokens = tokens_of(observations)
        width = self._policy().observation_space.shape[0] // (self.vocab_size + 1)
        if tokens.shape[1] != width or tokens.max() > self.vocab_size:
            seen = f"the environment has {tokens.shape[1]} and ids up to {tokens.max()}"
            raise ConfigurationError(f"this agent learned with {width} positions and {self.vocab_size} ids, {seen}")
        return one_hot(tokens, self.vocab_size)

    def save(self, path: Path) -> None:
        """Writes the card and the policy's weights as safetensors."""
        weights = {name: tensor.contiguous() for name, tensor in self._policy().state_dict().items()}
        features = int(self._policy().observation_space.shape[0])
        write_card(Path(path), self, features=features, vocab_size=self.vocab_size)
        save_file(weights, Path(path) / WEIGHTS)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what :meth:`save` wrote; no pickle is opened."""
        card = read_card(path)
        agent = cls(seed=card["seed"], **card["config"])
        agent.vocab_size = card["vocab_size"]
        policy_class = cls.algorithm.policy_aliases["MlpPolicy"]
        agent.policy = policy_class(
            spaces.Box(0.0, 1.0, (card["features"],), np.float32),
            spaces.Discrete(agent.vocab_size),
            lambda _: agent.config.learning_rate,
            **agent._options()["policy_kwargs"],
        )
        agent.policy.load_state_dict(load_file(Path(path) / WEIGHTS))
        agent.policy.set_training_mode(False)
        return agent


class _EntropySchedule(BaseCallback):
    """Lets the entropy bonus fall in a straight line over the training, which SB3 has no option for."""

    def __init__(self, start: float, end: float) -> None:
        super().__init__()
        self._start, self._end = start, end

    def _on_rollout_start(self) -> None:
        left: float = self.model._current_progress_remaining
        self.model.ent_coef = self._end + (self._start - self._end) * left  # type: ignore[attr-defined]

    def _on_step(self) -> bool:
        return True


class _OnPolicyAgent(_SB3Agent):
    """What the policy-gradient agents share."""

    def _callback(self) -> BaseCallback:
        return _EntropySchedule(self.config.ent_coef, self.config.ent_coef_end)

    def _options(self) -> dict[str, Any]:
        options = super()._options()
        del options["ent_coef_end"]
        return options

    def _sample(self, observations: Any, action_masks: NDArray[np.bool_] | None) -> NDArray[np.int64]:
        log_probs = self.log_probs(observations, action_masks)
        return (log_probs + self._rng.gumbel(size=log_probs.shape)).argmax(axis=1)  # the Gumbel-max trick

    def log_probs(self, observations: Any, action_masks: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """``(B, V)`` log-probabilities of the policy, which knows no masks."""
        with torch.no_grad():
            features, _ = self._policy().obs_to_tensor(self._features(observations))
            logits = self._policy().get_distribution(features).distribution.logits
        return np.asarray(logits.numpy(), dtype=np.float64)

    def values(self, observations: Any) -> NDArray[np.float64]:
        """``(B,)`` what the critic expects the policy to earn from here on."""
        with torch.no_grad():
            features, _ = self._policy().obs_to_tensor(self._features(observations))
            values = self._policy().predict_values(features)
        return np.asarray(values.numpy(), dtype=np.float64)[:, 0]


class DQNAgent(_SB3Agent):
    """Deep Q-network (Mnih et al. 2015)."""

    algorithm = DQN
    config_class = DQNConfig

    def q_values(self, observations: Any) -> NDArray[np.float64]:
        """``(B, V)`` what the network expects to earn after writing each id."""
        with torch.no_grad():
            features, _ = self._policy().obs_to_tensor(self._features(observations))
            values = self._policy().q_net(features)
        return np.asarray(values.numpy(), dtype=np.float64)

    def _sample(self, observations: Any, action_masks: NDArray[np.bool_] | None) -> NDArray[np.int64]:
        actions = self.act(observations)
        masks = np.ones((len(actions), self.vocab_size), dtype=bool) if action_masks is None else action_masks
        explore = self._rng.random(len(actions)) < self.config.exploration_final_eps
        actions[explore] = sample_uniform(masks, self._rng)[explore]
        return actions


class PPOAgent(_OnPolicyAgent):
    """Proximal policy optimisation (Schulman et al. 2017)."""

    algorithm = PPO
    config_class = PPOConfig


class A2CAgent(_OnPolicyAgent):
    """Advantage actor-critic (Mnih et al. 2016)."""

    algorithm = A2C
    config_class = A2CConfig


class MaskablePPOAgent(_OnPolicyAgent):
    """PPO whose policy gives illegal tokens no probability."""

    algorithm = MaskablePPO
    config_class = PPOConfig

    def act(
        self,
        observations: Any,
        action_masks: NDArray[np.bool_] | None = None,
        *,
        deterministic: bool = True,
        episode_starts: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.int64]:
        """The policy's choice among the legal tokens."""
        if not deterministic:
            return self._sample(observations, action_masks)
        actions, _ = self._policy().predict(self._features(observations), action_masks=action_masks, deterministic=True)
        return np.asarray(actions, dtype=np.int64)

    def log_probs(self, observations: Any, action_masks: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """``(B, V)`` log-probabilities of the masked policy."""
        with torch.no_grad():
            features, _ = self._policy().obs_to_tensor(self._features(observations))
            distribution = self._policy().get_distribution(features, action_masks)
        return np.asarray(distribution.distribution.logits.numpy(), dtype=np.float64)
