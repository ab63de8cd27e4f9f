"""``textgym play``: what a person types, and what they are told."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_cli import textgym
from toys import MANY, PLAIN, TOYS, Faulty, Noisy, Weighted, toy
from typer.testing import CliRunner

from textgym.agents.q_learning import QLearning
from textgym.agents.uniform import Uniform
from textgym.cli import app
from textgym.cli.choices import Choices
from textgym.cli.facts import open_env
from textgym.cli.game import HELP, Game
from textgym.errors import ActionError
from textgym.exact import solve
from textgym.factory import EnvFactory
from textgym.tokenizers import CharTokenizer, WordTokenizer
from textgym.writing import score

TINY = EnvFactory("TextGen-v0", {"level": "tiny"})
PROMPT = "praise the movie"


def factory_of(task: Any, **kwargs: Any) -> EnvFactory:
    return EnvFactory("TextGen-v0", {"task": task, **kwargs})


def say(*lines: str, envs: EnvFactory = TINY, agent: Any = None, prompt: str | None = None, **options: Any) -> str:
    """Plays these lines and returns all that the game says."""
    out = io.StringIO()
    game = Game(open_env(envs), out, agent=agent, **options)
    game.play(io.StringIO("".join(f"{line}\n" for line in lines)), prompt=prompt)
    return out.getvalue()


def numbers(said: str) -> dict[str, list[float]]:
    """The tables of tokens in what was said: token -> its numbers; "not tried" is NaN."""
    rows = re.findall(
        r"^ +\d+  (\S+) +((?:not tried|[+-]\d+\.\d+)(?: +(?:not tried|[+-]\d+\.\d+))*)$", said, re.MULTILINE
    )
    return {
        token: [float(cell) if cell != "not tried" else np.nan for cell in re.findall(r"not tried|\S+", cells)]
        for token, cells in rows
    }


def text_lines(said: str, prompt: str = PROMPT) -> list[str]:
    """The lines that show the text so far."""
    return [line for line in said.splitlines() if line.removeprefix("> ").startswith(f"{prompt} >")]


# ---- writing a text ------------------------------------------------------------------------------------------------


def test_a_text_is_written_token_by_token_and_its_scores_are_said() -> None:
    said = say("was", "very", "great", "<eos>")
    assert [line.split("> ", 1)[1] if "> " in line else "" for line in text_lines(said)][:4] == [
        "",
        "was",
        "was very",
        "was very great",
    ]
    earned = score(TINY, [PROMPT], ["was very great"])[0]
    assert f"{PROMPT} > was very great <eos>  [eos, reward {earned:+.3f}]" in said
    assert f"gold {TINY.task().returns(kind='gold').best:+.3f}" in said
    assert "best text in gold: 'was very great'" in said


@pytest.mark.parametrize(
    ("line", "written"),
    [
        ("great", "great"),
        ("gre", "great"),
        ("3", "great"),
        ("  great", "great"),
        ('"great', "great"),
        ('"great"', "great"),
        ("was very great", "was very great"),
        ("was great <eos>", "was great <eos>  [eos, reward +1.002]"),
    ],
)
def test_names_beginnings_ids_and_whole_texts_write_tokens(line: str, written: str) -> None:
    assert f"{PROMPT} > {written}" in text_lines(say(line))


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("greta", "Did you mean 'great'?"),
        ("movie", "movie may not be written here"),
        ("10", "<unk> may not be written here"),
        ("11", "there is no id 11: they go from 0 to 10"),
        ("xyzzy", "no token begins with 'xyzzy'"),
        ("was grat", "no token begins with 'was grat'"),
        ('"3', "no token begins with '3'"),
        ("/zz", "no token that may be written here contains 'zz'"),
        ("a", "there is no agent"),
        ("u", "nothing to take back"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(line: str, answer: str) -> None:
    said = say(line)
    assert answer in said
    assert text_lines(said) == [f"{PROMPT} >"]


def test_a_beginning_that_several_tokens_share_is_not_guessed() -> None:
    task = toy(tokenizer=WordTokenizer(["great", "grim", "x", "praise"]), constraints=(), prompts=["praise"])
    said = say("gr", "gri", envs=factory_of(task))
    assert "'gr' may be great, grim" in said
    assert "praise > grim" in text_lines(said, "praise")


def test_a_text_goes_no_further_than_it_may() -> None:
    said = say("was very great and bad was")
    assert "not written: bad was" in said
    assert "[length, reward" in said
    said = say("was movie great")
    assert "not written: movie great" in said
    assert text_lines(said)[-1] == f"{PROMPT} > was"


def test_tokens_win_over_commands_with_a_quote_or_a_space() -> None:
    envs = factory_of(PLAIN)
    said = say("a", '"a', " a", "b", envs=envs, prompt="praise")
    assert "there is no agent" in said
    assert "praise > a a b" in text_lines(said, "praise")
    assert 'Commands that are tokens too: a; write the token with a quote: "a' in said
    assert "Commands that are tokens" not in say()


def test_q_quits_and_a_quoted_q_is_a_token() -> None:
    envs = factory_of(toy(tokenizer=CharTokenizer("pq "), constraints=(), prompts=["p"], budget=9))
    said = say('"q', " q", '" "', "q", "p", envs=envs)
    assert text_lines(said, "p")[-1] == "p > q q  "
    assert '2 " "' in said


def test_a_token_that_is_a_number_wins_over_the_id() -> None:
    envs = factory_of(toy(tokenizer=CharTokenizer("9876+"), constraints=(), prompts=["+"], budget=9))
    said = say("7", "0", "4", '"98', envs=envs)
    assert text_lines(said, "+")[-1] == "+ > 7 9 + 9 8"


def test_nothing_is_written_after_the_end() -> None:
    said = say("<eos>", "was", "a", agent=Uniform())
    assert "the text has ended" in said
    assert text_lines(said)[-1].startswith(f"{PROMPT} > <eos>  [eos")


def test_a_reward_that_fails_is_said_and_the_token_taken_back() -> None:
    said = say("d", "<eos>", "u", "a", '"a', "<eos>", envs=factory_of(toy(reward=Faulty("raise"))), prompt="praise")
    assert "no letter d" in said
    assert text_lines(said, "praise")[-1].startswith("praise > a <eos>  [eos, reward +2.000]")


def test_choices_refuse_ids_that_are_not_there() -> None:
    choices = Choices(CharTokenizer("ab"), np.array([True, False, True, False]))
    assert (choices.ids, choices.read("a"), choices.search("A")) == ([0, 2], [0], [0])
    with pytest.raises(ActionError, match="b may not be written here"):
        choices.read("b")


# ---- taking back, starting again, the next prompt ------------------------------------------------------------------


def test_undo_goes_back_to_the_very_same_state() -> None:
    straight = say("was", "great", "<eos>")
    crooked = say("was", "bad", "u", "great", "very", "<eos>", "u", "u", "<eos>")
    assert straight.splitlines()[-4:] == crooked.splitlines()[-4:]
    assert "nothing to take back" in say("was", "u", "u")


@pytest.mark.parametrize("timing", ["end", "step"])
def test_undo_takes_back_what_was_earned(timing: str) -> None:
    envs = factory_of(toy(reward=Weighted()), reward_timing=timing)
    said = say("e", "d", "u", "u", "b", "<eos>", envs=envs, prompt="praise")
    earned = score(envs, ["praise"], ["b"])[0]
    assert f"praise > b <eos>  [eos, reward {earned:+.3f}]" in said


def test_restart_keeps_the_prompt_and_its_randomness() -> None:
    envs = factory_of(toy(reward=Noisy()))
    said = say("e", "<eos>", "r", "e", "<eos>", "r", "r", envs=envs)
    endings = re.findall(r"> e <eos>  \[eos, reward (\S+)\]", said)
    assert len(endings) == 2
    assert endings[0] == endings[1]


def test_the_next_prompts_are_those_of_the_seed() -> None:
    env, out, drawn = open_env(EnvFactory("TextGen-v0")), io.StringIO(), []
    for seed in (3, None, None, None):
        env.reset(seed=seed)
        drawn.append(env.task.prompts.texts[env.prompt_index])
    Game(env, out).play(io.StringIO("n\nn\nn\n"), seed=3)
    shown = re.findall(r"^((?:praise|pan)[\w ]+) >$", out.getvalue(), re.MULTILINE)
    assert shown == drawn
    assert len(set(drawn)) > 1


def test_a_prompt_of_any_split_may_be_named() -> None:
    assert "pan the movie >" in say(envs=EnvFactory("TextGen-v0"), prompt="pan the movie")


# ---- lists ---------------------------------------------------------------------------------------------------------


def test_large_vocabularies_are_shown_in_pages_and_searched() -> None:
    envs = factory_of(toy(prompts=["w1 w2"], tokenizer=MANY, constraints=()))
    said = say("m", "/w149", "w14999", "w1499", envs=envs)
    assert "0 w0 " in said
    assert "page 1 of 38: m shows more of the 1501 tokens" in said
    assert "40 w40 " in said
    assert "1490 w1490 " in said
    assert "w1 w2 > w1499" in text_lines(said, "w1 w2")
    assert max(len(line) for line in said.splitlines()) <= 120


def test_the_last_page_is_followed_by_the_first() -> None:
    envs = factory_of(toy(prompts=["w1 w2"], tokenizer=MANY, constraints=()))
    said = say(*["m"] * 38, envs=envs)
    assert said.count("page 1 of 38") == 2


def test_only_legal_tokens_are_listed() -> None:
    envs = factory_of(TOYS["ruled"])
    first, second = say("e", envs=envs, prompt="praise").split("praise > e")
    assert "4 e" in first
    assert "4 e" not in second
    assert "<eos>" not in first


def test_help_names_every_command() -> None:
    assert HELP in say("?")
    assert set(re.findall(r"(?:^| )([?vaurnmq]|/TEXT)  ", HELP)) == {*"?vaurnmq", "/TEXT"}


# ---- exact values --------------------------------------------------------------------------------------------------


def test_v_shows_the_exact_value_of_each_legal_token() -> None:
    solution = solve(TINY)
    for prefix in ((), (0,), (0, 3)):
        said = say(*[TINY.task().tokenizer.tokens[token] for token in prefix], "v")
        assert f"the best player earns {solution.value(prefix):+.3f} from here" in said
        legal = np.flatnonzero(solution.legal(prefix))
        expected = {TINY.task().tokenizer.tokens[i]: solution.q(prefix)[i] for i in legal}
        found = numbers(said)
        assert found.keys() == expected.keys()
        assert all(found[token][0] == pytest.approx(expected[token], abs=6e-4) for token in expected)
        assert [values[0] for values in found.values()] == sorted((v[0] for v in found.values()), reverse=True)


@pytest.mark.parametrize("lines", [("v", "great", "<eos>"), ("great", "<eos>", "v")])
def test_the_regret_is_the_distance_to_the_exact_optimum(lines: tuple[str, ...]) -> None:
    solution = solve(TINY)
    regret = solution.optimal_return - score(TINY, [PROMPT], ["great"])[0]
    said = say(*lines)
    assert f"regret {regret:.3f}; best text: 'was great was great' (reward {solution.optimal_return:+.3f}" in said
    assert said.count("solving exactly") == 1


def test_each_prompt_is_solved_once_and_for_itself() -> None:
    envs = EnvFactory("TextGen-v0", {"max_new_tokens": 2})
    said = say("v", "v", "n", "v", envs=envs)
    values = [float(value) for value in re.findall(r"best player earns (\S+) from", said)]
    assert said.count("solving exactly") == len({line for line in said.splitlines() if line.endswith(" >")})
    assert values[0] == values[1]
    exact = solve(envs).optimal_returns.values()
    assert all(min(abs(value - other) for other in exact) < 6e-4 for value in values)


def test_what_is_too_large_is_said_in_one_line_and_the_game_goes_on() -> None:
    envs = factory_of(toy(reward=Weighted(), budget=30))
    said = say("v", "e", "<eos>", envs=envs, prompt="praise")
    (line,) = [line for line in said.splitlines() if "no exact values" in line]
    assert "too large" in line
    assert "praise > e <eos>  [eos" in said


def test_a_stochastic_reward_has_no_exact_values() -> None:
    assert "its outcomes are not known" in say("v", envs=factory_of(toy(reward=Noisy())))


# ---- an agent's opinion --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def learner() -> QLearning:
    agent = QLearning(seed=0)
    agent.learn(TINY, 20_000)
    return agent


def test_a_shows_the_table_of_q_learning_beside_the_exact_values(learner: QLearning) -> None:
    found = numbers(say("v", "was", "great", "a", agent=learner).split("would write")[1])
    exact = solve(TINY).q("was great")
    tokens = TINY.task().tokenizer.tokens
    assert found["was"][0] == pytest.approx(exact[0], abs=1e-3)
    assert all(values[1] == pytest.approx(exact[tokens.index(token)], abs=6e-4) for token, values in found.items())
    assert "the agent would write was" in say("was", "great", "a", agent=learner)
    assert all(len(values) == 1 for values in numbers(say("a", agent=learner)).values())


@pytest.mark.parametrize("prefix", [("bad",), ("bad", "bad", "bad")])  # seen and never left; never seen
def test_what_a_table_never_tried_is_said(prefix: tuple[str, ...]) -> None:
    agent = QLearning(seed=0)
    agent.learn(TINY, 32)
    found = numbers(say(*prefix, "a", agent=agent))
    assert len(found) == 7
    assert all(np.isnan(values[0]) for values in found.values())
    assert not all(np.isnan(values[0]) for values in numbers(say("a", agent=agent)).values())


def test_a_shows_probabilities_and_what_the_critic_expects() -> None:
    agent = Uniform()
    agent.values = lambda observations: np.full(len(observations), 0.25)  # type: ignore[attr-defined]
    said = say("a", agent=agent)
    assert [values[0] for values in numbers(said).values()] == pytest.approx([1 / 7] * 7, abs=6e-4)
    assert "its critic expects +0.250 from here" in said
    assert "illegal tokens" not in said


class Bare:
    """An agent that can do nothing but act, and remembers what it was shown."""

    seen: Any = None

    def act(self, observations: Any, action_masks: Any, **options: Any) -> Any:
        self.seen = observations, action_masks, options
        return np.array([3])


@pytest.mark.parametrize("observation", ["tokens", "dict", "one_hot", "text"])
def test_an_agent_sees_the_observation_that_its_environment_gives(observation: str) -> None:
    envs, agent = EnvFactory("TextGen-v0", {"level": "tiny", "observation": observation}), Bare()
    said = say("was", "very", "u", "a", envs=envs, agent=agent)
    assert "the agent would write great" in said
    seen, masks, options = agent.seen
    assert masks.shape == (1, 11)
    assert not options["episode_starts"][0]
    env = envs.single()
    env.reset(seed=0)
    expected = env.step(0)[0]
    if isinstance(expected, dict):
        assert all(np.array_equal(seen[name][0], part) for name, part in expected.items())
    else:
        assert np.array_equal(seen[0], expected)


class Leaky(Bare):
    """An agent that gives illegal tokens some of its probability."""

    def log_probs(self, observations: Any, action_masks: Any) -> Any:
        return np.log(np.full(action_masks.shape, 1 / 11))


def test_probability_of_illegal_tokens_is_said() -> None:
    assert f"illegal tokens have probability {4 / 11:.3f}" in say("a", agent=Leaky())


class Stubborn(Bare):
    """An agent that always writes a word of the prompt."""

    def act(self, observations: Any, action_masks: Any = None, **_: Any) -> Any:
        return np.full(len(observations), 8)


def test_a_choice_that_would_be_illegal_is_called_so() -> None:
    assert f"would write {TINY.task().tokenizer.tokens[8]}, which is illegal here" in say("a", agent=Stubborn())
    assert "illegal" not in say("a", agent=Bare())


def test_large_values_keep_their_distance_from_the_tokens() -> None:
    choices = Choices(TINY.task().tokenizer, np.ones(11, dtype=bool))
    assert all(len(line.split()) == 3 for line in choices.table({"Q*": np.full(11, 1.8e9)}))


def test_an_agent_of_another_environment_is_an_error_and_no_end(learner: QLearning) -> None:
    said = say("a", "n", envs=EnvFactory("TextGen-v0"), agent=learner)
    assert "this agent learned with 7 positions" in said
    assert len(re.findall(r" >$", said, re.MULTILINE)) == 2


# ---- whatever is typed ---------------------------------------------------------------------------------------------

LINES = st.one_of(st.sampled_from([*"?vaurnm", "", " ", '"', "was", "great", "<eos>", "/a", "/"]), st.text(max_size=6))


@settings(max_examples=60, deadline=None)
@given(st.lists(LINES, max_size=12))
def test_no_line_breaks_the_game(lines: list[str]) -> None:
    said = say(*lines, "r", "was", envs=factory_of(PLAIN), prompt="praise", agent=Bare())
    assert said.endswith("> \n") or any(line.strip() == "q" for line in "\n".join(lines).splitlines())
    assert "\x1b" not in said


def test_control_characters_are_shown_and_not_obeyed() -> None:
    said = say("\x1b[2J", "was", envs=TINY)
    assert "\x1b" not in said
    assert "\\x1b[2J" in said


def test_colour_is_a_choice() -> None:
    assert "\x1b[" in say("was", colour=True)
    assert "\x1b[" not in say("was", colour=False)


# ---- the command ---------------------------------------------------------------------------------------------------


def pipe(text: str, *words: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Plays through a pipe, in a fresh process."""
    command = [sys.executable, "-m", "textgym.cli", "play", *words]
    return subprocess.run(
        command, input=text, capture_output=True, text=True, encoding="utf-8", cwd=folder, check=False
    )


def test_plays_through_a_pipe_with_an_agent_of_a_folder(tmp_path: Path, learner: QLearning) -> None:
    learner.save(tmp_path / "q")
    (tmp_path / "q" / "env.json").write_text('{"env_id": "TextGen-v0", "kwargs": {"level": "tiny"}}', encoding="utf-8")
    result = pipe("v\na\nwas very great\n<eos>\n", "--agent", "q", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "the agent would write was" in result.stdout
    assert f"{PROMPT} > was very great <eos>  [eos, reward +0.835]" in result.stdout
    assert "regret 0.594" in result.stdout
    assert "\x1b" not in result.stdout


def run(*words: str, text: str = "") -> Any:
    """Runs the command in this process."""
    return CliRunner().invoke(app, ["play", *words], input=text)


def test_the_settings_of_the_command_line_are_used() -> None:
    result = run("TextGen/Reviews-v0", "--set", "level=tiny", "--set", "max_new_tokens=2", text="was bad\nq\nwas\n")
    assert result.exit_code == 0
    assert "[length, reward" in result.output
    assert not result.output.endswith("\n")  # nothing is said after q
    assert "pan the movie >" in run("TextGen-v0", "--prompt", "pan the movie").output


def test_the_end_of_the_input_ends_the_game() -> None:
    assert run("TextGen-v0").exit_code == 0


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Game, "play", interrupted)
    assert run("TextGen-v0").exit_code == 130


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["TextGen-v0", "--prompt", "praise the movi"], "Did you mean 'praise the movie'"),
        (["CartPole-v1"], "not a textgym environment"),
        (["TextGen-v0", "--agent", "no_such_run"], "no agent"),
    ],
)
def test_mistakes_are_errors_of_textgym(words: list[str], message: str) -> None:
    result = textgym("play", *words)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_in_a_conversation_replies_are_shown_and_the_secret_is_not_used() -> None:
    envs = EnvFactory("TextGen/GuessNumber-v0", {"level": "easy"})
    said = say("4", "v", "u", "1", "v", envs=envs)
    best = solve(envs)
    hints = re.findall(r"guess 1 to 7 > (\d) (lower|higher|correct)", said)
    assert [guess for guess, _ in hints] == ["4", "1"]
    tokens = envs.task().tokenizer
    for guess, hint in hints:
        if hint != "correct":
            value = best.value(tokens.encode(f"{guess} {hint}"), 0)
            assert f"the best player earns {value:+.3f} from here" in said
    assert best.optimal_return < 0.9  # a player who knew the secret would earn 1
