"""Text environments with token actions: sends, masks, ends, the history, the lanes, and what is refused."""

from __future__ import annotations

import copy
import warnings
from importlib import import_module
from importlib.metadata import PackageNotFoundError
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st

from textgym.agents.registry import make_agent
from textgym.errors import (
    ActionError,
    ConfigurationError,
    EpisodeOverError,
    MissingDependencyError,
    TaskError,
    TokenizerError,
    UnknownNameError,
)
from textgym.integrations._versions import require
from textgym.integrations.commands import command_tree
from textgym.integrations.text_spaces import AnyText
from textgym.integrations.token_history import TokenHistory
from textgym.integrations.tokenized import TokenizedEnv, TokenizedFactory, TokenizedVectorEnv
from textgym.tokenizers import ByteTokenizer, CharTokenizer, WordTokenizer

SECRETS = ("ab", "ba", "bb")
END, UNK, PAD = 2, 3, 4  # of CharTokenizer("ab")


class Parrot(gym.Env[str, str]):
    """Shows a word, answers what it is told, and ends after three answers; pays 1 for the word and 0.5 for another."""

    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 4}  # noqa: RUF012

    def __init__(self, *, least: int = 1, longest: int = 3, commands: Any = None, both: bool = False) -> None:
        self.action_space = spaces.Text(longest, min_length=least, charset="ab")
        self.observation_space = spaces.Text(20, min_length=0, charset="ab!")
        self.render_mode = "ansi"
        self.commands, self.both = commands, both
        self.shared: list[int] = []
        self.told: list[str] = []
        self.asked: list[Any] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        self.asked.append((seed, options))
        self.told = []
        self.secret = (options or {}).get("secret") or str(self.np_random.choice(SECRETS))
        return self.secret, self.info()

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        assert action in self.action_space
        self.told.append(action)
        over = len(self.told) == 3
        return f"{action}a", 1.0 if action == self.secret else 0.5, over, over and self.both, self.info()

    def info(self) -> dict[str, Any]:
        return {"shared": self.shared, **({} if self.commands is None else {"admissible_commands": self.commands})}

    def render(self) -> str:
        return f"told {self.told}"


def make(tokenizer: Any = None, *, unknown: str = "keep", **kwargs: Any) -> TokenizedEnv:
    parrot = {name: kwargs.pop(name) for name in ("least", "longest", "both") if name in kwargs}
    if isinstance(kwargs.get("commands"), list):
        parrot["commands"] = kwargs.pop("commands")
    options: dict[str, Any] = {"max_new_tokens": 4, "context_tokens": 6, **kwargs}
    return TokenizedEnv(Parrot(**parrot), tokenizer or CharTokenizer("ab"), unknown=unknown, **options)


def write(env: TokenizedEnv, *tokens: int) -> Any:
    """The result of the last of these steps; all before it must pay nothing and end nothing."""
    for token in tokens[:-1]:
        _, reward, terminated, truncated, info = env.step(token)
        assert (reward, terminated, truncated) == (0.0, False, False)
        assert set(info) == {"action_mask"}
    return env.step(tokens[-1])


# ---- writing and sending ------------------------------------------------------------------------------------------


def test_the_end_token_sends_what_was_written() -> None:
    env = make()
    observation, info = env.reset(seed=0, options={"secret": "ba"})
    assert observation.tolist() == [PAD] * 4 + [1, 0] + [PAD] * 4
    assert info["reply"] == "ba"
    assert env.step(1)[0].tolist() == [PAD] * 4 + [1, 0] + [1, PAD, PAD, PAD]
    observation, reward, terminated, truncated, info = write(env, 0, END)
    assert (reward, terminated, truncated) == (1.0, False, False)
    assert (info["utterance"], info["utterance_end"], info["reply"]) == ("ba", "eos", "baa")
    assert info["lost_tokens"] == 2  # of ba, ba<eos>, baa, which are eight, in a context of six
    assert observation.tolist() == [1, 0, END, 1, 0, 0] + [PAD] * 4
    assert env.env.told == ["ba"]


def test_types_are_pythons_own() -> None:
    env = make(both=True)
    env.reset(seed=0)
    for _ in range(2):
        write(env, 0, END)
    _, reward, terminated, truncated, info = write(env, 0, END)
    assert type(reward) is float
    assert (terminated, truncated) == (True, True)  # the environment's own, kept apart
    assert type(terminated) is type(truncated) is bool
    assert info["num_tokens"] == 6
    assert info["stop_reason"] == "stop"


def test_an_outside_limit_is_a_truncation() -> None:
    env = TokenizedEnv(gym.wrappers.TimeLimit(Parrot(), 2), CharTokenizer("ab"), unknown="keep")
    env.reset(seed=0)
    assert write(env, 0, END)[2:4] == (False, False)
    *_, terminated, truncated, info = write(env, 0, END)
    assert (terminated, truncated, info["stop_reason"]) == (False, True, "truncated")
    with pytest.raises(EpisodeOverError, match="reset"):
        env.step(0)


def test_a_full_budget_sends_what_there_is() -> None:
    env = make(max_new_tokens=2)
    env.reset(seed=0, options={"secret": "ab"})
    observation, reward, _, _, info = write(env, 0, 1)
    assert (reward, info["utterance"], info["utterance_end"]) == (1.0, "ab", "length")
    assert observation.tolist() == [1, 0, 1, 0, 1, 0] + [PAD] * 2  # no end token, since none was written


def test_a_text_as_long_as_the_space_allows_is_sent() -> None:
    env = make(max_new_tokens=4, longest=3)
    env.reset(seed=0)
    *_, info = write(env, 0, 0, 1)
    assert (info["utterance"], info["utterance_end"]) == ("aab", "length")


def test_longer_words_are_cut_to_the_longest_text() -> None:
    env = TokenizedEnv(Parrot(longest=3), WordTokenizer(["ab", "abba"]), unknown="keep")
    env.reset(seed=0)
    assert env.step(1)[-1]["utterance"] == "abb"


def test_an_utterance_that_is_no_text_of_the_space_ends_illegally() -> None:
    env = TokenizedEnv(Parrot(longest=9), WordTokenizer(["a", "b"]), unknown="keep", max_new_tokens=2)
    env.reset(seed=0)
    env.step(0)
    assert env.action_masks().tolist() == [True, True, True, False]
    _, reward, terminated, _, info = env.step(1)  # "a b", and the space knows no blank
    assert (reward, terminated, info["stop_reason"]) == (-1.0, True, "illegal")
    assert env.env.told == []


def test_the_end_waits_for_the_shortest_text() -> None:
    env = make(least=2)
    env.reset(seed=0)
    assert not env.action_masks()[END]
    assert not env.step(0)[-1]["action_mask"][END]
    assert env.step(0)[-1]["action_mask"][END]


def test_an_empty_text_may_be_sent_where_the_space_has_it() -> None:
    env = make(least=0)
    env.reset(seed=0)
    assert env.step(END)[-1]["utterance"] == ""


@pytest.mark.parametrize("token", [UNK, END])
def test_a_forbidden_token_ends_the_episode_and_reaches_nobody(token: int) -> None:
    env = make(illegal_reward=-3.0)
    env.reset(seed=0)
    observation, reward, terminated, truncated, info = env.step(token)
    assert (reward, terminated, truncated) == (-3.0, True, False)
    assert (info["stop_reason"], info["num_tokens"]) == ("illegal", 1)
    assert observation[6] == token
    assert env.env.told == []
    with pytest.raises(EpisodeOverError):
        env.step(0)
    env.reset()
    assert env.step(0)[2] is False


@pytest.mark.parametrize(("action", "what"), [(5, "0 to 3"), (-1, "0 to 3"), (0.5, "float"), ("a", "str")])
def test_no_token(action: Any, what: str) -> None:
    env = make()
    env.reset(seed=0)
    with pytest.raises(ActionError, match=what):
        env.step(action)


def test_no_step_before_the_first_reset() -> None:
    with pytest.raises(EpisodeOverError, match="reset"):
        make().step(0)


def test_tokens_whose_characters_the_space_has_not_are_never_legal() -> None:
    env = TokenizedEnv(Parrot(), CharTokenizer("xab"), unknown="keep")
    assert env.action_masks().tolist() == [False, True, True, False, False]  # before the first reset, too
    with pytest.raises(ConfigurationError, match="no token"):
        TokenizedEnv(Parrot(), CharTokenizer("xyz"))


# ---- masks of admissible commands ---------------------------------------------------------------------------------

COMMANDS = st.lists(st.text("ab", min_size=0, max_size=4), min_size=1, max_size=6)


@given(COMMANDS, st.text("ab", max_size=4))
def test_exactly_the_beginnings_of_commands_may_be_written(commands: list[str], text: str) -> None:
    tokenizer = CharTokenizer("ab")
    node = command_tree(commands, tokenizer, 4)
    for position, token in enumerate(tokenizer.encode(text)):
        begun = [command for command in commands if command.startswith(text[:position])]
        assert set(node.children) == {tokenizer.encode(command[position])[0] for command in begun if command[position:]}
        assert node.command == (text[:position] if text[:position] in commands else None)
        if token not in node.children:
            break
        node = node.children[token]


@given(COMMANDS, st.integers(0, 99))
def test_play_under_the_mask_says_nothing_but_commands(commands: list[str], seed: int) -> None:
    env = make(commands=commands, longest=4, least=0)
    env.reset(seed=seed)
    rng = np.random.default_rng(seed)
    over = False
    while not over:
        legal = np.flatnonzero(env.action_masks())
        assert len(legal)
        _, _, over, _, info = env.step(rng.choice(legal))
        assert info["action_mask"].tolist() == env.action_masks().tolist()
    assert info["stop_reason"] == "stop"
    assert set(env.env.told) <= set(commands)


def test_a_command_is_sent_as_the_environment_spells_it() -> None:
    spelt = "Take  the KEY!"
    tokenizer = WordTokenizer(["Take", "the", "KEY", "!"])
    assert tokenizer.decode(tokenizer.encode(spelt)) != spelt
    node = command_tree([spelt], tokenizer, 8)
    for token in tokenizer.encode(spelt):
        node = node.children[token]
    assert node.command == spelt


def test_commands_of_a_function_and_of_another_key() -> None:
    asked = make(commands=lambda env: [env.unwrapped.secret])
    asked.reset(seed=0, options={"secret": "bb"})
    assert asked.action_masks().tolist() == [False, True, False, False]
    keyed = TokenizedEnv(Parrot(commands=["a"]), CharTokenizer("ab"), commands="moves", unknown="keep")
    keyed.reset(seed=0)
    assert keyed.action_masks()[:2].all()
    never = TokenizedEnv(Parrot(commands=["a"]), CharTokenizer("ab"), commands=None, unknown="keep")
    never.reset(seed=0)
    assert never.action_masks()[:2].all()


def test_without_a_single_command_everything_may_be_said() -> None:
    env = make(commands=[])
    env.reset(seed=0)
    assert env.action_masks().tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    ("commands", "error", "what"),
    [
        (["a", "ax"], TokenizerError, "'ax' has words that the vocabulary has not"),
        (["aaaaa"], TokenizerError, "5 tokens, and max_new_tokens=4"),
        ([1], ConfigurationError, "expected a list of texts"),
    ],
)
def test_commands_that_nobody_can_write(commands: Any, error: type[Exception], what: str) -> None:
    env = make(commands=commands)
    with pytest.raises(error, match=what):
        env.reset(seed=0)
    with pytest.raises(EpisodeOverError):  # nothing has begun
        env.step(0)


def test_a_text_is_no_list_of_commands() -> None:
    with pytest.raises(ConfigurationError, match="expected a list of texts"):
        make(commands=lambda env: "ab").reset(seed=0)


def test_commands_that_the_ids_cannot_tell_apart() -> None:
    with pytest.raises(TokenizerError, match="same token ids"):
        command_tree(["go north", "go  north"], WordTokenizer(["go", "north"]), 4)


# ---- what is seen -------------------------------------------------------------------------------------------------


def test_the_newest_text_alone() -> None:
    env = make(keep_history=False)
    env.reset(seed=0)
    observation = write(env, 0, 1, END)[0]
    assert observation.tolist() == [PAD] * 3 + [0, 1, 0] + [PAD] * 4


def test_nothing_of_an_episode_is_left_in_the_next() -> None:
    played, fresh = make(), make()
    played.reset(seed=0)
    write(played, 0, 1, END)
    played.step(1)
    left, new = played.reset(seed=7), fresh.reset(seed=7)
    assert left[0].tolist() == new[0].tolist()
    assert left[1]["action_mask"].tolist() == new[1]["action_mask"].tolist()
    assert played.history.lost_tokens == 0


def test_what_falls_out_of_the_context_is_counted() -> None:
    env = make(context_tokens=4)
    env.reset(seed=0)
    lost = [write(env, 0, 1, END)[-1]["lost_tokens"] for _ in range(3)]
    assert lost == [2 + 3 + 3 - 4, 2 + 12 - 4, 2 + 18 - 4]


def test_dict_and_one_hot_show_the_same() -> None:
    envs = {kind: make(observation=kind) for kind in ("tokens", "dict", "one_hot")}
    seen = {}
    for kind, env in envs.items():
        env.reset(seed=3)
        write(env, 0, END)
        seen[kind] = env.step(1)[0]
        assert env.observation_space.contains(seen[kind])
    tokens = seen["tokens"]
    assert seen["dict"]["tokens"].tolist() == tokens.tolist()
    assert seen["dict"]["attention_mask"].tolist() == (tokens != PAD).astype(int).tolist()
    assert seen["dict"]["action_mask"].tolist() == envs["dict"].action_masks().astype(int).tolist()
    assert seen["one_hot"].reshape(-1, PAD + 1).argmax(axis=1).tolist() == tokens.tolist()
    with pytest.raises(UnknownNameError, match="tokens"):
        make(observation="token")


def test_large_vocabularies_are_seen_as_dicts() -> None:
    env = make(CharTokenizer(["a", "b", *map(chr, range(0x4E00, 0x4E00 + 1_100))]))
    assert isinstance(env.observation_space, spaces.Dict)
    assert env.action_masks().sum() == 2  # the rest is not in the space; the end waits


def test_seed_and_options_are_handed_on() -> None:
    env = make()
    options = {"secret": "bb"}
    assert env.reset(seed=11, options=options)[1]["reply"] == "bb"
    env.reset()
    assert env.env.asked == [(11, {"secret": "bb"}), (None, None)]
    words = [make().reset(seed=seed)[1]["reply"] for seed in range(20)]
    assert set(words) == set(SECRETS)
    assert words == [make().reset(seed=seed)[1]["reply"] for seed in range(20)]


@pytest.mark.parametrize("unknown", ["warn", "keep", "error"])
def test_text_outside_the_vocabulary(unknown: str) -> None:
    env = make(CharTokenizer("b"), unknown=unknown)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if unknown == "error":
            with pytest.raises(TokenizerError, match="1 of 2 tokens of the text 'ab'"):
                env.reset(options={"secret": "ab"})
            return
        observation, _ = env.reset(seed=0, options={"secret": "ab"})
        env.reset(options={"secret": "ab"})
    assert observation[4:6].tolist() == [2, 0]
    assert env.history.unknown_tokens == 2
    assert [str(one.message)[:24] for one in caught] == (
        ["1 of 2 tokens of the text"[:24]] if unknown == "warn" else []
    )


# ---- the protocol -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("observation", ["tokens", "dict", "one_hot"])
@pytest.mark.parametrize("commands", [None, ["a", "ab"]])
def test_gymnasiums_checker_passes(observation: str, commands: Any) -> None:
    env = make(observation=observation, **({} if commands is None else {"commands": commands}))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have a spec.*|.*not having a spec.*")
        check_env(env)
    assert env.render() == "told []"


def test_observations_masks_and_infos_are_fresh() -> None:
    env = make()
    before, info = env.reset(seed=0)
    kept = before.copy(), info["action_mask"].copy()
    info["shared"].append(1)
    info["action_mask"][:] = 0
    env.action_masks()[:] = False
    write(env, 0, 1, END)[-1]["shared"].append(1)
    *_, later = write(env, 0, 1, END)
    assert before.tolist() == kept[0].tolist()
    assert later["shared"] == []
    assert env.action_masks()[0]


def test_a_copy_in_mid_episode_goes_on_alike() -> None:
    env = make()
    env.reset(seed=0)
    env.step(0)
    twin = copy.deepcopy(env)
    left, right = write(env, 1, END), write(twin, 1, END)
    assert left[0].tolist() == right[0].tolist()
    assert left[1:4] == right[1:4]


class NoText(Parrot):
    """An environment of another kind."""

    def __init__(self, **spaces_: Any) -> None:
        super().__init__()
        vars(self).update(spaces_)


@pytest.mark.parametrize(
    ("env", "what"),
    [
        (NoText(observation_space=spaces.Box(0, 255, (8, 8, 3), np.uint8)), r"(?s)Box.*\(images\).*expected.*Text"),
        (NoText(action_space=spaces.Discrete(3)), r"actions Discrete\(3\).*expected.*Text"),
        (NoText(observation_space=spaces.Dict({"text": AnyText(3)})), r"(?s)observations Dict.*expected.*Text"),
        ("Parrot-v0", "no gymnasium.Env"),
    ],
)
def test_environments_without_text_are_refused(env: Any, what: str) -> None:
    with pytest.raises(ConfigurationError, match=what):
        TokenizedEnv(env, CharTokenizer("ab"))


def test_an_observation_that_is_no_text() -> None:
    class Broken(Parrot):
        def step(self, action: str) -> Any:
            return (None, *super().step(action)[1:])

    env = TokenizedEnv(Broken(), CharTokenizer("ab"), unknown="keep")
    env.reset(seed=0)
    with pytest.raises(TaskError, match="NoneType: expected text"):
        write(env, 0, END)


@pytest.mark.parametrize("sizes", [{"max_new_tokens": 0}, {"context_tokens": 0}, {"context_tokens": True}])
def test_sizes(sizes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="at least 1"):
        make(**sizes)


def test_other_arguments_are_checked() -> None:
    with pytest.raises(ConfigurationError, match="tokenizer"):
        TokenizedEnv(Parrot(), "word")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="error"):
        TokenHistory(CharTokenizer("ab"), 1, 1, keep=True, unknown="eror")


def test_bytes_of_one_character_may_be_written_one_by_one() -> None:
    class Accents(Parrot):
        def __init__(self) -> None:
            super().__init__()
            self.action_space = spaces.Text(3, charset="é")

    env = TokenizedEnv(Accents(), ByteTokenizer(), unknown="keep")
    env.reset(seed=0)
    first, second = "é".encode()
    assert not env.action_masks()[ord("a")]
    assert not env.step(first)[-1]["action_mask"][256]
    assert env.step(second)[-1]["action_mask"][256]
    assert env.step(256)[-1]["utterance"] == "é"


def test_any_text() -> None:
    space = AnyText(4)
    assert "żó🐢" in space
    assert "" in space
    assert "12345" not in space
    assert 3 not in space
    assert space.sample() in space


# ---- lanes and agents ---------------------------------------------------------------------------------------------


def test_lanes_are_the_single_environments() -> None:
    envs = TokenizedVectorEnv([make] * 3, autoreset_mode="SameStep")
    rng = np.random.default_rng(0)
    observations, _ = envs.reset(seed=5)
    singles = [make() for _ in range(3)]
    alone = [env.reset(seed=5 + lane)[0] for lane, env in enumerate(singles)]
    for _ in range(40):
        np.testing.assert_array_equal(observations, np.stack(alone))
        masks = envs.action_masks()
        np.testing.assert_array_equal(masks, np.stack([env.action_masks() for env in singles]))
        actions = np.array([rng.choice(np.flatnonzero(mask)) for mask in masks])
        observations, rewards, terminated, _, _ = envs.step(actions)
        for lane, env in enumerate(singles):
            alone[lane], reward, ended, _, _ = env.step(actions[lane])
            assert (reward, ended) == (rewards[lane], terminated[lane])
            alone[lane] = env.reset()[0] if ended else alone[lane]


def test_textgyms_agents_learn_in_it() -> None:
    envs = TokenizedFactory(lambda: make(commands=list(SECRETS), context_tokens=32))
    uniform, table = make_agent("uniform", seed=0), make_agent("q_learning", seed=0)
    uniform.learn(envs, 128)
    table.learn(envs, 20_000)
    earned = [mean_return(agent, envs, 10) for agent in (uniform, table)]
    assert earned[1] > 2.8  # of 3
    assert earned[0] < 2.3


def mean_return(agent: Any, envs: TokenizedFactory, episodes: int) -> float:
    """What an agent earns in some games of its own."""
    total = 0.0
    env = envs.single()
    for seed in range(episodes):
        observation, over = env.reset(seed=seed)[0], False
        while not over:
            action = agent.act(observation[None], env.action_masks()[None])[0]
            observation, reward, over, _, _ = env.step(action)
            total += reward
    return total / episodes


@pytest.mark.slow
def test_maskable_ppo_learns_in_it() -> None:
    contrib = pytest.importorskip("sb3_contrib")
    envs = TokenizedFactory(lambda: make(commands=list(SECRETS), context_tokens=20))
    options: dict[str, Any] = {"n_steps": 512, "batch_size": 256, "learning_rate": 5e-3, "gamma": 1.0, "device": "cpu"}
    model = contrib.MaskablePPO("MlpPolicy", envs.single(), seed=0, **options)
    model.learn(10_240)

    class Learnt:
        def act(self, observations: Any, masks: Any) -> Any:
            return model.predict(observations, action_masks=masks, deterministic=True)[0]

    assert mean_return(Learnt(), envs, 20) > 2.8


# ---- versions -----------------------------------------------------------------------------------------------------


def test_versions_are_asked_for() -> None:
    require("numpy", "sb3", "1.0", "99")
    with pytest.raises(ConfigurationError, match=r"numpy>=98,<99"):
        require("numpy", "sb3", "98", "99")
    with pytest.raises(ConfigurationError, match=r"numpy>=0.1,<0.2"):
        require("numpy", "sb3", "0.1", "0.2")
    with pytest.raises(MissingDependencyError, match=r"pip install 'textgym\[sb3\]'"):
        require("no-such-package-of-textgym", "sb3", "1", "2")


@pytest.mark.parametrize(("name", "adapter"), [("textarena", "TextArenaEnv"), ("textworld", "TextWorldEnv")])
def test_a_missing_library_is_named_with_the_pip_line(name: str, adapter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr("textgym.integrations._versions.version", missing)
    with pytest.raises(MissingDependencyError, match=rf"pip install 'textgym\[{name}\]'"):
        getattr(import_module(f"textgym.integrations.{name}"), adapter)("game")
