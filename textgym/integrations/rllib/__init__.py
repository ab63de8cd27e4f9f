"""RLlib (new API stack): PPO and DQN that write legal tokens alone, over the native vector environment.

Install with ``pip install 'textgym[rllib]'``. The modules read observations of kind "dict" (``tokens`` and
``action_mask``); :func:`ppo_config` and :func:`dqn_config` are ready to build, :func:`adapt` fits a config of one's
own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

import textgym.registration
from textgym.errors import ConfigurationError
from textgym.factory import EnvFactory, as_factory
from textgym.integrations._versions import require

require("ray", "rllib", "2.60", "2.61")
for _package, _below in (("dm_tree", "1"), ("lz4", "5"), ("ormsgpack", "2")):
    require(_package, "rllib", "0", _below)

import torch  # noqa: E402
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig  # noqa: E402
from ray.rllib.algorithms.dqn import DQNConfig  # noqa: E402
from ray.rllib.algorithms.ppo import PPOConfig  # noqa: E402
from ray.rllib.core.columns import Columns  # noqa: E402
from ray.rllib.core.rl_module.rl_module import RLModuleSpec  # noqa: E402

from textgym.integrations.rllib.environments import ENV_NAME, MASK, TOKENS, check_spaces, make_env, register  # noqa: E402
from textgym.integrations.rllib.modules import MaskedDQN, MaskedPPO  # noqa: E402
from textgym.integrations.rllib.replay import MinibatchDQNLearner, TextEpisodeReplayBuffer  # noqa: E402

__all__ = [
    "ENV_NAME",
    "MaskedDQN",
    "MaskedPPO",
    "MinibatchDQNLearner",
    "Player",
    "TextEpisodeReplayBuffer",
    "adapt",
    "count_illegal",
    "dqn_config",
    "make_env",
    "player",
    "ppo_config",
]


def adapt(
    config: AlgorithmConfig,
    env_id: str | EnvFactory = "TextGen-v0",
    *,
    num_envs: int = 64,
    num_env_runners: int = 0,
    hidden: Sequence[int] = (128, 128),
    **kwargs: Any,
) -> AlgorithmConfig:
    """Puts an environment and the module with masks into a config of RLlib, which is changed and returned.

    Callbacks for the end of an episode that the config has stay in it.

    Args:
        config: A PPOConfig or DQNConfig.
        env_id: A registered id, or a factory; one of another package as ``"package:Id-v0"``, so that workers find it.
        num_envs: Lanes of each env runner.
        num_env_runners: Processes that write texts; 0 writes them in this one.
        hidden: Widths of the networks' layers.
        **kwargs: Arguments of the environment, such as ``level="easy"``.

    Raises:
        ConfigurationError: for the old API stack, another algorithm, or an environment whose observations or actions
            are no tokens.
    """
    if not (config.enable_rl_module_and_learner and config.enable_env_runner_and_connector_v2):
        raise ConfigurationError(
            "this config is of RLlib's old API stack; call config.api_stack(enable_rl_module_and_learner=True, "
            "enable_env_runner_and_connector_v2=True)"
        )
    kind = MaskedPPO if isinstance(config, PPOConfig) else MaskedDQN if isinstance(config, DQNConfig) else None
    if kind is None:
        raise ConfigurationError(f"{type(config).__name__}: expected a PPOConfig or DQNConfig")
    factory = as_factory(env_id, **kwargs)
    arguments = {"env_id": factory.env_id, **_asked(factory.env_id, factory.kwargs)}
    envs = make_env({**arguments, "num_envs": 1})
    check_spaces(envs.single_observation_space, envs.single_action_space)
    envs.close()
    register()
    config.environment(ENV_NAME, env_config=arguments)
    config.env_runners(
        num_env_runners=num_env_runners,
        num_envs_per_env_runner=num_envs,
        gym_env_vectorize_mode=gym.VectorizeMode.VECTOR_ENTRY_POINT,
    )
    config.callbacks(on_episode_end=[*_callbacks(config), count_illegal])
    return config.rl_module(rl_module_spec=RLModuleSpec(module_class=kind, model_config={"hidden": tuple(hidden)}))


def count_illegal(*, episode: Any, metrics_logger: Any, **kwargs: Any) -> None:
    """Keeps ``illegal_texts`` among the results of the env runners: how many ended by an illegal token, ever."""
    reason = episode.get_infos(-1).get("stop_reason")
    metrics_logger.log_value("illegal_texts", int(reason == "illegal"), reduce="lifetime_sum")


def _callbacks(config: AlgorithmConfig) -> list[Any]:
    """What the config calls at the end of an episode, without what counts illegal texts."""
    given = config.callbacks_on_episode_end
    there = list(given) if isinstance(given, Sequence) else [] if given is None else [given]
    return [callback for callback in there if callback is not count_illegal]


def _asked(env_id: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with those that the modules ask of an environment of textgym."""
    if env_id.removeprefix("textgym:") not in textgym.registration.env_ids():
        return dict(kwargs)
    for name, wanted in (("observation", "dict"), ("include_mask", True)):
        if kwargs.get(name, wanted) != wanted:
            raise ConfigurationError(f"{name}: the modules for RLlib need {name}={wanted!r}; leave it out")
    return {**kwargs, "observation": "dict", "include_mask": True}


def ppo_config(env_id: str | EnvFactory = "TextGen-v0", *, total_steps: int = 150_000, **kwargs: Any) -> PPOConfig:
    """PPO with settings that learn short texts; change them as with any config, and call ``build_algo()``.

    Args:
        env_id: A registered id, or a factory.
        total_steps: Tokens over which the bonus for entropy falls to 0.
        **kwargs: See :func:`adapt`.
    """
    config = adapt(PPOConfig(), env_id, **kwargs)
    return config.training(
        lr=1e-3,
        gamma=1.0,
        lambda_=0.95,
        train_batch_size_per_learner=2_048,
        minibatch_size=512,
        num_epochs=4,
        clip_param=0.2,
        vf_loss_coeff=0.5,
        use_kl_loss=False,
        grad_clip=0.5,
        entropy_coeff=[[0, 0.3], [total_steps, 0.0]],
    )


def dqn_config(env_id: str | EnvFactory = "TextGen-v0", *, total_steps: int = 100_000, **kwargs: Any) -> DQNConfig:
    """Double DQN with settings that learn short texts; change them as with any config, and call ``build_algo()``.

    Args:
        env_id: A registered id, or a factory.
        total_steps: Tokens, over the first half of which chance falls from 1 to 0.05.
        **kwargs: See :func:`adapt`.
    """
    config = adapt(DQNConfig(), env_id, **{"num_envs": 32, **kwargs})
    config.env_runners(rollout_fragment_length=8).learners(learner_class=MinibatchDQNLearner)
    return config.training(
        lr=1e-3,
        gamma=1.0,
        train_batch_size_per_learner=2_048,
        minibatch_size=128,
        training_intensity=8.0,
        num_steps_sampled_before_learning_starts=2_000,
        target_network_update_freq=1_000,
        replay_buffer_config={
            "type": f"{TextEpisodeReplayBuffer.__module__}.{TextEpisodeReplayBuffer.__name__}",
            "capacity": 100_000,
        },
        epsilon=[[0, 1.0], [total_steps // 2, 0.05]],
        dueling=False,
        double_q=True,
        grad_clip=10.0,
    )


def player(trained: Any) -> Player:
    """What :func:`textgym.evaluate` plays: the module of an algorithm, or a module itself.

    A DQN is greedy always; a PPO policy is sampled from where ``deterministic=False`` asks for it.
    """
    return Player(trained.get_module() if hasattr(trained, "get_module") else trained)


class Player:
    """See :func:`player`; what it draws goes by the seed of the evaluation."""

    def __init__(self, module: Any) -> None:
        self._module, self._generator = module, torch.Generator()

    def seed_sampling(self, seed: int) -> None:
        """Starts the random numbers anew."""
        self._generator.manual_seed(seed)

    def __call__(
        self, observations: Any, action_masks: Any, *, deterministic: bool = True, episode_starts: Any = None
    ) -> NDArray[np.int64]:
        """One token for each row.

        Raises:
            ConfigurationError: for observations that are no token ids.
        """
        tokens = np.asarray(observations[TOKENS] if isinstance(observations, Mapping) else observations)
        if tokens.ndim != 2 or tokens.dtype.kind not in "iu":
            raise ConfigurationError(
                f"observations of shape {tokens.shape} and type {tokens.dtype}: the modules read token ids; use "
                "observation='tokens' or 'dict'"
            )
        seen = {TOKENS: torch.as_tensor(tokens), MASK: torch.as_tensor(action_masks)}
        found = self._module.forward_inference({Columns.OBS: seen})
        if Columns.ACTIONS in found:
            return np.asarray(found[Columns.ACTIONS].numpy())
        logits = found[Columns.ACTION_DIST_INPUTS]
        if deterministic:
            return np.asarray(logits.argmax(-1).numpy())
        return np.asarray(torch.multinomial(logits.softmax(-1), 1, generator=self._generator).squeeze(-1).numpy())
