"""What a user may ask for, and what is said of the rest."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from toys import COMBINED, MANY, PLAIN, TOYS, Noisy, Recorder, Weighted, toy

from textgym import tasks
from textgym.configuration import OBSERVATIONS, REWARD_TIMINGS, configure
from textgym.env import TextGenerationEnv
from textgym.errors import ConfigurationError, PromptError, TaskError, TextGymError, TokenizerError, UnknownNameError
from textgym.tokenizers import ByteTokenizer, CharTokenizer, WordTokenizer
from textgym.vector_env import TextGenerationVectorEnv


def make_any(kind: str, **kwargs: Any) -> Any:
    """A single or a vector environment of the toy, or of the task named."""
    kwargs.setdefault("task", PLAIN)
    return TextGenerationEnv(**kwargs) if kind == "single" else TextGenerationVectorEnv(num_envs=2, **kwargs)


BAD = {
    "task": ({"task": "Revews"}, UnknownNameError, "Did you mean 'Reviews'"),
    "task type": ({"task": 7}, ConfigurationError, "expected the name of a task"),
    "level": ({"level": "tow"}, UnknownNameError, "Did you mean 'two'"),
    "keyword": ({"rewrad": None}, UnknownNameError, "unknown argument 'rewrad'. Did you mean 'reward'"),
    "keyword of make": ({"rendermode": "ansi"}, UnknownNameError, "Did you mean 'render_mode'"),
    "observation": ({"observation": "token"}, UnknownNameError, "Did you mean 'tokens'"),
    "split": ({"split": "tset"}, UnknownNameError, "Did you mean 'test'"),
    "no such split": ({"split": "train", "prompts": ["a"], "reward": Weighted()}, PromptError, "declare no splits"),
    "reward timing": ({"reward_timing": "steps"}, UnknownNameError, "Did you mean 'step'"),
    "noisy reward by step": ({"reward_timing": "step", "reward": Noisy()}, ConfigurationError, "deterministic"),
    "on_reward_error": ({"on_reward_error": "marks"}, UnknownNameError, "Did you mean 'mark'"),
    "reward": ({"reward": "exact_mach"}, UnknownNameError, "Did you mean 'exact_match'"),
    "reward type": ({"reward": 3}, ConfigurationError, "expected a function"),
    "tokenizer": ({"tokenizer": "words"}, UnknownNameError, "Did you mean 'word'"),
    "tokenizer type": ({"tokenizer": object()}, ConfigurationError, "lacks vocab_size"),
    "prompts": ({"prompts": []}, PromptError, "no prompts"),
    "prompts type": ({"prompts": 3}, PromptError, "expected a list, a path or a dict"),
    "prompt file": ({"prompts": "nowhere.csv"}, PromptError, "does not exist"),
    "long prompt": ({"max_prompt_tokens": 2}, PromptError, "prompt 0 .'praise the movie'. has 3 tokens"),
    "no budget": ({"max_new_tokens": 0}, ConfigurationError, "max_new_tokens=0"),
    "half a token": ({"max_new_tokens": 2.5}, ConfigurationError, "max_new_tokens=2.5"),
    "no width": ({"max_prompt_tokens": -1}, ConfigurationError, "max_prompt_tokens=-1"),
    "illegal reward": ({"illegal_reward": math.nan}, ConfigurationError, "illegal_reward=nan"),
    "illegal reward type": ({"illegal_reward": "low"}, ConfigurationError, "illegal_reward='low'"),
    "render mode": ({"render_mode": "depth_array"}, ConfigurationError, "render_mode='depth_array'"),
    "text of bytes": ({"task": TOYS["bytes"], "observation": "text"}, ConfigurationError, "not bytes"),
}


@pytest.mark.parametrize("kind", ["single", "vector"])
@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_say_what_came_and_what_to_do(name: str, kind: str) -> None:
    kwargs, error, message = BAD[name]
    with pytest.raises(error, match=message) as caught:
        make_any(kind, **kwargs)
    assert isinstance(caught.value, TextGymError)


@pytest.mark.parametrize("make", [gym.make, gym.make_vec], ids=["make", "make_vec"])
def test_gymnasium_passes_these_errors_on(make: Any) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'max_new_tokens'"):
        make("TextGen-v0", max_new_token=3)
    with pytest.raises(UnknownNameError, match="Did you mean 'easy'"):
        make("TextGen-v0", level="eazy")
    with pytest.raises(gym.error.Error, match="TextGen"):
        make("TextGen-v7")
    with pytest.raises(gym.error.Error, match="Review"):
        make("TextGen/Review-v0")


@pytest.mark.parametrize("number", [0, -1, True, 2.0, None])
def test_the_number_of_lanes_is_a_whole_number(number: Any) -> None:
    with pytest.raises(ConfigurationError, match="at least 1"):
        TextGenerationVectorEnv(PLAIN, num_envs=number)


def test_an_unknown_autoreset_mode_is_an_error() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'NextStep'"):
        TextGenerationVectorEnv(PLAIN, num_envs=2, autoreset_mode="next_step")


@pytest.mark.parametrize("content", ["", "prompt\n"])
def test_an_empty_prompt_file_is_an_error_that_names_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "prompts.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(PromptError, match=r"prompts\.csv.*no prompts"):
        make_any("single", prompts=str(path))


def test_a_hugging_face_tokenizer_without_an_end_id_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from tiny_models import save_word_tokenizer

    save_word_tokenizer(tmp_path)
    with pytest.raises(TokenizerError, match="no end-of-text token"):
        make_any("single", tokenizer=str(tmp_path), reward=Weighted())


def test_a_tokenizer_object_without_an_end_id_is_refused() -> None:
    tokenizer = ByteTokenizer()
    tokenizer.eos_ids = ()
    with pytest.raises(ConfigurationError, match="no end-of-text id"):
        make_any("single", tokenizer=tokenizer)


# ---- defaults -----------------------------------------------------------------------------------------------------


def test_defaults_follow_the_size_of_the_vocabulary() -> None:
    small, large = configure(PLAIN), configure(TOYS["many"])
    assert (small.observation, small.include_mask) == ("tokens", True)
    assert (large.observation, large.include_mask) == ("dict", False)
    assert configure(TOYS["many, ruled"]).include_mask, "a mask that changes is always told"
    assert configure(TOYS["many"], include_mask=True).include_mask
    assert not configure(PLAIN, include_mask=False).include_mask


@pytest.mark.parametrize(("size", "observation"), [(1024, "tokens"), (1025, "dict")])
def test_the_line_stands_at_1024_ids(size: int, observation: str) -> None:
    tokenizer = WordTokenizer([f"w{number}" for number in range(size - 2)])
    config = configure(toy(prompts=["w1"], tokenizer=tokenizer, constraints=()))
    assert (config.observation, config.include_mask) == (observation, size <= 1024)


def test_declared_splits_train_by_default_and_other_prompts_are_all_used() -> None:
    assert configure(PLAIN).split == "train"
    assert configure(PLAIN, prompts=["praise"]).split == "all"
    mixed = [{"prompt": "praise", "split": "train"}, {"prompt": "pan", "split": "test"}]
    assert configure(PLAIN, prompts=mixed).split == "train"


def test_spaces_do_not_differ_between_splits() -> None:
    spaces = [TextGenerationEnv(PLAIN, split=split).observation_space for split in ("train", "test", "all")]
    assert spaces[0] == spaces[1] == spaces[2]


def test_choices_are_listed_once() -> None:
    assert OBSERVATIONS == ("tokens", "dict", "one_hot", "text")
    assert REWARD_TIMINGS == ("end", "turn", "step")


# ---- overrides ----------------------------------------------------------------------------------------------------


def facts_left(task: Any) -> set[str]:
    known = set()
    for kind in ("reward", "gold"):
        try:
            task.returns("train", kind)
            known.add(kind)
        except TaskError as error:
            assert "overridden" in str(error)  # noqa: PT017 - the reason is what is tested
    return known


@pytest.mark.parametrize(
    ("kwargs", "facts", "gold"),
    [
        ({}, {"reward", "gold"}, True),
        ({"split": "test", "reward_timing": "step", "illegal_reward": -3.0}, {"reward", "gold"}, True),
        ({"max_prompt_tokens": 9}, {"reward", "gold"}, True),
        ({"reward": COMBINED}, {"gold"}, True),
        ({"max_new_tokens": 3}, set(), True),
        ({"reward": COMBINED, "max_new_tokens": 3}, set(), True),
        ({"prompts": ["pan"]}, set(), False),
        ({"tokenizer": "word"}, set(), False),
    ],
)
def test_an_override_drops_the_facts_that_hang_on_it(kwargs: dict[str, Any], facts: set[str], gold: bool) -> None:
    task = configure(PLAIN, **kwargs).task
    assert facts_left(task) == facts
    assert (task.gold is not None) == gold


def test_overrides_leave_the_registered_task_alone() -> None:
    before = tasks.get("Reviews").budget
    configure("Reviews", max_new_tokens=before + 3)
    assert tasks.get("Reviews").budget == before
    assert not tasks.get("Reviews").overridden


def test_a_reward_bound_to_one_vocabulary_refuses_another() -> None:
    with pytest.raises(ConfigurationError, match="another vocabulary.*pass reward= together with tokenizer="):
        configure("Reviews", tokenizer="char")
    with pytest.raises(ConfigurationError, match="another vocabulary"):
        configure(PLAIN, reward={"name": "reviews", "level": "easy"})


def test_a_level_of_a_shipped_reward_follows_the_task() -> None:
    for level in ("tiny", "easy"):
        own = tasks.get("Reviews", level).reward
        assert configure("Reviews", level=level, reward="reviews").task.reward == own


def test_ready_made_tokenizers_are_taken_as_they_are() -> None:
    letters = CharTokenizer("abc")
    config = configure(PLAIN, tokenizer=letters, prompts=["ab", "c"])
    assert config.task.tokenizer is letters
    assert config.task.constraints == ()


def test_rewards_and_tasks_are_not_copied_by_make() -> None:
    recorder = Recorder()
    for env in (gym.make("TextGen-v0", task=PLAIN, reward=recorder), gym.make("TextGen-v0", task=MANY_TASK)):
        task = env.unwrapped.task
        assert task.reward is recorder or task is MANY_TASK
    envs = gym.make_vec("TextGen-v0", num_envs=2, task=PLAIN, reward=recorder)
    assert envs.unwrapped.task.reward is recorder
    assert gym.make_vec("TextGen-v0", num_envs=2, task=MANY_TASK).unwrapped.task.tokenizer is MANY


MANY_TASK = TOYS["many"]


def test_every_environment_counts_its_own_failures() -> None:
    config = configure(PLAIN)
    assert config.scorer() is not config.scorer()


def test_a_configuration_pickles() -> None:
    config = configure(PLAIN, reward=COMBINED, observation="dict")
    twin = pickle.loads(pickle.dumps(config))
    assert (twin.observation, twin.task.reward) == (config.observation, COMBINED)
