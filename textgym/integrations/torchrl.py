"""torchrl: environments with masked actions, and policies that choose among legal tokens alone.

Install with ``pip install 'textgym[torchrl]'``. ``GymWrapper(gym.make("TextGen-v0"))`` works without this module;
what it adds are masks and the native vector environment.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.errors import ConfigurationError
from textgym.factory import EnvFactory, as_factory
from textgym.integrations._versions import require
from textgym.vector_wrapper import AnyVectorWrapper

require("torchrl", "torchrl", "0.14", "0.15")

import torch  # noqa: E402
from tensordict.nn import TensorDictModule, TensorDictModuleBase  # noqa: E402
from torch import nn  # noqa: E402
from torchrl.envs import EnvBase, GymWrapper, TransformedEnv  # noqa: E402
from torchrl.envs.transforms import ActionMask, Compose, DTypeCastTransform  # noqa: E402
from torchrl.modules import MaskedCategorical, ProbabilisticActor  # noqa: E402

MASK, TOKENS = "action_mask", "tokens"


def make_env(
    env_id: str | EnvFactory = "TextGen-v0", *, num_envs: int | None = None, device: str = "cpu", **kwargs: Any
) -> EnvBase:
    """A torchrl environment with the entries ``tokens``, ``attention_mask`` and a boolean ``action_mask``.

    Actions are numbers, not one-hot, and random actions (``env.rollout`` without a policy) keep to the mask. Texts
    terminate and are never truncated.

    Args:
        env_id: An id of textgym, or a factory.
        num_envs: Lanes of the native vector environment, which is the batch size; None for a single environment.
        device: Where the tensors are put.
        **kwargs: Arguments of the environment, such as ``level="easy"``.

    Raises:
        ConfigurationError: for another observation or autoreset mode than the ones this needs, and for environments
            that are not textgym's.

    Example:
        >>> env = make_env("TextGen-v0", num_envs=4, level="tiny")
        >>> env.batch_size, env.rollout(3, break_when_any_done=False)["action"].shape
        (torch.Size([4]), torch.Size([4, 3]))
    """
    factory = as_factory(env_id, **kwargs)
    rest = dict(factory.kwargs)
    for name, wanted in (("observation", "dict"), ("autoreset_mode", "SameStep"), ("include_mask", True)):
        if rest.pop(name, wanted) != wanted:
            raise ConfigurationError(f"{name}: torchrl environments are made with {name}={wanted!r}; leave it out")
    plain = EnvFactory(factory.env_id, rest)
    plain.task()  # other people's environments, such as those of images, have none, which is said here
    made: Any
    if num_envs is None:
        made = plain.single(observation="dict", include_mask=True)
    else:
        made = _Endings(plain.vector(num_envs, observation="dict", include_mask=True, autoreset_mode="SameStep"))
    with _quiet():
        env = GymWrapper(made, categorical_action_encoding=True, device=torch.device(device))
    masks = Compose(DTypeCastTransform(torch.int8, torch.bool, in_keys=[MASK]), ActionMask(mask_key=MASK))
    # A wrapped vector environment is a transformed one already, for its automatic resets.
    return env.append_transform(masks) if isinstance(env, TransformedEnv) else TransformedEnv(env, masks)


class _Endings(AnyVectorWrapper):
    """Tells last observations part by part, where torchrl looks for them: those of a dict it takes for zeros."""

    @property
    def autoreset_mode(self) -> Any:
        """By which torchrl sees whether there are last observations at all."""
        return self.env.metadata["autoreset_mode"]

    def step(self, actions: Any) -> Any:
        """As below, with each part of ``final_obs`` in ``final_info``, too."""
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        if "final_obs" in infos:
            parts = _parts(infos["final_obs"], observations)
            infos = {**infos, "final_info": {**infos["final_info"], **parts}}
        return observations, rewards, terminated, truncated, infos


def _parts(final: NDArray[Any], like: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """``(B, ...)`` arrays of what was seen last; zeros in lanes that go on."""
    found = {name: np.zeros_like(values) for name, values in like.items()}
    for row, seen in enumerate(final):
        for name, values in (seen or {}).items():
            found[name][row] = values
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps torchrl from telling of the trial steps with which it reads the specs of a vector environment."""
    logger = logging.getLogger("torchrl")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def make_actor(logits: TensorDictModuleBase | nn.Module, env: EnvBase, **kwargs: Any) -> ProbabilisticActor:
    """A policy over legal tokens.

    Args:
        logits: A network from ``tokens`` ``(..., P + T)`` to ``(..., V)`` logits, or a TensorDictModule that writes an
            entry ``logits``.
        env: An environment of :func:`make_env`.
        **kwargs: Further arguments of ``ProbabilisticActor``.
    """
    module = logits if isinstance(logits, TensorDictModuleBase) else TensorDictModule(logits, [TOKENS], ["logits"])
    return ProbabilisticActor(
        module,
        in_keys={"logits": "logits", "mask": MASK},
        out_keys=["action"],
        spec=env.action_spec,
        distribution_class=MaskedCategorical,
        **{"return_log_prob": True, **kwargs},
    )


def one_hot(network: nn.Module, env: EnvBase) -> nn.Module:
    """Puts a layer before a network that turns ``(..., P + T)`` ids into ``(..., (P + T)(V + 1))`` zeros and ones."""
    return nn.Sequential(_OneHot(int(env.action_spec.space.n) + 1), network)


def inputs_of(env: EnvBase) -> int:
    """How many numbers :func:`one_hot` makes of an observation."""
    return int(env.observation_spec[TOKENS].shape[-1]) * (int(env.action_spec.space.n) + 1)


class _OneHot(nn.Module):
    def __init__(self, values: int) -> None:
        super().__init__()
        self.values = values

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return nn.functional.one_hot(tokens.long(), self.values).flatten(-2).float()
