"""An update step of every algorithm on every device, and what is said when memory runs out."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from lm_oracles import play_at_random, task_of
from torch import Tensor

from textgym.agents.lm import model as model_module
from textgym.agents.lm.building import ModelConfig, build_policy
from textgym.agents.lm.dpo import DPO
from textgym.agents.lm.grpo import GRPO
from textgym.agents.lm.memory import explain_memory
from textgym.agents.lm.model import LMPolicy, Scored
from textgym.agents.lm.ppo import PPO
from textgym.agents.lm.reinforce import RLOO, Reinforce
from textgym.errors import TrainingError
from textgym.factory import EnvFactory
from textgym.task import Task

NEEDS_CUDA = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
DEVICES = ["cpu", "meta", pytest.param("cuda", marks=NEEDS_CUDA)]


@pytest.fixture(scope="module")
def task() -> Task:
    return task_of("TextGen/Brackets-v0")


@pytest.fixture(scope="module")
def texts(task: Task) -> Any:
    return play_at_random(task)


class Columns(dict[str, Tensor]):
    """Whatever a loss asks for: 0.1 for each token, but for what belongs to whole texts or to pairs."""

    def __init__(self, agent: Any, shape: tuple[int, int], device: str) -> None:
        super().__init__()
        count = shape[0] // 2 if isinstance(agent, DPO) else shape[0]
        names = ("margins", "share") if isinstance(agent, DPO) else ("advantages", "share")
        if isinstance(agent, DPO | Reinforce):
            self.update({name: torch.full((count,), 0.1, device=device) for name in names})
        self._token = torch.full(shape, 0.1, device=device)

    def __missing__(self, name: str) -> Tensor:
        return self._token


ALGORITHMS: dict[str, Callable[[], Any]] = {
    "reinforce": lambda: Reinforce(entropy_coefficient=0.1),
    "rloo": RLOO,
    "ppo": lambda: PPO(value_clip=0.2, kl_in="loss", entropy_coefficient=0.1),
    "grpo": lambda: GRPO(kl_in="loss", length="text"),
    "dpo": DPO,
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_step_of_every_algorithm_runs_on_the_device(
    task: Task, texts: Any, name: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_module, "CHUNK_ELEMENTS", 100)  # parts are computed again for the gradient
    (tokens, wrote), agent = texts, ALGORITHMS[name]()
    config = ModelConfig(device=device, width=16)
    policy = build_policy(config, task, seed=0, value_head=agent.value_head)
    reference = copy.deepcopy(policy).requires_grad_(False)
    optimizer = torch.optim.Adam(policy.parameters())
    before = [p.detach().clone() for p in policy.parameters()]
    scored = policy.score(tokens, wrote, reference=reference, mask_policy=reference, top_p=0.9)
    loss, metrics = agent.loss(scored, Columns(agent, wrote.shape, device))
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
    optimizer.step()
    assert {tensor.device.type for tensor in (loss, norm, *metrics.values(), *policy.parameters())} == {device}
    if device != "meta":
        assert loss.isfinite()
        assert norm > 0
        pairs = zip(before, policy.parameters(), strict=True)
        assert any(not torch.equal(old, new) for old, new in pairs)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_says_what_the_cpu_says(task: Task, texts: Any) -> None:
    tokens, wrote = texts
    config = ModelConfig(device="cpu", width=16)
    found = [
        build_policy(ModelConfig(**{**vars(config), "device": device}), task, seed=0).score(tokens, wrote).log_probs
        for device in ("cpu", "cuda")
    ]
    torch.testing.assert_close(found[1].cpu(), found[0], rtol=1e-3, atol=1e-3)


def test_running_out_of_memory_says_what_to_lower() -> None:
    errors = (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried"), RuntimeError("DefaultCPUAllocator: can't"))
    for error in errors:
        expected = pytest.raises(TrainingError, match="out of memory while writing 8 texts at once; lower lanes")
        with expected, explain_memory("writing 8 texts at once", "lower lanes"):
            raise error
    with pytest.raises(RuntimeError, match="something else"), explain_memory("writing", "lower lanes"):
        raise RuntimeError("something else")


def test_training_that_runs_out_of_memory_names_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhaust(*_: Any, **__: Any) -> Scored:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    config = {"device": "cpu", "width": 16, "texts": 16, "lanes": 8, "micro_batch_size": 4, "sft_steps": 0}
    learned = RLOO(seed=0, **config)
    envs = EnvFactory("TextGen-v0", {"level": "tiny"})
    with monkeypatch.context() as patch:
        patch.setattr(LMPolicy, "score", exhaust)
        with pytest.raises(TrainingError, match="while reading 4 texts at a time; lower micro_batch_size"):
            learned.learn(envs, 2000)
    with monkeypatch.context() as patch:
        patch.setattr(RLOO, "loss", exhaust)
        with pytest.raises(TrainingError, match="learning from 4 of a minibatch's 16 texts.*gradient_checkpointing"):
            RLOO(seed=0, **config).learn(envs, 2000)
    with monkeypatch.context() as patch:
        patch.setattr(LMPolicy, "values", exhaust)
        with pytest.raises(TrainingError, match="while writing 8 texts at a time; lower lanes"):
            RLOO(seed=0, **config).learn(envs, 2000)
    with monkeypatch.context() as patch:
        patch.setattr(LMPolicy, "score", exhaust)
        with pytest.raises(TrainingError, match="learning from 64 demonstrations at a time; lower batch_size"):
            RLOO(seed=0, **{**config, "sft_steps": 1}).learn(envs, 2000)
