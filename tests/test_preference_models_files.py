"""The folder of a reward model: written whole, checked when read, and paid as a reward by name."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from judging import judged, task_of
from tiny_models import as_pickle_only, save_bert, save_gpt2

from textgym.agents.registry import make_agent
from textgym.episodes import EpisodeBatch
from textgym.errors import ConfigurationError, UnknownNameError
from textgym.evaluation import evaluate
from textgym.exact import solve
from textgym.factory import EnvFactory
from textgym.preference_models import RewardModel, fit_preferences, read_judgements
from textgym.preference_models.cards import check_card
from textgym.rewards import resolve_reward
from textgym.rewards.preference import PreferenceReward

KINDS = ("ngram", "mlp", "gru", "transformer")


def fitted(kind: str = "ngram", **more: Any) -> RewardModel:
    quick = {} if kind == "ngram" else {"epochs": 1, "width": 16}
    known = {"env_id": "TextGen-v0", "env_kwargs": {"level": "easy"}}
    return fit_preferences(judged(80), task_of("easy"), kind=kind, **{**known, **quick, **more})


def texts() -> EpisodeBatch:
    return read_judgements(judged(80), task_of("easy")).texts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One n-gram model."""
    path = tmp_path_factory.mktemp("models") / "single"
    fitted().save(path)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_scores_and_judges_as_before(kind: str, tmp_path: Path) -> None:
    if kind != "ngram":
        pytest.importorskip("torch")
    model = fitted(kind, ensemble=2)
    model.save(tmp_path / "model")
    again = RewardModel.load(tmp_path / "model")
    assert np.array_equal(model.member_scores(texts()), again.member_scores(texts()))
    assert [place.judging for place in model.places] == [place.judging for place in again.places]
    assert model.full_card() == again.full_card()
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["card.json", "model.safetensors"]
    again.save(tmp_path / "copy")
    for name in ("card.json", "model.safetensors"):
        assert (tmp_path / "copy" / name).read_bytes() == (tmp_path / "model" / name).read_bytes()


def test_the_card_says_where_a_model_comes_from(folder: Path) -> None:
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    assert (card["kind"], card["env_id"], card["env_kwargs"]) == ("ngram", "TextGen-v0", {"level": "easy"})
    assert card["data"]["judgements"] == 80
    assert len(card["data"]["hash"]) == 64
    assert set(card["metrics"]) == {"training", "held out"}
    assert card["members"][0]["seed"] != card["seed"]


# ---- as a reward ----------------------------------------------------------------------------------------------------


def test_a_path_is_a_reward(folder: Path) -> None:
    by_path, by_name = resolve_reward(str(folder)), resolve_reward({"name": "preference", "path": str(folder)})
    assert by_path == by_name == PreferenceReward(str(folder))
    scores = by_path(texts())
    assert np.array_equal(scores, RewardModel.load(folder).score(texts()))
    env: Any = gym.make("TextGen-v0", reward=str(folder))
    observation, _ = env.reset(seed=0)
    assert observation.shape
    reward, terminated = env.step(env.unwrapped.eos_id)[1:3]
    assert terminated
    assert isinstance(reward, float)
    agent = make_agent("uniform", seed=0)
    found = evaluate(agent, EnvFactory("TextGen-v0", {"reward": str(folder)}), episodes=8)
    assert -10.0 < found.mean_return < 10.0
    assert found.normalized is None


def test_a_single_n_gram_model_is_solved_by_its_automaton(folder: Path) -> None:
    reward: Any = PreferenceReward(str(folder))
    task = task_of("easy")
    ids = texts().ids(3)
    row = int(texts().prompt_indices[3])
    assert reward.score_one(task.prompts, row, ids) == reward(texts().take([3]))[0]
    prompt = task.prompts.texts[row]
    solution = solve("TextGen-v0", reward=str(folder), prompt=prompt, engine="automaton")
    assert solution.optimal_return >= reward(texts())[texts().prompt_indices == row].max() - 1e-9


def test_what_is_no_single_n_gram_model_offers_no_automaton(tmp_path: Path) -> None:
    fitted(ensemble=2).save(tmp_path / "two")
    reward = PreferenceReward(str(tmp_path / "two"), aggregate="worst")
    assert not hasattr(reward, "automaton")
    assert not hasattr(reward, "score_one")
    with pytest.raises(ConfigurationError, match="not one n-gram model"):
        assert reward.model
    env: Any = gym.make("TextGen-v0", reward={"name": str(tmp_path / "two"), "aggregate": "worst"})
    env.reset(seed=0)
    assert env.unwrapped.config.task.reward == reward
    members = RewardModel.load(tmp_path / "two").member_scores(texts())
    assert np.array_equal(reward(texts()), members.min(axis=0))
    cautious = PreferenceReward(str(tmp_path / "two"), aggregate="mean_minus_variance", coefficient=3.0)
    assert np.allclose(cautious(texts()), np.maximum(members.mean(axis=0) - 3.0 * members.var(axis=0), -10.0))
    with pytest.raises(UnknownNameError, match="Did you mean 'worst'"):
        PreferenceReward(str(tmp_path / "two"), aggregate="wrost")


def test_pickle_leaves_the_weights_behind(folder: Path) -> None:
    reward = PreferenceReward(str(folder), aggregate="worst")
    before = reward(texts())
    again = pickle.loads(pickle.dumps(reward))
    assert len(pickle.dumps(reward)) < 1_000
    assert again == reward
    assert np.array_equal(again(texts()), before)
    assert copy.deepcopy(reward) is reward


def test_a_model_in_memory_is_a_reward() -> None:
    model = fitted(ensemble=2)
    reward = PreferenceReward.from_model(model, aggregate="worst")
    assert np.array_equal(reward(texts()), model.combined("worst").score(texts()))
    assert reward.range == (-10.0, 10.0)


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.pt", "model.PTH", "pytorch_model.bin", "model.pkl", "model.ckpt"])
def test_pickles_are_refused_unread(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(pickle.dumps({"weights": 1}))
    for read in (RewardModel.load, PreferenceReward, resolve_reward):
        with pytest.raises(ConfigurationError, match="looks like a pickle"):
            read(str(tmp_path / name))


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is no reward model"):
        RewardModel.load(tmp_path)
    with pytest.raises(ConfigurationError, match="does not exist"):
        PreferenceReward(str(tmp_path / "missing"))


REQUIRED = ("kind", "env_id", "env_kwargs", "tokenizer", "data", "split", "seed", "limit", "members", "metrics")


@pytest.mark.parametrize("name", REQUIRED)
def test_a_card_must_be_complete(folder: Path, name: str) -> None:
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    for changed in ({**card, name: None}, {key: value for key, value in card.items() if key != name}):
        with pytest.raises(ConfigurationError, match=name):
            check_card(changed, "here")


@pytest.mark.parametrize(
    ("place", "value", "what"),
    [
        (("format",), "textgym reward model 99", "reads 'textgym reward model 1'"),
        (("members",), [], "no members"),
        (("members", 0, "spread"), 0.0, "must be above 0"),
        (("members", 0, "judging", "side"), "left", r"members\[0\].judging.side is 'left'"),
        (("data", "judgements"), True, "whole number"),
        (("data",), 3, "no object"),
    ],
)
def test_a_card_must_be_sound(folder: Path, place: tuple[Any, ...], value: Any, what: str) -> None:
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    inner = card
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(ConfigurationError, match=what):
        check_card(card, "here")


def copy_of(folder: Path, place: Path) -> Path:
    place.mkdir()
    for file in folder.iterdir():
        (place / file.name).write_bytes(file.read_bytes())
    return place


def test_a_damaged_folder_is_an_error(folder: Path, tmp_path: Path) -> None:
    torn = copy_of(folder, tmp_path / "torn")
    (torn / "card.json").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        RewardModel.load(torn)
    bare = copy_of(folder, tmp_path / "bare")
    (bare / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ConfigurationError, match="weights of .* cannot be read"):
        RewardModel.load(bare)
    foreign = copy_of(folder, tmp_path / "foreign")
    card = json.loads((foreign / "card.json").read_text(encoding="utf-8"))
    (foreign / "card.json").write_text(json.dumps({**card, "kind": "gru"}), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="damaged"):
        RewardModel.load(foreign)
    (foreign / "card.json").write_text(json.dumps({**card, "kind": "forest"}), encoding="utf-8")
    with pytest.raises(UnknownNameError, match="forest"):
        RewardModel.load(foreign)


# ---- writing --------------------------------------------------------------------------------------------------------


def test_only_a_reward_model_or_nothing_is_replaced(folder: Path, tmp_path: Path) -> None:
    model = RewardModel.load(folder)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="holds no reward model"):
        model.save(tmp_path / "thesis")
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter.txt"]
    (tmp_path / "empty").mkdir()
    model.save(tmp_path / "empty")
    fitted(seed=5).save(tmp_path / "empty")
    assert RewardModel.load(tmp_path / "empty").card["seed"] == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "thesis"]


def test_who_dies_while_writing_leaves_the_old_model(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copy_of(folder, tmp_path / "model")
    monkeypatch.setattr("textgym.preference_models.cards.replace_folder", _die)
    with pytest.raises(KeyboardInterrupt):
        fitted(seed=5).save(path)
    assert RewardModel.load(path).card["seed"] == 0
    path.rename(tmp_path / ".model.old")  # as between the two renames
    assert PreferenceReward(str(path)).range == (-10.0, 10.0)


def _die(*_: Any) -> None:
    raise KeyboardInterrupt


# ---- Hugging Face ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [save_gpt2, save_bert])
def test_a_hugging_face_head_learns_is_kept_and_pays(make: Any, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    source = make(tmp_path / "source", ("score",))
    task, given = task_of("tiny"), judged(200, level="tiny")
    model = fit_preferences(
        given, task, kind=str(source), ensemble=2, holdout=0.0, epochs=6, learning_rate=5e-3, max_length=24
    )
    assert model.card["metrics"]["training"]["log loss"] < 0.66
    assert model.tokenizer_fingerprint is None
    batch = read_judgements(given, task).texts.take(range(20))
    alone = np.concatenate([model.score(batch.take([row])) for row in range(len(batch))])
    assert np.allclose(model.score(batch), alone, rtol=0, atol=1e-6 * model.places[0].spread ** -1 * 10)
    model.save(tmp_path / "model")
    assert np.allclose(PreferenceReward(str(tmp_path / "model"))(batch), model.score(batch), rtol=0, atol=1e-6)
    (tmp_path / "model" / "transformers" / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="damaged"):
        RewardModel.load(tmp_path / "model")


def test_hugging_face_folders_that_will_not_do(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    two = save_bert(tmp_path / "two", ("bad", "good"))
    with pytest.raises(ConfigurationError, match="2 labels; expected one"):
        fit_preferences(judged(20), task_of("easy"), kind=str(two), holdout=0.0)
    pickled = as_pickle_only(save_gpt2(tmp_path / "pickled"))
    with pytest.raises(ConfigurationError, match="opens no pickles"):
        fit_preferences(judged(20), task_of("easy"), kind=str(pickled), holdout=0.0)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ConfigurationError, match=r"no config.json|could be loaded"):
        fit_preferences(judged(20), task_of("easy"), kind=str(tmp_path / "nothing"), holdout=0.0)
