"""LMAgent: a policy behind textgym's agent protocol; algorithms add how it is trained."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from textgym.agents.base import make_config, read_card, tokens_of, write_card
from textgym.agents.lm.building import add_adapters, build_policy
from textgym.agents.lm.checkpoints import remove_checkpoint
from textgym.agents.lm.export import EXTRAS, load_tokenizer, to_transformers, write_model
from textgym.agents.lm.health import Log
from textgym.agents.lm.model import LegalTokens, LMPolicy, Unadapted
from textgym.agents.lm.reader import Reader
from textgym.agents.lm.rollout import collect
from textgym.agents.lm.sampling import draw, masked_log_probs, top_p_mask
from textgym.errors import BudgetSpent, ConfigurationError
from textgym.factory import EnvFactory
from textgym.folders import find_folder
from textgym.huggingface_models import find_device, load_causal_lm
from textgym.keys import spawn_seed

MODEL = "model"
LEGAL = "legal_tokens"
TEXTS = 32  # written at the same time where nothing is learned


class LMAgent(ABC):
    """A causal language model that writes token by token.

    Args:
        seed: Of all that is random.
        **config: Fields of the algorithm's config.

    Attributes:
        policy: The model; None before :meth:`learn` or :meth:`load`.
        reference: The policy as it was before reinforcement learning; None where nothing asks for it.
        log: One row of numbers an update.
        is_new: Whether the policy's weights are those that it was built with.
        max_new_tokens: T of the task that it learned.
    """

    config_class: ClassVar[type[Any]]
    value_head: ClassVar[bool] = False

    def __init__(self, seed: int = 0, **config: Any) -> None:
        self.seed = seed
        self.config: Any = make_config(self.config_class, config)
        self.policy: LMPolicy | None = None
        self.reference: LMPolicy | None = None
        self.log = Log()
        self.resumes = False
        self.is_new = True
        self.max_new_tokens: int | None = None
        self._reader: Reader | None = None
        self._tokenizer: Any = None
        self.seed_sampling(seed)

    def keep_in(self, folder: Path, *, resume: bool = False) -> None:
        """Writes the log and checkpoints into a folder from now on.

        Args:
            folder: The run's.
            resume: Go on from the checkpoint that is there, if there is one.
        """
        self.log = Log(Path(folder), tensorboard=getattr(self.config, "tensorboard", False))
        self.resumes = resume
        if not resume:
            self.log.clear()
            remove_checkpoint(Path(folder))

    @abstractmethod
    def train(self, envs: EnvFactory, total_steps: int) -> None:
        """The algorithm: changes ``self.policy`` in place."""

    def learn(self, envs: EnvFactory, total_steps: int) -> None:
        """Builds the policy, unless there is one, and trains it.

        Raises:
            ConfigurationError: for a model that does not fit the environment, or observations that hold no ids.
        """
        if envs.kwargs.get("observation", "tokens") not in ("tokens", "dict"):
            raise ConfigurationError(f"observation={envs.kwargs['observation']!r}: this agent reads 'tokens' or 'dict'")
        task = envs.task()
        if self.policy is None:
            self.policy = build_policy(self.config, task, seed=self.seed, value_head=self.value_head)
            self._tokenizer = to_transformers(task.tokenizer)
        elif self.policy.vocab_size == task.tokenizer.vocab_size:
            self.policy.legal = LegalTokens.of(task)
        else:
            raise ConfigurationError(
                f"this agent writes {self.policy.vocab_size} ids, the environment has {task.tokenizer.vocab_size}"
            )
        self._reader, self.max_new_tokens = None, task.budget
        try:
            with suppress(BudgetSpent):  # a normal end: what was learned stays
                self.train(envs, total_steps)
        finally:
            self.policy.eval()
            self.log.close()
        self.is_new = False

    def check_steps(self, envs: EnvFactory, total_steps: int, texts: int) -> None:
        """Refuses a budget that has no room for so many texts, before anything is learned.

        Raises:
            ConfigurationError: for such a budget.
        """
        task = envs.task()
        most = texts * task.turns * task.turn_tokens
        if total_steps < most:
            raise ConfigurationError(
                f"{total_steps} steps are too few: this agent writes up to {most} tokens at a time; give it more steps "
                "or fewer texts"
            )

    def write_on(self, envs: EnvFactory, total_steps: int) -> None:
        """Writes as much as the budget allows and learns nothing, so that there is a curve to compare with."""
        task = envs.task()
        most = TEXTS * task.turns * task.turn_tokens
        lanes: Any = envs.vector(TEXTS, autoreset_mode="Disabled", observation="tokens")
        try:
            lanes.reset(seed=spawn_seed(self.seed, "lanes") % 2**31)
            rows = task.prompts.rows(lanes.unwrapped.config.split)
            rng = np.random.default_rng(spawn_seed(self.seed, "prompts"))
            spent = 0
            while spent + most <= total_steps:
                chosen = np.resize(rng.permutation(rows), TEXTS)
                spent += collect(self.ready_policy, lanes, chosen, generator=self._generator).steps
        finally:
            lanes.close()

    @property
    def ready_policy(self) -> LMPolicy:
        """The policy, or an error where there is none yet."""
        if self.policy is None:
            raise ConfigurationError(f"this {type(self).__name__} has not learned anything yet; call learn() or load()")
        return self.policy

    def freeze_reference(self) -> LMPolicy:
        """The policy as it is now, as the reference; with adapters it is the same weights without new ones."""
        policy = self.ready_policy
        if self.config.lora_rank:
            merged = policy.lm.merge_and_unload() if hasattr(policy.lm, "merge_and_unload") else policy.lm
            policy.lm = add_adapters(merged, self.config.lora_rank, self.seed + 1)
            self.reference = LMPolicy(
                Unadapted(policy.lm), policy.legal, begin_id=policy.begin_id, temperature=policy.temperature
            )
        else:
            self.reference = copy.deepcopy(policy).eval().requires_grad_(False)
        return self.reference

    def act(
        self,
        observations: Any,
        action_masks: NDArray[np.bool_] | None = None,
        *,
        deterministic: bool = True,
        episode_starts: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.int64]:
        """The likeliest token of each row, or a draw. Only what is new since the last call is read."""
        policy, tokens = self.ready_policy, tokens_of(observations)
        self._check(tokens)
        with torch.inference_mode():
            if self._reader is None or self._reader.shape != tokens.shape:
                self._reader = Reader(policy, tokens.shape)
            logits = self._reader.read(tokens)
            legal = torch.from_numpy(policy.legal.fixed if action_masks is None else np.asarray(action_masks, bool))
            log_probs = self._restrict(masked_log_probs(logits, legal.to(policy.device), policy.temperature))
            if deterministic:
                chosen = log_probs.argmax(dim=-1)
            else:
                uniforms = torch.rand(len(tokens), generator=self._generator)
                chosen = draw(log_probs, uniforms.to(policy.device))
        return np.asarray(chosen.cpu().numpy(), dtype=np.int64)

    def log_probs(self, observations: Any, action_masks: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """``(B, V)`` log-probabilities of the next token, as :meth:`act` draws it."""
        tokens = tokens_of(observations)
        self._check(tokens)
        with torch.inference_mode():
            found = self.ready_policy.next_log_probs(
                tokens, None if action_masks is None else np.asarray(action_masks, bool)
            )
            found = self._restrict(found)
        return np.asarray(found.cpu().numpy(), dtype=np.float64)

    def _restrict(self, log_probs: Tensor) -> Tensor:
        """What was trained with ``top_p`` is a policy of likely tokens, here of those that it now finds likely."""
        top_p = getattr(self.config, "top_p", 1.0)
        return log_probs if top_p == 1.0 else masked_log_probs(log_probs, top_p_mask(log_probs, top_p))

    def _check(self, tokens: NDArray[np.int32]) -> None:
        v = self.ready_policy.vocab_size
        if tokens.max() > v:
            raise ConfigurationError(f"this agent learned with {v} ids, the environment has ids up to {tokens.max()}")

    def seed_sampling(self, seed: int) -> None:
        """Starts the random numbers of :meth:`act` anew."""
        self._generator = torch.Generator().manual_seed(seed)
        self._reader = None

    def save(self, path: Path) -> None:
        """Writes the card, the log, and the model as a folder that ``transformers`` loads by itself."""
        policy, path = self.ready_policy, Path(path)
        path.mkdir(parents=True, exist_ok=True)
        tensors = {LEGAL: torch.from_numpy(policy.legal.fixed)}
        if policy.value_head is not None:
            tensors |= {name: tensor.detach().cpu() for name, tensor in policy.value_head.state_dict().items()}
        write_model(
            policy,
            self._tokenizer,
            path / MODEL,
            extras=tensors,
            max_new_tokens=self.max_new_tokens,
            top_p=getattr(self.config, "top_p", 1.0),
        )
        self.log.write_into(path)
        write_card(
            path, self, vocab_size=policy.vocab_size, begin_id=policy.begin_id, max_new_tokens=self.max_new_tokens
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what :meth:`save` wrote; no pickle is opened. Adapters have become part of the weights."""
        card, folder = read_card(path), find_folder(Path(path) / MODEL)
        if folder is None:
            raise ConfigurationError(f"{str(path)!r} holds no weights: there is no folder {MODEL!r} in it")
        tensors = load_file(folder / EXTRAS)
        config = {**card["config"], "lora_rank": 0} if "lora_rank" in card["config"] else card["config"]
        agent = cls(seed=card["seed"], **config)
        legal = LegalTokens(tensors.pop(LEGAL).numpy())
        lm = load_causal_lm(str(folder)).to(find_device(agent.config.device)).eval()
        agent._tokenizer = load_tokenizer(folder)
        agent.policy = LMPolicy(
            lm, legal, begin_id=card["begin_id"], value_head=bool(tensors), temperature=agent.config.temperature
        )
        agent.is_new, agent.max_new_tokens = False, card["max_new_tokens"]
        if agent.policy.value_head is not None:
            agent.policy.value_head.load_state_dict(tensors)
        return agent
