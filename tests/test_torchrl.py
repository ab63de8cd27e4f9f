"""torchrl: specs, masks, episodes that are neither lost nor doubled, and a policy that learns."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from typing import Any

import numpy as np
import pytest
from scripts import load_script

from textgym.errors import ConfigurationError, MissingDependencyError
from textgym.factory import EnvFactory
from textgym.rewards import PerText
from textgym.tokenizers import WordTokenizer

pytest.importorskip("torchrl")

import torch
from torch import nn
from torchrl.envs import check_env_specs
from torchrl.envs.utils import ExplorationType, set_exploration_type

from textgym.integrations.torchrl import inputs_of, make_actor, make_env, one_hot

# torchrl warns of its own classes when it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:Creating .* which inherits from WeightUpdaterBase:DeprecationWarning")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def native(env: Any) -> Any:
    """The vector environment at the bottom."""
    return env.base_env._env.unwrapped


@pytest.mark.parametrize("num_envs", [None, 4])
@pytest.mark.parametrize("env_id", ["TextGen-v0", "TextGen/Brackets-v0", "TextGen/GuessNumber-v0"])
def test_specs_hold(env_id: str, num_envs: int | None) -> None:
    env = make_env(env_id, num_envs=num_envs, level="easy")
    check_env_specs(env, seed=0)
    assert env.batch_size == torch.Size([] if num_envs is None else [num_envs])
    first = env.reset()
    assert first["action_mask"].dtype is torch.bool
    assert first["action_mask"].any(-1).all()


def test_random_actions_keep_to_the_mask() -> None:
    env = make_env("TextGen/Brackets-v0", num_envs=16, level="easy")
    env.set_seed(3)
    found = env.rollout(40, break_when_any_done=False)
    assert found["action_mask"].gather(-1, found["action"][..., None]).all()
    assert (~found["action_mask"]).any()  # or there would be nothing to keep to


def test_no_text_is_lost_or_doubled() -> None:
    env = make_env("TextGen-v0", num_envs=8, level="easy")
    env.set_seed(5)
    envs, ended, paid = native(env), 0, 0.0
    step = envs.step

    def counted(actions: Any) -> Any:
        nonlocal ended, paid
        result = step(actions)
        ended, paid = ended + len(envs.last_rows), paid + float(np.sum(envs.last_returns))
        return result

    envs.step = counted
    found = env.rollout(50, break_when_any_done=False)
    done = found["next", "done"][..., 0]
    assert int(done.sum()) == ended > 40
    assert float(found["next", "reward"].sum()) == pytest.approx(paid, rel=1e-5)
    assert not found["next", "truncated"].any()
    pad = int(env.action_spec.space.n)
    for lane, step in done.nonzero().tolist():  # the last observation is the finished text, and not the next one's
        seen, told = found["tokens"][lane, step], found["next", "tokens"][lane, step]
        (place,) = (seen != told).nonzero()[:, 0].tolist()
        assert (seen[place], told[place]) == (pad, found["action"][lane, step])
        assert torch.equal(found["next", "attention_mask"][lane, step], (told != pad).to(torch.int8))
    begun = torch.cat([torch.ones_like(done[:, :1]), done[:, :-1]], dim=1)
    written = (found["tokens"][..., -task_budget(env) :] != pad).sum(-1)
    assert (written[begun] == 0).all()  # what follows an end is the next text's first observation
    assert (written[~begun] > 0).all()


def task_budget(env: Any) -> int:
    return int(native(env).task.budget)


def test_the_actor_never_chooses_what_is_forbidden() -> None:
    env = make_env("TextGen/Brackets-v0", num_envs=8, level="easy")
    torch.manual_seed(0)
    actor = make_actor(one_hot(nn.Linear(inputs_of(env), int(env.action_spec.space.n)), env), env)
    for kind in (ExplorationType.RANDOM, ExplorationType.DETERMINISTIC):
        with torch.no_grad(), set_exploration_type(kind):
            found = env.rollout(20, actor, break_when_any_done=False)
        assert found["action_mask"].gather(-1, found["action"][..., None]).all()
        assert torch.isfinite(found["action_log_prob"]).all()


def test_a_factory_will_do_and_large_vocabularies_have_masks_too() -> None:
    words = WordTokenizer([f"w{number}" for number in range(1_500)])
    kwargs = {"prompts": ["w1"], "tokenizer": words, "reward": PerText(length), "max_new_tokens": 2}
    env = make_env(EnvFactory("TextGen-v0", kwargs), num_envs=2)
    assert env.reset()["action_mask"].shape == (2, 1_502)
    assert env.rollout(3, break_when_any_done=False)["action"].shape == (2, 3)


def length(completion: str) -> float:
    return float(len(completion))


def test_what_is_needed_is_said() -> None:
    for lanes in (None, 2):
        with pytest.raises(ConfigurationError, match="'CartPole-v1' is not a textgym environment"):
            make_env("CartPole-v1", num_envs=lanes)
    with pytest.raises(ConfigurationError, match="observation: torchrl environments are made with observation='dict'"):
        make_env("TextGen-v0", observation="one_hot")
    with pytest.raises(ConfigurationError, match="autoreset_mode: .*'SameStep'"):
        make_env("TextGen-v0", num_envs=2, autoreset_mode="NextStep")


@pytest.mark.parametrize(
    ("found", "said"), [(None, r"pip install 'textgym\[torchrl\]'"), ("0.9.2", "torchrl>=0.14,<0.15")]
)
def test_a_missing_or_other_torchrl_is_said(found: str | None, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        if found is None:
            raise PackageNotFoundError(package)
        return found

    monkeypatch.setattr("textgym.integrations._versions.version", version)
    monkeypatch.delitem(sys.modules, "textgym.integrations.torchrl")
    with pytest.raises(MissingDependencyError if found is None else ConfigurationError, match=said):
        importlib.import_module("textgym.integrations.torchrl")


def test_the_example_trains_without_illegal_tokens(capsys: pytest.CaptureFixture[str]) -> None:
    script = load_script("docs/examples/torchrl_ppo.py")
    actor, illegal = script.train("TextGen-v0", 4_096, 0)
    assert illegal == 0
    act = script.player(actor)
    seen, masks = np.full((2, 8), 23), np.ones((2, 24), dtype=bool)
    masks[:, 3:] = False
    assert (act(seen, masks) < 3).all()
