"""RLlib: masks in the modules, episodes that are neither lost nor doubled, checkpoints, and nodes that die."""

from __future__ import annotations

import importlib
import itertools
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from scripts import load_script

import textgym
from textgym.errors import ConfigurationError, MissingDependencyError
from textgym.evaluation import evaluate

pytest.importorskip("ray")
pytest.importorskip("tree")
pytest.importorskip("ormsgpack")

import ray
import torch
from ray.cluster_utils import Cluster
from ray.rllib.algorithms.appo import APPOConfig
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.single_agent_env_runner import SingleAgentEnvRunner
from ray.rllib.execution.rollout_ops import synchronous_parallel_sample

from textgym.benchmarks.ray_connection import connected
from textgym.integrations import rllib
from textgym.integrations.rllib import (
    MaskedDQN,
    MaskedPPO,
    TextEpisodeReplayBuffer,
    adapt,
    dqn_config,
    make_env,
    player,
    ppo_config,
)

# Ray leaves pipes and processes to its own exit handlers; RLlib registers its environments anew in each runner, and
# speaks of its own old names when it is imported.
pytestmark = [
    pytest.mark.filterwarnings("ignore:(subprocess|unclosed):ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*rllib-single-agent-env-v0.*"),
]

BRACKETS = "TextGen/Brackets-v0"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    with connected(cores=3):
        yield


# ---- modules ---------------------------------------------------------------------------------------------------------


def module(kind: type, **settings: Any) -> Any:
    """A module with three tokens of which texts hold two."""
    parts = {
        "tokens": gym.spaces.Box(0, 3, (2,), np.int32),
        "attention_mask": gym.spaces.Box(0, 1, (2,), np.int8),
        "action_mask": gym.spaces.Box(0, 1, (3,), np.int8),
    }
    torch.manual_seed(0)
    spec = RLModuleSpec(kind, gym.spaces.Dict(parts), gym.spaces.Discrete(3), model_config={"hidden": (8,), **settings})
    made = spec.build()
    if kind is MaskedDQN:
        made.make_target_networks()
    return made


def batch(rows: int, mask: tuple[int, int, int] = (1, 0, 1)) -> dict[str, Any]:
    tokens = torch.arange(rows * 2).reshape(rows, 2).int() % 4
    seen = {"tokens": tokens, "action_mask": torch.tensor([mask] * rows, dtype=torch.int8)}
    return {Columns.OBS: seen}


def constant(network: torch.nn.Module, values: list[float]) -> None:
    """Makes the network say these values, whatever it sees."""
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    list(network.parameters())[-1].data = torch.tensor(values)


def test_a_policy_gives_illegal_tokens_no_probability() -> None:
    policy = module(MaskedPPO)
    for forward in (policy.forward_inference, policy.forward_exploration, policy.forward_train):
        logits = forward(batch(5))[Columns.ACTION_DIST_INPUTS]
        found = policy.get_train_action_dist_cls().from_logits(logits)
        assert (logits.softmax(-1)[:, 1] == 0).all()
        assert (logits.softmax(-1)[:, [0, 2]] > 0).all()
        assert torch.isfinite(found.entropy()).all()
        assert (found.kl(found) == 0).all()
        assert not (found.sample(sample_shape=(500,)) == 1).any()
    loss = policy.get_train_action_dist_cls().from_logits(policy.forward_train(batch(5))[Columns.ACTION_DIST_INPUTS])
    (loss.logp(torch.tensor([0, 2, 0, 2, 0])) + loss.entropy()).sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in policy.policy.parameters())
    assert policy.compute_values(batch(5)).shape == (5,)


def test_the_networks_tell_all_observations_apart() -> None:
    policy = module(MaskedPPO)
    tokens = torch.cartesian_prod(torch.arange(4), torch.arange(4)).int()
    seen = {Columns.OBS: {"tokens": tokens, "action_mask": torch.ones(16, 3)}}
    features = policy.features(seen)
    assert features.shape == (16, 8)
    assert (features.sum(-1) == 2).all()
    assert len(features.unique(dim=0)) == 16


def test_values_choose_legal_tokens_greedily_and_by_chance() -> None:
    greedy, chance = module(MaskedDQN, epsilon=0.0), module(MaskedDQN, epsilon=1.0)
    for values in (greedy, chance):
        constant(values.network, [0.0, 9.0, 1.0])  # the best one is not allowed, and one is worth exactly nothing
    assert (greedy.forward_inference(batch(50))[Columns.ACTIONS] == 2).all()
    assert (greedy.forward_exploration(batch(50), t=0)[Columns.ACTIONS] == 2).all()
    drawn = chance.forward_exploration(batch(4_000), t=0)[Columns.ACTIONS].bincount(minlength=3)
    assert drawn[1] == 0
    assert drawn[0] == pytest.approx(2_000, abs=200)


def test_chance_falls_with_the_tokens() -> None:
    values = module(MaskedDQN, epsilon=[[0, 1.0], [100, 0.0]])
    constant(values.network, [0.0, 0.0, 1.0])
    shares = [
        (values.forward_exploration(batch(4_000), t=t)[Columns.ACTIONS] == 0).float().mean() for t in (0, 50, 100)
    ]
    assert [float(share) for share in shares] == pytest.approx([0.5, 0.25, 0.0], abs=0.05)


@pytest.mark.parametrize(("double_q", "expected"), [(True, 30.0), (False, 40.0)])
def test_the_loss_looks_ahead_along_legal_tokens(double_q: bool, expected: float) -> None:
    config = dqn_config(BRACKETS, num_envs=1, level="easy").training(
        gamma=0.5, double_q=double_q, td_error_loss_fn="mse"
    )
    values = module(MaskedDQN, double_q=double_q)
    spec = RLModuleSpec(model_config={"hidden": (8,)}, module_class=MaskedDQN)
    config.rl_module(rl_module_spec=spec)
    learner = config.build_learner(
        spaces={DEFAULT_MODULE_ID: (values.observation_space, values.action_space)},
    )
    trained = learner.module[DEFAULT_MODULE_ID].unwrapped()
    constant(trained.network, [1.0, 5.0, 2.0])  # the second is forbidden below; the third is the best of the others
    constant(trained.target, [40.0, 50.0, 30.0])
    rows = {
        **batch(2),
        Columns.NEXT_OBS: batch(2)[Columns.OBS],
        Columns.ACTIONS: torch.tensor([0, 2]),
        Columns.REWARDS: torch.tensor([0.25, 0.25]),
        Columns.TERMINATEDS: torch.tensor([False, True]),
        "n_step": torch.tensor([1, 1]),
        "weights": torch.tensor([1.0, 1.0]),
    }
    loss = learner.compute_loss_for_module(
        module_id=DEFAULT_MODULE_ID, config=config, batch=rows, fwd_out=trained.forward_train(rows)
    )
    errors = [1.0 - (0.25 + 0.5 * expected), 2.0 - 0.25]  # nothing follows where a text has ended
    assert loss.item() == pytest.approx(np.mean(np.square(errors)), rel=1e-5)
    loss.backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in trained.network.parameters())


# ---- environments ----------------------------------------------------------------------------------------------------


def count_texts(runner: Any) -> None:
    """Has the environment of a runner note what it ends, by itself."""
    envs = runner.env.unwrapped
    envs.tally = []
    step = envs.step

    def counted(actions: Any) -> Any:
        result = step(actions)
        for row in range(len(envs.last_rows)):
            ids = envs.last_episodes.completion_ids[row][: envs.last_episodes.num_tokens[row]].tolist()
            reason = envs.last_episodes.stop_reasons[row]
            envs.tally.append((tuple(ids), float(envs.last_returns[row]), reason))
        return result

    envs.step = counted


def texts_of(chunks: list[Any], pad: int, answer: int) -> list[tuple[tuple[int, ...], float]]:
    """The texts that have ended in these pieces of RLlib's: their tokens and returns."""
    begun: dict[str, tuple[list[int], float]] = {}
    ended: list[tuple[tuple[int, ...], float]] = []
    finished: set[str] = set()
    for chunk in chunks:
        assert chunk.id_ not in finished
        if chunk.id_ not in begun:
            assert (chunk.get_observations(0)["tokens"][-answer:] == pad).all()  # begins with an empty text
        tokens, paid = begun.get(chunk.id_, ([], 0.0))
        tokens, paid = [*tokens, *map(int, chunk.get_actions())], paid + chunk.get_return()
        begun[chunk.id_] = (tokens, paid)
        masks = np.stack([seen["action_mask"] for seen in map(chunk.get_observations, range(len(chunk)))])
        assert masks[np.arange(len(chunk)), chunk.get_actions()].all()
        assert not chunk.is_truncated
        if chunk.is_terminated:
            finished.add(chunk.id_)
            ended.append((tuple(tokens), paid))
    return ended


def same(there: list[tuple[tuple[int, ...], float]], here: list[tuple[tuple[int, ...], float, str]]) -> None:
    """Compares RLlib's texts with the environments'."""
    assert len(there) == len(here) > 30
    assert {reason for *_, reason in here} <= {"eos", "length", "stop"}
    assert sorted(tokens for tokens, _ in there) == sorted(tokens for tokens, *_ in here)
    for (one, paid), (other, wanted, _) in zip(sorted(there), sorted(here), strict=True):
        assert one == other
        assert paid == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("make", [ppo_config, dqn_config])
def test_no_text_is_lost_or_doubled(make: Any) -> None:
    config = make(BRACKETS, num_envs=8, level="easy").debugging(seed=3)
    runner = SingleAgentEnvRunner(config=config)
    count_texts(runner)
    chunks = [chunk for length in (120, 7, 200, 33) for chunk in runner.sample(num_timesteps=length, explore=True)]
    envs = runner.env.unwrapped
    same(texts_of(chunks, int(envs.single_action_space.n), int(envs.task.budget)), envs.tally)
    runner.stop()


def test_a_config_works_where_ray_has_forgotten_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = importlib.import_module("ray.tune.registry")._global_registry
    monkeypatch.setattr(registry, "_to_flush", {})  # as after a shutdown of Ray, whose memory it was handed to
    runner = SingleAgentEnvRunner(config=ppo_config(BRACKETS, num_envs=2, level="easy"))
    assert runner.sample(num_timesteps=10, explore=True)
    runner.stop()


def test_the_replay_buffer_draws_finished_texts_evenly() -> None:
    runner = SingleAgentEnvRunner(config=dqn_config(BRACKETS, num_envs=8, level="easy").debugging(seed=3))
    buffer = TextEpisodeReplayBuffer(capacity=10_000)
    buffer.rng = np.random.default_rng(0)
    pieces = []
    for _ in range(12):
        found = runner.sample(num_timesteps=16, explore=True)
        buffer.add(found)
        pieces += found
    runner.stop()
    whole: dict[str, list[int]] = {}
    for piece in pieces:
        whole[piece.id_] = [*whole.get(piece.id_, []), *map(int, piece.get_actions())]
    finished = {piece.id_: whole[piece.id_] for piece in pieces if piece.is_done}
    counts = dict.fromkeys(finished, 0)
    for _ in range(100):
        drawn = buffer.sample(64, n_step=1, gamma=1.0, beta=0.4, sample_episodes=True)
        assert 64 <= sum(map(len, drawn)) < 64 + max(map(len, finished.values()))
        for text in drawn:
            counts[text.id_] += 1
            assert text.get_actions().tolist() == finished[text.id_]
            assert set(text.extra_model_outputs) == {"n_step", "weights"}
            for name in text.extra_model_outputs:
                assert text.get_extra_model_outputs(name).tolist() == [1.0] * len(text)
    expected = sum(counts.values()) / len(counts)
    assert all(0.4 * expected < count < 1.8 * expected for count in counts.values())
    with pytest.raises(ConfigurationError, match=r"n_step=3: .* set n_step=1"):
        buffer.sample(64, n_step=3)
    with pytest.raises(ConfigurationError, match="no text has ended yet"):
        TextEpisodeReplayBuffer(capacity=10).sample(4)


def test_the_replay_buffer_forgets_the_oldest_texts() -> None:
    runner = SingleAgentEnvRunner(config=dqn_config(BRACKETS, num_envs=8, level="easy").debugging(seed=3))
    buffer = TextEpisodeReplayBuffer(capacity=100)
    ended = []
    for _ in range(16):
        found = runner.sample(num_timesteps=16, explore=True)
        buffer.add(found)
        ended += [piece.id_ for piece in found if piece.is_done]
    runner.stop()
    kept = [text.id_ for text in buffer.episodes]
    assert kept == ended[-len(kept) :]
    assert len(buffer) == sum(map(len, buffer.episodes)) <= 100
    assert len(buffer) > 70


def test_illegal_tokens_are_counted() -> None:
    runner = SingleAgentEnvRunner(config=ppo_config(BRACKETS, num_envs=8, level="easy").debugging(seed=3))
    count_texts(runner)
    runner.sample(num_timesteps=200, random_actions=True)  # RLlib's own chance knows no masks
    illegal = [reason for *_, reason in runner.env.unwrapped.tally if reason == "illegal"]
    assert runner.get_metrics()["illegal_texts"].peek() == len(illegal) > 5
    runner.stop()


def test_lanes_of_two_runners_are_no_twins() -> None:
    keys = []
    for seed in (5, 6, 5):
        envs = make_env({"env_id": "TextGen-v0", "num_envs": 4})
        envs.reset(seed=seed)
        keys.append(envs.unwrapped.present_episodes.keys.tolist())
    assert keys[0] == keys[2]
    assert len({*keys[0], *keys[1]}) == 8


def test_the_configs_are_ready() -> None:
    config = ppo_config("TextGen-v0", num_envs=16, num_env_runners=2, total_steps=1_000, hidden=(32,), level="tiny")
    config.validate()
    assert (config.num_env_runners, config.num_envs_per_env_runner) == (2, 16)
    assert config.entropy_coeff[-1] == [1_000, 0.0]
    assert config.env_config["level"] == "tiny"
    assert config.rl_module_spec.module_class is MaskedPPO
    assert config.rl_module_spec.model_config["hidden"] == (32,)
    config = dqn_config("TextGen-v0", total_steps=1_000)
    config.validate()
    assert config.epsilon == [[0, 1.0], [500, 0.05]]
    assert config.rl_module_spec.module_class is MaskedDQN


def test_whole_episodes_are_not_always_the_same_ones() -> None:
    config = ppo_config("TextGen/GuessNumber-v0", num_envs=4, level="easy").debugging(seed=3)
    runner = SingleAgentEnvRunner(config=config.env_runners(batch_mode="complete_episodes"))
    envs, keys = runner.env.unwrapped, []
    reset = envs.reset

    def noted(**options: Any) -> Any:
        result = reset(**options)
        keys.append(envs.present_episodes.keys.tolist())
        return result

    envs.reset = noted
    for _ in range(3):
        assert all(episode.is_done for episode in runner.sample(explore=True))
    runner.stop()
    assert len({key for lanes in keys for key in lanes}) == 3 * 4
    again = make_env(config.env_config | {"num_envs": 4})
    for lanes in keys:  # the seed decides all of them
        again.reset(seed=int(runner._seed))
        assert again.unwrapped.present_episodes.keys.tolist() == lanes


def test_callbacks_of_a_config_stay_and_a_factory_will_do() -> None:
    def mine(**_: Any) -> None: ...

    factory = textgym.EnvFactory("TextGen-v0", {"level": "tiny"})
    for given, kept in ((mine, [mine]), ([mine, mine], [mine, mine]), (None, [])):
        config = adapt(PPOConfig().callbacks(on_episode_end=given) if given else PPOConfig(), factory, num_envs=2)
        assert config.callbacks_on_episode_end == [*kept, rllib.count_illegal]
    assert adapt(config, factory).callbacks_on_episode_end == [rllib.count_illegal]
    assert (config.env_config["env_id"], config.env_config["level"]) == ("TextGen-v0", "tiny")


# ---- what does not fit -----------------------------------------------------------------------------------------------


class Pictures(gym.Env[Any, Any]):
    """Shows pictures."""

    observation_space = gym.spaces.Box(0, 255, (84, 84, 3), np.uint8)
    action_space = gym.spaces.Discrete(4)


class Steering(Pictures):
    """Takes no tokens."""

    action_space = gym.spaces.Box(-1.0, 1.0, (2,))


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gym.envs.registration, "registry", dict(gym.registry))
    gym.register("Pictures-v0", entry_point=Pictures)
    gym.register("Steering-v0", entry_point=Steering)


def test_other_spaces_are_refused(others: None) -> None:
    with pytest.raises(ConfigurationError, match="look like images: textgym's RLlib modules read token ids"):
        ppo_config("Pictures-v0")
    with pytest.raises(ConfigurationError, match="expected a Discrete space"):
        dqn_config("Steering-v0")
    with pytest.raises(ConfigurationError, match="expected a Dict with 'tokens' .* observation='dict'"):
        ppo_config("CartPole-v1")
    with pytest.raises(ConfigurationError, match="expected a Dict with 'tokens'"):
        RLModuleSpec(MaskedPPO, gym.spaces.MultiDiscrete([4, 4]), gym.spaces.Discrete(3), model_config={}).build()


def test_what_is_needed_is_said() -> None:
    with pytest.raises(ConfigurationError, match="observation: the modules for RLlib need observation='dict'"):
        ppo_config("TextGen-v0", observation="one_hot")
    with pytest.raises(ConfigurationError, match="RLlib needs 'NextStep'"):
        ppo_config("TextGen-v0", autoreset_mode="SameStep")
    with pytest.raises(ConfigurationError, match="expected a PPOConfig or DQNConfig"):
        adapt(APPOConfig())
    with pytest.raises(ConfigurationError, match="num_atoms=1, dueling=False"):
        module(MaskedDQN, num_atoms=11)


def test_the_old_api_stack_is_refused() -> None:
    old = PPOConfig().api_stack(enable_rl_module_and_learner=False, enable_env_runner_and_connector_v2=False)
    with pytest.raises(
        ConfigurationError, match=r"old API stack; call config\.api_stack\(enable_rl_module_and_learner"
    ):
        adapt(old)


def test_other_versions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.metadata.version
    monkeypatch.setattr(
        "textgym.integrations._versions.version", lambda name: "2.9.3" if name == "ray" else found(name)
    )
    with pytest.raises(ConfigurationError, match=r"ray 2\.9\.3 is installed, and textgym works with ray>=2\.60,<2\.61"):
        importlib.reload(rllib)

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("textgym.integrations._versions.version", missing)
    with pytest.raises(MissingDependencyError, match=r"pip install 'textgym\[rllib\]'"):
        importlib.reload(rllib)


# ---- training --------------------------------------------------------------------------------------------------------


def greedy_texts(act: Any, **kwargs: Any) -> list[str]:
    found = evaluate(act, textgym.EnvFactory("TextGen-v0", kwargs), episodes=20)
    return [text["completion"] for text in found.texts]


@pytest.mark.parametrize("make", [ppo_config, dqn_config])
def test_training_saving_and_playing(make: Any, cluster: None, tmp_path: Path) -> None:
    config = make("TextGen-v0", num_envs=8, level="tiny").debugging(seed=1)
    config.training(train_batch_size_per_learner=128)
    config.training(
        **({"minibatch_size": 64} if make is ppo_config else {"num_steps_sampled_before_learning_starts": 64})
    )
    config.reporting(min_sample_timesteps_per_iteration=256)
    algorithm = config.build_algo()
    count_texts(algorithm.env_runner)
    before = {name: value.clone() for name, value in algorithm.get_module().state_dict().items()}
    result = algorithm.train()
    tally = algorithm.env_runner.env.unwrapped.tally
    assert result["env_runners"]["num_episodes_lifetime"] == len(tally) > 10
    assert not [reason for *_, reason in tally if reason == "illegal"]
    after = algorithm.get_module().state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    learnt = algorithm.learner_group.get_weights()[DEFAULT_MODULE_ID]
    assert all(np.allclose(learnt[name], after[name]) for name in after)
    texts = greedy_texts(player(algorithm), level="tiny")
    assert texts == greedy_texts(player(algorithm.get_module()), level="tiny", observation="dict")
    place = algorithm.save_to_path(tmp_path / "saved")
    restored = type(algorithm).from_checkpoint(place)
    assert greedy_texts(player(restored), level="tiny") == texts
    restored.train()
    for one in (algorithm, restored):
        one.stop()


def test_the_example_trains_without_illegal_tokens(cluster: None) -> None:
    script = load_script("docs/examples/rllib_ppo.py")
    config = ppo_config("TextGen-v0", num_envs=8, level="tiny")
    algorithm, illegal = script.train(config.training(train_batch_size_per_learner=256, minibatch_size=128), 500)
    assert illegal == 0
    assert set(greedy_texts(player(algorithm), level="tiny"))
    algorithm.stop()


def test_a_policy_is_sampled_where_that_is_asked() -> None:
    policy = module(MaskedPPO)
    constant(policy.policy, [0.0, 5.0, 0.5])
    seen, masks = np.zeros((2_000, 2), dtype=np.int32), np.array([[True, False, True]] * 2_000)
    assert (player(policy)(seen, masks) == 2).all()
    drawn = np.bincount(player(policy)(seen, masks, deterministic=False), minlength=3)
    assert drawn[1] == 0
    assert drawn[0] / 2_000 == pytest.approx(1 / (1 + np.exp(0.5)), abs=0.05)
    one, two, other = player(policy), player(policy), player(policy)
    for each, seed in ((one, 3), (two, 3), (other, 4)):  # as evaluations do
        each.seed_sampling(seed)
    draws = [each(seen, masks, deterministic=False).tolist() for each in (one, two, other)]
    assert draws[0] == draws[1] != draws[2]
    with pytest.raises(ConfigurationError, match="use observation='tokens' or 'dict'"):
        one(np.zeros((2, 8), dtype=np.float32), masks[:2])


@pytest.mark.slow
def test_two_runners_lose_and_double_no_text(cluster: None) -> None:
    config = ppo_config(BRACKETS, num_envs=8, num_env_runners=2, level="easy").debugging(seed=1)
    config.training(train_batch_size_per_learner=512, minibatch_size=128)
    algorithm = config.build_algo()
    group = algorithm.env_runner_group
    by_value(count_texts, group)
    sampled, told = [], 0
    for _ in range(3):
        chunks, _ = synchronous_parallel_sample(
            worker_set=group, max_env_steps=600, _uses_new_env_runners=True, _return_metrics=True
        )
        sampled += chunks
    tally = [
        text
        for texts in group.foreach_env_runner(lambda runner: runner.env.unwrapped.tally, local_env_runner=False)
        for text in texts
    ]
    envs = make_env(config.env_config).unwrapped
    same(texts_of(sampled, int(envs.single_action_space.n), int(envs.task.budget)), tally)
    group.foreach_env_runner(lambda runner: runner.env.unwrapped.tally.clear(), local_env_runner=False)
    for _ in range(3):
        told = algorithm.train()["env_runners"]["num_episodes_lifetime"]
    counts = group.foreach_env_runner(lambda runner: len(runner.env.unwrapped.tally), local_env_runner=False)
    assert len(counts) == 2
    assert min(counts) > 50
    assert told == sum(counts)
    algorithm.stop()


def by_value(function: Any, group: Any) -> None:
    """Calls a function of this file in all runners, whose processes cannot import it."""
    here = sys.modules[__name__]
    ray.cloudpickle.register_pickle_by_value(here)
    try:
        group.foreach_env_runner(function, local_env_runner=False)
    finally:
        ray.cloudpickle.unregister_pickle_by_value(here)


@pytest.mark.slow
def test_a_node_is_killed_and_training_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    ray.shutdown()
    registry = importlib.import_module("ray.tune.registry")._global_registry
    monkeypatch.setattr(registry, "_prefix", "a job of another cluster")  # as this process may have met one
    store = {"object_store_memory": 80 * 1024**2}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False, **store})
    try:
        node = made.add_node(num_cpus=1, **store)
        made.wait_for_nodes()
        with connected(made.address):
            config = ppo_config("TextGen-v0", num_envs=8, num_env_runners=2, level="tiny").debugging(seed=1)
            config.training(train_batch_size_per_learner=256, minibatch_size=128)
            algorithm = config.build_algo()
            group = algorithm.env_runner_group
            algorithm.train()
            where = group.foreach_env_runner(
                lambda runner: ray.get_runtime_context().get_node_id(), local_env_runner=False
            )
            assert len(set(where)) == 2  # one runner on each node
            made.remove_node(node, allow_graceful=False)
            results = [algorithm.train() for _ in range(6)]
            steps = [result["num_env_steps_sampled_lifetime"] for result in results]
            assert all(later >= one + 256 for one, later in itertools.pairwise(steps[1:]))
            assert group.num_healthy_remote_workers() == 1
            made.add_node(num_cpus=1, **store)
            made.wait_for_nodes()
            for _ in range(60):
                algorithm.train()
                if group.num_healthy_remote_workers() == 2:
                    break
            assert group.num_healthy_remote_workers() == 2
            assert set(greedy_texts(player(algorithm), level="tiny"))
            algorithm.stop()
    finally:
        ray.shutdown()
        made.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("seed", ["0", "1", "2"])
@pytest.mark.parametrize("name", ["ppo", "dqn"])
def test_they_learn(
    name: str, seed: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, cluster: None
) -> None:
    script = load_script("docs/examples/rllib_ppo.py")
    monkeypatch.setattr("sys.argv", ["rllib_ppo.py", "--seed", seed, "--algorithm", name])
    script.main()
    found = re.search(r"normalised (\S+), illegal tokens in training: (\d+)", capsys.readouterr().out)
    assert found is not None
    assert float(found[1]) >= 0.85
    assert found[2] == "0"
