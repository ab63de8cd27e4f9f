"""TRL: its reward is the environment's, its rollouts keep to the masks, and label files feed its trainers."""

from __future__ import annotations

import importlib
import math
import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripts import load_script
from stores import vote
from tiny_models import save_chat_model
from typer.testing import CliRunner

import textgym
from textgym.cli import app
from textgym.episodes import Prompt
from textgym.errors import ActionError, ConfigurationError, MissingDependencyError, PromptError
from textgym.feedback.store import Store
from textgym.huggingface import HuggingFaceTokenizer
from textgym.rewards import PerText

pytest.importorskip("trl")

import torch
from datasets import Dataset, load_dataset
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
)
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, RewardConfig, RewardTrainer

from textgym.integrations import trl

pytestmark = [
    pytest.mark.filterwarnings("ignore:`(is_)?gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:You are using 'rollout_func':UserWarning"),
]
PLAYED = {
    "TextGen-v0": {},
    "TextGen/Brackets-v0": {"level": "easy"},  # rules on the next token
    "TextGen/Recommend-v0": {},  # a reward that depends on chance
    "TextGen/GuessNumber-v0": {"level": "easy"},  # conversations
    "TextGen/Dialogue-v0": {},
}

SAID = {*"please yes pardon thanks sorry rather thai greek french north south east".split()}
"""What the partner of Dialogue can begin a reply with."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# ---- rewards ------------------------------------------------------------------------------------------------------


def played(envs: textgym.EnvFactory, texts: int, seed: int) -> Iterator[tuple[int, int, list[int], float]]:
    """Random play with some forbidden tokens: prompt, key, ids, and what the environment paid."""
    env: Any = envs.single(observation="tokens").unwrapped
    rng, pad, width = np.random.default_rng(seed), int(env.action_space.n), env.task.prompts.width
    for number in range(texts):
        seen, _ = env.reset(seed=seed + number)
        key, prompt = (int(env.get_state()["core"][name][0]) for name in ("keys", "prompt_indices"))
        paid, over = 0.0, False
        while not over:
            legal = np.flatnonzero(env.action_masks())
            token = rng.integers(pad) if rng.random() < 0.03 else rng.choice(legal)
            seen, reward, over, _, _ = env.step(int(token))
            paid += float(reward)
        yield prompt, key, [int(token) for token in seen[width:] if token != pad], paid


def test_rewards_are_those_of_the_environment_for_a_thousand_texts() -> None:
    equal, reasons = 0, set()
    for env_id, kwargs in PLAYED.items():
        envs = textgym.EnvFactory(env_id, kwargs)
        rows = [*played(envs, 200, seed=7)]
        prompts, keys, ids, paid = (list(column) for column in zip(*rows, strict=True))
        rng = np.random.default_rng(0)
        longer = [[*text, *rng.integers(0, 6, size=rng.integers(3)).tolist()] for text in ids]  # behind the end
        metrics: dict[str, float] = {}
        pays = trl.reward_function(envs)
        found = pays(
            ["not used"] * 200,
            ["not used"] * 200,
            completion_ids=longer,
            prompt_index=prompts,
            episode_key=keys,
            log_metric=metrics.__setitem__,
            other=[None] * 200,
        )
        equal += sum(mine == theirs for mine, theirs in zip(found, paid, strict=True))
        assert 0.0 < metrics["textgym/illegal"] < 0.5  # both kinds were tried
        assert isinstance(found[0], float)
        reasons |= {env_id} if len(set(paid)) > 3 else set()
    assert equal == 1_000
    assert reasons == set(PLAYED)  # or all were equal for a poor reason


def test_forbidden_unfinished_and_overlong_texts() -> None:
    pays = trl.reward_function("TextGen-v0", level="tiny", illegal_reward=-7.0)
    task = pays.task
    end, size, budget = task.tokenizer.eos_ids[0], task.tokenizer.vocab_size, task.budget
    (unknown,) = task.tokenizer.special_ids
    full = [0] * budget
    found = pays(completion_ids=[[unknown, end], [0, size], [size + 40], full, [*full, end, 1]], prompt_index=[0] * 5)
    assert found[:3] == [-7.0] * 3
    assert found[3] == found[4] == textgym.score("TextGen-v0", ["praise the movie"], [full], level="tiny")[0]
    with pytest.raises(
        PromptError, match=rf"completion 1 \(\[0\]\) does not end: .*budget is {budget}; generate up to"
    ):
        pays(completion_ids=[[end], [0]], prompt_index=[0, 0])
    with pytest.raises(ActionError, match="token id 0.5"):
        pays(completion_ids=[[0.5]], prompt_index=[0])  # type: ignore[list-item]
    with pytest.raises(ConfigurationError, match="2 completion_ids, 1 prompts: expected as many"):
        pays(completion_ids=[[end], [end]], prompt_index=[0])
    with pytest.raises(ConfigurationError, match="1 completion_ids, 1 prompts, 2 episode_key: expected as many"):
        pays(completion_ids=[[end]], prompt_index=[0], episode_key=[1, 2])
    assert pays(completion_ids=[], prompt_index=[]) == []


def test_a_prompt_is_found_by_its_text_too() -> None:
    pays = trl.reward_function("TextGen-v0")
    good = pays.task.encode_completion("was great")
    by_text = pays(["pan the actors", "praise the movie"], completion_ids=[good, good])
    rows = [pays.task.prompts.index_of(text) for text in ("pan the actors", "praise the movie")]
    assert by_text == pays(completion_ids=[good, good], prompt_index=rows)
    assert by_text == pays(
        [[{"role": "user", "content": "pan the actors"}], "praise the movie"], completion_ids=[good, good]
    )
    assert by_text[0] < by_text[1]
    with pytest.raises(PromptError, match="'praise me' is not one of this task's"):
        pays(["praise me"], completion_ids=[good])


def test_other_replies_than_the_partners_are_no_conversation() -> None:
    envs = textgym.EnvFactory("TextGen/Dialogue-v0")
    pays = trl.reward_function(envs)
    end = pays.task.tokenizer.eos_ids[0]
    rows = [row for row in played(envs, 200, seed=1) if end in row[2][:3] and len(row[2]) > 8]
    prompt, key, ids, paid = rows[0]
    assert pays(completion_ids=[ids], prompt_index=[prompt], episode_key=[key]) == [paid]
    first = ids.index(end) + 1  # there the reply begins
    with pytest.raises(PromptError, match="conversation goes on"):
        pays(completion_ids=[ids[:first]], prompt_index=[prompt], episode_key=[key])
    changed = [*ids[:first], (ids[first] + 1) % pays.task.tokenizer.vocab_size, *ids[first + 1 :]]
    with pytest.raises(PromptError, match="but the partner said"):
        pays(completion_ids=[changed], prompt_index=[prompt], episode_key=[key])


def test_chance_comes_from_the_seed_where_no_key_is_given() -> None:
    ids = trl.reward_function("TextGen/Recommend-v0").task.encode_completion("Silver-Harbour")
    asked: dict[str, Any] = {"completion_ids": [ids] * 64, "prompt_index": [0] * 64}
    first, again, other = (trl.reward_function("TextGen/Recommend-v0", seed=seed) for seed in (0, 0, 1))
    one = first(**asked)
    assert len(set(one)) > 1
    assert one == again(**asked)
    assert len(set(map(tuple, (one, first(**asked), other(**asked))))) == 3


# ---- data sets and tokenizers -------------------------------------------------------------------------------------


def test_data_sets_have_the_prompts_of_a_split() -> None:
    task = textgym.EnvFactory("TextGen-v0").task()
    train, test = (trl.dataset("TextGen-v0", split=split) for split in ("train", "test"))
    assert isinstance(train, Dataset)
    assert not set(train["prompt"]) & set(test["prompt"])
    assert [task.prompts.texts[row] for row in train["prompt_index"]] == list(train["prompt"])
    assert list(trl.dataset("TextGen-v0")["prompt"]) == list(train["prompt"])
    assert len(trl.dataset("TextGen-v0", size=100)) == 100
    for size in (0, -1, 1.5, True):
        with pytest.raises(ConfigurationError, match=f"size={size}: expected a whole number of at least 1"):
            trl.dataset("TextGen-v0", size=size)  # type: ignore[arg-type]
    assert trl.dataset("TextGen/Copy-v0")[0]["references"] == ["c a b"]
    assert len(trl.dataset("TextGen/GuessNumber-v0")) > 0  # without splits


@pytest.mark.parametrize("env_id", ["TextGen-v0", "TextGen/Brackets-v0"])
def test_messages_and_texts_have_the_environments_ids(env_id: str) -> None:
    task, tokenizer = textgym.EnvFactory(env_id).task(), trl.tokenizer(env_id)
    asked = [index for index in task.prompts.ids[0].tolist() if index != task.tokenizer.vocab_size]
    said = [0, 1, 1]
    messages = [
        {"role": "user", "content": task.prompts.texts[0]},
        {"role": "assistant", "content": task.tokenizer.decode(said)},
    ]
    found = tokenizer.apply_chat_template(messages, tokenize=True)["input_ids"]
    assert found == [tokenizer.bos_token_id, *asked, *said, task.tokenizer.eos_ids[0]]
    assert tokenizer(task.prompts.texts[0])["input_ids"] == [tokenizer.bos_token_id, *asked]


def test_another_tokenizer_is_named() -> None:
    letters = trl.tokenizer("TextGen/Brackets-v0")
    with pytest.raises(ConfigurationError, match=r"id 0 is 'was' in the environment and '\(' in the model's tokenizer"):
        trl.reward_function("TextGen-v0", processing_class=letters)
    tiny = trl.tokenizer("TextGen-v0", level="tiny")
    with pytest.raises(ConfigurationError, match="a token id of the environment must be a token id of the model"):
        trl.check_tokenizer("TextGen-v0", tiny)
    trl.check_tokenizer("TextGen-v0", trl.tokenizer("TextGen-v0"))
    other = trl.tokenizer("TextGen-v0")
    other.eos_token = "was"
    with pytest.raises(ConfigurationError, match="ends texts with id"):
        trl.check_tokenizer("TextGen-v0", other)
    with pytest.raises(ConfigurationError, match="observation='text': TRL reads token ids"):
        trl.dataset("TextGen-v0", observation="text")
    with pytest.raises(ConfigurationError, match="'CartPole-v1' is not a textgym environment"):
        trl.reward_function("CartPole-v1")


# ---- rollouts -----------------------------------------------------------------------------------------------------


def small_model(tokenizer: Any, kind: Any = LlamaForCausalLM, **options: Any) -> Any:
    """A Llama of one layer; its distributions are far from uniform."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, initializer_range=0.5, **options,
    )  # fmt: skip
    return kind(config)


QUIET: dict[str, Any] = {
    "report_to": "none", "use_cpu": True, "bf16": False, "save_strategy": "no", "disable_tqdm": True, "max_steps": 1,
    "gradient_checkpointing": False, "dataloader_pin_memory": False, "logging_steps": 1,
}  # fmt: skip


def make_trainer(envs: textgym.EnvFactory, folder: Path, *, rollouts: bool = True, **options: Any) -> Any:
    tokenizer = trl.tokenizer(envs)
    config = {"per_device_train_batch_size": 16, "num_generations": 4, "max_completion_length": envs.task().budget}
    return GRPOTrainer(
        small_model(tokenizer),
        trl.reward_function(envs, processing_class=tokenizer),
        args=GRPOConfig(str(folder), **{**QUIET, **config, **options}),
        train_dataset=trl.dataset(envs, size=16),
        processing_class=tokenizer,
        rollout_func=trl.rollout_function(envs, seed=0) if rollouts else None,
    )


def write(trainer: Any, prompts: list[str]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = trainer.rollout_func(prompts, trainer)
    return found


def test_rollouts_keep_to_the_masks_and_say_what_was_drawn_from(tmp_path: Path) -> None:
    envs = textgym.EnvFactory("TextGen/Brackets-v0", {"level": "easy"})
    trainer = make_trainer(envs, tmp_path, temperature=0.7)
    task = envs.task()
    prompts = list(trl.dataset(envs, size=40)["prompt"])
    found = write(trainer, prompts)
    assert {len(column) for column in found.values()} == {40}
    metrics: dict[str, float] = {}
    pays = trl.reward_function(envs)
    paid = pays(
        **{name: found[name] for name in ("completion_ids", "prompt_index", "episode_key")},
        log_metric=metrics.__setitem__,
    )
    assert metrics == {"textgym/illegal": 0.0}
    texts = [task.prompts.texts[row] for row in found["prompt_index"]]
    assert texts == prompts
    assert paid == textgym.score(envs, prompts, found["completion_ids"]).tolist()
    row = int(np.argmax([len(ids) for ids in found["completion_ids"]]))
    asked, said = found["prompt_ids"][row], found["completion_ids"][row]
    assert asked == trainer.processing_class(prompts[row])["input_ids"]
    with torch.no_grad():
        logits = trainer.model(torch.tensor([[*asked, *said]])).logits[0, len(asked) - 1 : -1] / 0.7
    env: Any = envs.single().unwrapped
    env.reset(options={"prompt_index": found["prompt_index"][row]})
    for place, token in enumerate(said):
        legal = torch.from_numpy(env.action_masks())
        log_probs = logits[place, : len(legal)].masked_fill(~legal, -math.inf).log_softmax(-1)
        assert found["logprobs"][row][place] == pytest.approx(float(log_probs[token]), abs=1e-4)
        env.step(token)
    assert found["env_mask"][row] == [1] * len(said)


@pytest.mark.parametrize("shape", ["qwen2", "llama"])
def test_chat_models_read_what_their_template_says(shape: str, tmp_path: Path) -> None:
    model = save_chat_model(tmp_path / "model", shape)
    own = HuggingFaceTokenizer(model, chat_template=True, system="Be brief.")
    rows = [Prompt("hello", metadata={"pay": 1.0}), Prompt("he wrote well", metadata={"pay": 2.0})]
    kwargs = {"tokenizer": own, "prompts": rows, "reward": PerText(paid_by_row), "max_new_tokens": 6}
    envs = textgym.EnvFactory("TextGen-v0", kwargs)
    data = trl.dataset(envs, size=8)
    assert data[1]["prompt"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "he wrote well"},
    ]
    config = {"per_device_train_batch_size": 8, "num_generations": 4, "max_completion_length": 6}
    trainer = GRPOTrainer(
        AutoModelForCausalLM.from_pretrained(model),
        trl.reward_function(envs, processing_class=own.backend),
        args=GRPOConfig(str(tmp_path / "out"), **QUIET, **config),
        train_dataset=data,
        processing_class=own.backend,
        rollout_func=trl.rollout_function(envs),
    )
    found = write(trainer, list(data["prompt"][:2]))
    told = own.backend.apply_chat_template(list(data["prompt"][:2]), add_generation_prompt=True, tokenize=True)
    assert found["prompt_ids"] == told["input_ids"]
    trainer.train()
    assert trainer.state.log_history[0]["reward"] in (1.0, 1.5, 2.0)


def test_rollouts_differ_by_call_and_repeat_by_seed(tmp_path: Path) -> None:
    envs = textgym.EnvFactory("TextGen-v0")
    trainer = make_trainer(envs, tmp_path)
    prompts = list(trl.dataset(envs, size=16)["prompt"])
    one, two = write(trainer, prompts), write(trainer, prompts)
    trainer.rollout_func = trl.rollout_function(envs, seed=0)
    assert write(trainer, prompts) == one != two
    trainer.rollout_func = trl.rollout_function(envs, seed=1)
    assert write(trainer, prompts)["completion_ids"] != one["completion_ids"]
    assert trainer.model.training is trainer.model_wrapped.training


def test_conversations_are_written_and_only_the_agents_tokens_learned(tmp_path: Path) -> None:
    envs = textgym.EnvFactory("TextGen/Dialogue-v0")
    trainer = make_trainer(envs, tmp_path)
    seen: list[dict[str, list[Any]]] = []
    rollout = trainer.rollout_func

    def watched(prompts: list[Any], trainer: Any) -> dict[str, list[Any]]:
        seen.append({name: list(column) for name, column in rollout(prompts, trainer).items()})
        return {name: list(column) for name, column in seen[-1].items()}

    trainer.rollout_func = watched
    before = {name: value.clone() for name, value in trainer.model.named_parameters()}
    trainer.train()
    assert any(not torch.equal(value, before[name]) for name, value in trainer.model.named_parameters())
    (found,) = seen
    masks = found["env_mask"]
    assert [len(mask) for mask in masks] == [len(ids) for ids in found["completion_ids"]]
    assert any(re.match("1+0+1+", "".join(map(str, mask))) for mask in masks)  # a turn, a reply, another turn
    replied = [
        [t for t, own in zip(*pair, strict=True) if not own]
        for pair in zip(found["completion_ids"], masks, strict=True)
    ]
    names = envs.task().tokenizer.tokens
    assert {names[ids[0]] for ids in replied if ids} <= SAID
    assert all(
        value == 0.0
        for mask, row in zip(masks, found["logprobs"], strict=True)
        for own, value in zip(mask, row, strict=True)
        if not own
    )
    logged = trainer.state.log_history[0]
    assert logged["textgym/illegal"] == 0.0
    assert logged["completions/mean_length"] == pytest.approx(np.mean([sum(mask) for mask in masks]))


def test_what_is_never_allowed_has_no_chance_in_trl_either(tmp_path: Path) -> None:
    envs = textgym.EnvFactory("TextGen-v0")
    trainer = make_trainer(envs, tmp_path, rollouts=False)
    saved = set(trainer.model.state_dict())
    assert trl.forbid(trainer.model, envs) is trainer.model
    assert set(trainer.model.state_dict()) == saved
    task = envs.task()
    legal = textgym.EnvFactory("TextGen-v0").single().unwrapped.action_masks()  # type: ignore[attr-defined]
    illegal = [*np.flatnonzero(~legal).tolist(), task.tokenizer.vocab_size]  # <unk>, words of prompts, the begin token
    with torch.no_grad():
        chances = trainer.model(torch.tensor([[task.tokenizer.vocab_size, 3]])).logits.softmax(-1)[0]
    assert (chances[:, illegal] == 0.0).all()
    assert (chances > 0.0).sum() == 2 * (len(chances[0]) - len(illegal))
    trainer.train()
    assert trainer.state.log_history[0]["textgym/illegal"] == 0.0
    with pytest.raises(ConfigurationError, match="has a bias of its own"):
        trl.forbid(trainer.model, envs)


def test_trl_writes_by_itself_too(tmp_path: Path) -> None:
    trainer = make_trainer(textgym.EnvFactory("TextGen-v0", {"gold": True}), tmp_path, rollouts=False)
    trainer.train()
    logged = trainer.state.log_history[0]
    assert math.isfinite(logged["rewards/TextGen-v0/mean"])
    assert logged["reward"] == logged["rewards/TextGen-v0/mean"]
    assert "textgym/gold" in logged
    assert logged["textgym/illegal"] > 0.0  # nobody keeps it from writing the begin token


def test_what_rollouts_cannot_do_is_said(tmp_path: Path) -> None:
    envs = textgym.EnvFactory("TextGen-v0")
    with pytest.raises(
        ConfigurationError, match=re.escape("top_k=5: rollouts draw from all legal tokens; leave it at 0")
    ):
        make_trainer(envs, tmp_path, top_k=5).train()
    trainer = make_trainer(envs, tmp_path)
    trainer.rollout_func = trl.rollout_function("TextGen/Brackets-v0")
    with pytest.raises(ConfigurationError, match="a token id of the environment must be a token id of the model"):
        write(trainer, [trl.dataset("TextGen/Brackets-v0")[0]["prompt"]])
    with pytest.raises(ConfigurationError, match="lanes=0"):
        trl.rollout_function("TextGen-v0", lanes=0)


def test_a_model_that_counts_padding_is_warned_of(tmp_path: Path) -> None:
    envs = textgym.EnvFactory("TextGen-v0")
    trainer, prompts = make_trainer(envs, tmp_path), list(trl.dataset(envs, size=4)["prompt"])
    torch.manual_seed(0)
    shape = {"vocab_size": len(trainer.processing_class), "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 32}
    trainer.model_wrapped = GPT2LMHeadModel(GPT2Config(**shape, initializer_range=0.5, eos_token_id=0, bos_token_id=0))
    with pytest.warns(UserWarning, match="GPT2LMHeadModel counts padding as positions"):
        assert len(write(trainer, prompts)["completion_ids"]) == 4


def test_rows_with_the_same_text_take_turns(tmp_path: Path) -> None:
    rows = [Prompt("praise the movie", metadata={"pay": float(number)}) for number in range(3)]
    envs = textgym.EnvFactory("TextGen-v0", {"prompts": rows, "reward": PerText(paid_by_row)})
    trainer = make_trainer(envs, tmp_path)
    pays, chosen = trl.reward_function(envs), set()
    for _ in range(12):
        found = write(trainer, ["praise the movie"] * 4)
        assert len(set(found["prompt_index"])) == 1  # what is compared is alike
        paid = pays(completion_ids=found["completion_ids"], prompt_index=found["prompt_index"])
        assert paid == [float(row) for row in found["prompt_index"]]
        chosen |= set(found["prompt_index"])
    assert chosen == {0, 1, 2}


def paid_by_row(prompt: str, completion: str, reference: str | None, pay: float) -> float:
    return pay


def test_a_missing_or_other_trl_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr("textgym.integrations._versions.version", missing)
    monkeypatch.delitem(sys.modules, "textgym.integrations.trl")
    with pytest.raises(MissingDependencyError, match=r"pip install 'textgym\[trl\]'"):
        importlib.import_module("textgym.integrations.trl")
    monkeypatch.setattr("textgym.integrations._versions.version", lambda package: "0.24.0")
    with pytest.raises(
        ConfigurationError, match=re.escape("trl 0.24.0 is installed, and textgym works with trl>=1.16,<1.17")
    ):
        importlib.import_module("textgym.integrations.trl")


# ---- preference files ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A label database in which one person has judged twelve pairs."""
    db = tmp_path_factory.mktemp("labels") / "labels.sqlite"
    command("label", "create", db, "--policy", "mixed", "--pairs", "12", "--checks", "0", "--seed", "3")
    link = command("label", "invite", db, "Ann", "--url", "http://127.0.0.1:8000/")[0]
    with Store(db) as store:
        person = store.annotator_of(link.rsplit("/", 1)[1])
        assert person is not None
        vote(store, person.id, "right", most=9)
        vote(store, person.id, "tie", most=3)
    return db


def command(*words: str | Path) -> list[str]:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    lines: list[str] = result.output.splitlines()
    return lines


@pytest.fixture(params=["trl", "trl_messages"])
def preferences(request: pytest.FixtureRequest, labels: Path, tmp_path: Path) -> Any:
    """What ``textgym label export`` writes, as anybody would load it."""
    file = tmp_path / "preferences.jsonl"
    command("label", "export", labels, "--out", file, "--format", request.param)
    found = load_dataset("json", data_files=str(file), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(found) >= 6
    assert set(found.column_names) == {"prompt", "chosen", "rejected"}
    return found


def test_label_files_feed_the_reward_trainer(preferences: Any, tmp_path: Path) -> None:
    tokenizer = trl.tokenizer("TextGen-v0")
    model = small_model(tokenizer, LlamaForSequenceClassification, num_labels=1, pad_token_id=tokenizer.pad_token_id)
    before = model.score.weight.detach().clone()
    args = RewardConfig(str(tmp_path), **QUIET, per_device_train_batch_size=8)
    trainer = RewardTrainer(model, args=args, train_dataset=preferences, processing_class=tokenizer)
    trainer.train()
    assert math.isfinite(trainer.state.log_history[0]["loss"])
    assert not torch.equal(before, model.score.weight)
    ends = {ids[-1] for ids in trainer.train_dataset["chosen_ids"]}
    assert ends == {tokenizer.eos_token_id}


def test_label_files_feed_the_dpo_trainer(preferences: Any, tmp_path: Path) -> None:
    tokenizer = trl.tokenizer("TextGen-v0")
    model = small_model(tokenizer)
    before = model.lm_head.weight.detach().clone()
    args = DPOConfig(str(tmp_path), **QUIET, per_device_train_batch_size=8)
    reference = small_model(tokenizer)
    trainer = DPOTrainer(model, reference, args=args, train_dataset=preferences, processing_class=tokenizer)
    trainer.train()
    assert math.isfinite(trainer.state.log_history[0]["loss"])
    assert not torch.equal(before, model.lm_head.weight)


# ---- examples -----------------------------------------------------------------------------------------------------


def test_the_grpo_example_trains(tmp_path: Path) -> None:
    script = load_script("docs/examples/trl_grpo.py")
    envs = textgym.EnvFactory("TextGen-v0", {"level": "tiny"})
    trainer = script.train(envs, 10, 0, texts=64, folder=tmp_path)
    rewards = [row["reward"] for row in trainer.state.log_history if "reward" in row]
    illegal = [row["textgym/illegal"] for row in trainer.state.log_history if "reward" in row]
    assert len(rewards) == 1
    assert illegal == [0.0]
    act = script.player(trainer, envs)
    masks = np.zeros((2, 7), dtype=bool)
    masks[:, 2:4] = True
    seen = np.full((2, 8), 7)
    assert set(act(seen, masks).tolist()) <= {2, 3}


def test_the_reward_model_example_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script, envs = load_script("docs/examples/trl_reward_model.py"), textgym.EnvFactory("TextGen-v0")
    script.write_preferences(envs, tmp_path / "preferences.jsonl", 400, 0)
    assert "400 comparisons in 400 rows" in capsys.readouterr().out
    accuracy = script.train(envs, tmp_path / "preferences.jsonl", tmp_path / "model", 40, 0)
    assert accuracy > 0.6
    assert script.correlate(envs, tmp_path / "model", 0) > 0.3


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_grpo_masters_the_default_task(seed: int, tmp_path: Path) -> None:
    script = load_script("docs/examples/trl_grpo.py")
    envs = textgym.EnvFactory("TextGen-v0")
    trainer = script.train(envs, script.STEPS, seed, folder=tmp_path)
    found = textgym.evaluate(script.player(trainer, envs), envs, episodes=500)
    assert found.normalized is not None
    assert found.normalized >= 0.85
    assert all(row["textgym/illegal"] == 0.0 for row in trainer.state.log_history if "reward" in row)
