"""Chat models as agents: what they are told, how their texts are read and played, and what goes wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chatting import reply, words_of, writing_endpoint
from stub_endpoint import StubEndpoint, complete, stub_endpoint
from typer.testing import CliRunner

import textgym
from textgym.agents.base import load_agent, sample_uniform
from textgym.agents.chat_briefing import Briefing, elect
from textgym.agents.registry import make_agent
from textgym.benchmarks import run_keys
from textgym.benchmarks.alarms import alarms_of
from textgym.benchmarks.records import RunResult, RunSpec
from textgym.benchmarks.report_table import table_section
from textgym.benchmarks.runs import run
from textgym.benchmarks.standings import board_of
from textgym.benchmarks.summary import summary_of
from textgym.benchmarks.tables import leaderboard_table
from textgym.chat_endpoint import ask
from textgym.chat_settings import AnswerError, ChatSettings, EndpointError
from textgym.cli import app
from textgym.errors import ConfigurationError, MissingDependencyError
from textgym.playing import speak
from textgym.recorder import record
from textgym.rewards import PerText
from textgym.tasks import get
from textgym.tokenizers import WordTokenizer

pytest.importorskip("httpx")
TINY = textgym.EnvFactory("TextGen-v0", {"level": "tiny"})
TALKS = ("Dialogue", "GuessNumber", "Wordle", "Chain")


@pytest.fixture
def stub() -> Iterator[StubEndpoint]:
    with writing_endpoint() as running:
        yield running


def chat(stub: StubEndpoint, folder: Path, **config: Any) -> Any:
    quick = {"cache": str(folder / "answers.sqlite"), "retries": 0, "backoff": 0.01, "timeout": 5.0}
    return make_agent("chat", base_url=stub.url, model="stub", **{**quick, **config})


def say(stub: StubEndpoint, answer: Any) -> None:
    """Lets the model answer from the messages alone."""
    stub.write, stub.answer = None, answer


# ---- what is read -------------------------------------------------------------------------------------------------

WAS, NOT, VERY, GREAT, EOS = 0, 1, 2, 3, 9


@pytest.mark.parametrize(
    ("answer", "ids", "fault"),
    [
        ("Text: was great", (WAS, GREAT, EOS), ""),
        ("Let me think. Text: no\n\n**Text:** was great", (WAS, GREAT, EOS), ""),
        ("text:   was great  \nThat is my text.", (WAS, GREAT, EOS), ""),
        ("Text: was\nText: great", (GREAT, EOS), ""),
        ('Text: "was great"', (WAS, GREAT, EOS), ""),
        ("> - Text:\nwas great", (WAS, GREAT, EOS), ""),
        ("Text: was not very great", (WAS, NOT, VERY, GREAT), ""),
        ("Text:", (EOS,), ""),
        ("Text: was superb great", (WAS, EOS), "unknown word"),
        ("Text: Was great", (EOS,), "unknown word"),
        ("Text: was <eos> great", (WAS, EOS), "unknown word"),
        ("Text: was was was was great", (WAS, WAS, WAS, WAS), "too long"),
        ("I would say: was great", (EOS,), "no text"),
        ("", (EOS,), "no text"),
    ],
)
def test_texts_are_read_up_to_their_first_fault(answer: str, ids: tuple[int, ...], fault: str) -> None:
    reading = Briefing(get("Reviews", "tiny")).read(answer, 4)
    assert (reading.ids, reading.fault) == (ids, fault)


def test_without_a_marker_the_whole_answer_is_the_text() -> None:
    briefing = Briefing(get("Reviews", "tiny"), marker="")
    assert briefing.read(" was great \n", 4).ids == (WAS, GREAT, EOS)
    for nothing in ("", " \n"):
        assert (briefing.read(nothing, 4).ids, briefing.read(nothing, 4).fault) == ((EOS,), "no text")
    assert "Text:" not in briefing.rules


def test_line_breaks_belong_to_the_text_where_the_vocabulary_has_them() -> None:
    kwargs = {"prompts": ["ab\nc"], "tokenizer": "char", "reward": PerText(len_of), "max_new_tokens": 8}
    task = textgym.EnvFactory("TextGen-v0", kwargs).task()
    reading = Briefing(task).read("Text: a\nb", 8)
    assert not reading.fault
    assert task.tokenizer.decode(reading.ids) == "a\nb"


def len_of(prompt: str, completion: str, reference: str) -> float:
    return float(len(completion))


def test_the_commonest_whole_text_is_elected() -> None:
    read = Briefing(get("Reviews", "tiny")).read
    good, other, bad = (read(f"Text: {text}", 4) for text in ("was great", "was bad", "was superb"))
    assert elect([bad, bad, bad, other, good, good]) == good
    assert elect([other, good]) == other
    assert elect([bad, read("no", 4)]) == bad


# ---- what is told -------------------------------------------------------------------------------------------------


def test_the_model_is_told_task_words_and_length() -> None:
    rules = Briefing(get("Reviews", "tiny"), instructions="Be brief.").rules
    assert "Write the short review that the prompt wishes." in rules
    assert "4 words at most" in rules
    assert "\nwas not very great bad and\n" in rules  # and none of the prompt's own words, which are illegal
    assert rules.endswith("Be brief.")
    assert "'(' ')' '[' ']'" in Briefing(get("Brackets")).rules
    assert "one turn of it" in Briefing(get("Dialogue")).rules
    words = WordTokenizer([f"w{n}" for n in range(2_001)])
    kwargs = {"prompts": ["w1"], "tokenizer": words, "reward": PerText(len_of)}
    large = textgym.EnvFactory("TextGen-v0", kwargs).task()
    assert "a vocabulary of 2,001 words" in Briefing(large).rules


def test_roles_and_empty_messages() -> None:
    task = get("Dialogue")
    turns = [("agent", "which area"), ("partner", " ")]
    messages = Briefing(task).ask("hello", turns)
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert [message["content"] for message in messages[1:]] == ["hello", "Text: which area", "(nothing)"]
    (first, *_) = Briefing(task, system_role=False).ask("hello", turns)
    assert (first["role"], first["content"]) == ("user", f"{Briefing(task).rules}\n\nhello")


def test_prompts_are_shown_as_they_were_written_unless_two_look_the_same() -> None:
    task = get("Reviews", "tiny")
    shown = Briefing(task)
    assert shown.prompt_of(task.prompts.ids[0]) == task.prompts.texts[0]
    kwargs = {"prompts": ["was x", "great y", "great z"], "tokenizer": task.tokenizer, "reward": PerText(len_of)}
    with pytest.warns(UserWarning, match="outside the vocabulary"):
        mixed = textgym.EnvFactory("TextGen-v0", {**kwargs, "level": "tiny"}).task()
    assert [Briefing(mixed).prompt_of(row) for row in mixed.prompts.ids] == ["was x", "great", "great"]


def test_few_choices_are_named(stub: StubEndpoint, tmp_path: Path) -> None:
    textgym.evaluate(chat(stub, tmp_path), "TextGen/Dialogue-v0", episodes=1)
    assert "come first: which, confirm, book" in stub.requests[0]["messages"][-1]["content"]


# ---- how it plays -------------------------------------------------------------------------------------------------


def perfect(task: Any) -> Any:
    """A model that knows the answers, from what stands in the messages alone."""
    prompts = {prompt.text: prompt for prompt in task.prompts.prompts}
    sides = {"assistant": "agent", "user": "partner"}

    def answer(messages: list[dict[str, str]]) -> str:
        _, prompt, *turns = [(m["role"], m["content"].partition("\n\n")[0].removeprefix("Text: ")) for m in messages]
        return f"Text: {task.best_turn(prompts[prompt[1]], [(sides[role], text) for role, text in turns])}"

    return answer


def test_a_perfect_model_earns_everything_and_no_prompt_is_asked_about_twice(
    stub: StubEndpoint, tmp_path: Path
) -> None:
    say(stub, perfect(get("Reviews")))
    agent = chat(stub, tmp_path)
    found = textgym.evaluate(agent, "TextGen-v0", episodes=40)
    assert found.normalized_gold == pytest.approx(1.0)
    assert found.tally == {"answers": 40, "unparseable": 0, "texts": 40, "illegal": 0}
    assert len(stub.requests) == 4
    assert textgym.evaluate(chat(stub, tmp_path), "TextGen-v0", episodes=40).mean_return == found.mean_return
    assert len(stub.requests) == 4


@pytest.mark.parametrize("name", TALKS)
def test_the_whole_dialogue_is_sent_as_turns(name: str, stub: StubEndpoint, tmp_path: Path) -> None:
    task, env = get(name), f"TextGen/{name}-v0"
    say(stub, perfect(task))
    played = textgym.evaluate(chat(stub, tmp_path), env, episodes=24)
    _, returns = speak(task.best_turn, env, prompt_indices=np.resize(task.prompts.rows(task.default_split), 24))
    assert played.returns.tolist() == returns.tolist()
    assert played.tally["illegal"] == played.tally["unparseable"] == 0


def test_a_text_that_is_drawn_costs_one_request(stub: StubEndpoint, tmp_path: Path) -> None:
    agent = chat(stub, tmp_path)
    found = textgym.evaluate(agent, TINY, episodes=30, deterministic=False)
    assert len(set(found.lengths.tolist())) > 1  # lanes that have ended wait, and nothing is asked for them
    assert len(stub.requests) == found.tally["answers"] == 30
    assert {request["temperature"] for request in stub.requests} == {1.0}
    assert len({request["seed"] for request in stub.requests}) == 30


@pytest.mark.parametrize("env_id", ["TextGen-v0", "TextGen/GuessNumber-v0"])
def test_texts_that_are_recorded_cost_no_more_than_others(env_id: str, stub: StubEndpoint, tmp_path: Path) -> None:
    agent = chat(stub, tmp_path)  # which has met no environment
    kept = record(agent, env_id, episodes=20)
    assert len(stub.requests) == agent.tally()["answers"] == agent.tally()["texts"] > 0
    turns = 1 if env_id == "TextGen-v0" else textgym.EnvFactory(env_id).task().turns
    assert 20 <= len(stub.requests) <= 20 * turns
    assert len(set(map(len, kept.episodes))) > 1  # some have waited for others


def test_an_endpoint_that_knows_no_seeds_is_sent_none(stub: StubEndpoint, tmp_path: Path) -> None:
    agent = chat(stub, tmp_path, seed_field="", parameters={"max_tokens": 20})
    textgym.generate(agent, TINY, n=10)
    (request,) = stub.requests
    assert set(request) == {"model", "messages", "temperature", "max_tokens"}


def test_votes(stub: StubEndpoint, tmp_path: Path) -> None:
    texts = iter(["was bad", "was superb", "was great", "was great", "no"])
    stub.write = lambda body: f"Text: {next(texts)}"
    agent = chat(stub, tmp_path, samples=5, temperature=0.7, concurrency=1)
    found = textgym.evaluate(agent, TINY, episodes=3)
    assert [text["completion"] for text in found.texts] == ["was great"] * 3
    assert found.tally == {"answers": 15, "unparseable": 6, "texts": 3, "illegal": 0}
    assert len({request["seed"] for request in stub.requests}) == len(stub.requests) == 5
    assert {request["temperature"] for request in stub.requests} == {0.7}
    assert textgym.generate(agent, TINY, n=2, deterministic=True) == ["was great"] * 2
    assert len(stub.requests) == 5


def test_illegal_tokens_are_counted_and_never_written(stub: StubEndpoint, tmp_path: Path) -> None:
    say(stub, reply("Text: was praise great"))  # a word of prompts alone
    found = textgym.evaluate(chat(stub, tmp_path), TINY, episodes=2)
    assert [text["completion"] for text in found.texts] == ["was"] * 2
    assert found.tally == {"answers": 2, "unparseable": 0, "texts": 2, "illegal": 2}
    assert found.stop_reasons == {"eos": 2}
    assert found.metrics["illegal"] == 2.0


@pytest.mark.parametrize(
    ("answer", "turn"),
    [
        ("which pardon area", "which area"),  # no end is legal there: the answer's next legal id stands in
        ("which pardon", "which cuisine"),  # or else the first legal one
        ("which", "which cuisine"),
    ],
)
def test_what_stands_in_where_the_text_may_not_end(answer: str, turn: str, stub: StubEndpoint, tmp_path: Path) -> None:
    say(stub, reply(f"Text: {answer}"))
    found = textgym.evaluate(chat(stub, tmp_path), "TextGen/Dialogue-v0", episodes=2)
    assert all(text["completion"].startswith(f"{turn} ") for text in found.texts)
    assert found.tally["illegal"] == found.tally["texts"] > 2
    assert "illegal" not in found.stop_reasons


def test_a_text_that_somebody_else_began_is_gone_on_with(stub: StubEndpoint, tmp_path: Path) -> None:
    agent = chat(stub, tmp_path)
    envs: Any = TINY.vector(2)
    observations, _ = envs.reset(seed=0)
    agent.meet(TINY)
    first = agent.act(observations, envs.unwrapped.action_masks())
    other = np.array([WAS, GREAT])
    observations, *_ = envs.step(other)
    say(stub, reply("Text: very very very very"))
    stub.requests.clear()
    assert agent.act(observations).tolist()[np.flatnonzero(first != other)[0]] == VERY
    assert any("Your text begins so: great" in request["messages"][-1]["content"] for request in stub.requests)


def test_a_text_that_has_ended_and_is_shown_once_more_costs_nothing(stub: StubEndpoint, tmp_path: Path) -> None:
    agent, envs = chat(stub, tmp_path), TINY.vector(2)
    agent.meet(TINY)
    envs.reset(seed=0)
    observations, *_ = envs.step(np.array([EOS, WAS]))
    agent.act(observations, episode_starts=np.array([True, False]))
    assert len(stub.requests) == 1
    assert "Your text begins so: was" in stub.requests[0]["messages"][-1]["content"]


def test_writing_on_is_legal_and_cheap(stub: StubEndpoint, tmp_path: Path) -> None:
    agent = chat(stub, tmp_path, write_on=True)
    agent.learn(textgym.EnvFactory("TextGen-v0"), 1600)
    assert len(stub.requests) == 4
    assert agent.tally()["answers"] > 200
    idle = chat(stub, tmp_path)
    idle.learn(TINY, 3)
    assert len(stub.requests) == 4


def test_agents_hear_where_they_play_and_which_lanes_rest() -> None:
    class Listener:
        def __init__(self) -> None:
            self.heard: list[Any] = []

        def meet(self, envs: Any) -> None:
            self.heard.append(envs.env_id)

        def rest(self, lanes: Any) -> None:
            self.heard.append(lanes.tolist())

        def act(self, observations: Any, masks: Any, **_: Any) -> Any:
            ends = [EOS if len(self.heard) == 2 and row == 1 else WAS for row in range(2)]
            return np.array(ends)

    listener = Listener()
    textgym.evaluate(listener, TINY, episodes=2)
    assert listener.heard == ["TextGen-v0", [False, False], *[[False, True]] * 3]


# ---- what goes wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "config", "message"),
    [
        ("hang", {"timeout": 0.2}, "did not answer within 0.2 seconds"),
        ((500, {}, "{}"), {}, "answered 500"),
        ((200, {}, '{"choices": []}'), {}, "sent no chat completion"),
        ("drop", {}, "could not be reached"),
        ((404, {}, '{"error": "no such model"}'), {}, "no such model.*is base_url= or model= right"),
        ((401, {}, "{}"), {}, "set the key: TEXTGYM_CHAT_KEY"),
    ],
)
def test_an_endpoint_that_fails_is_an_error(
    fault: Any, config: dict[str, Any], message: str, stub: StubEndpoint, tmp_path: Path
) -> None:
    stub.faults = [fault]
    with pytest.raises(EndpointError, match=message):
        textgym.evaluate(chat(stub, tmp_path, **config), TINY, episodes=2)


def test_failures_that_pass_are_tried_again(stub: StubEndpoint, tmp_path: Path) -> None:
    stub.faults = [(500, {}, "{}"), "drop", (200, {}, '{"choices": []}')]
    agent = chat(stub, tmp_path, retries=3)
    assert textgym.evaluate(agent, TINY, episodes=2).tally["unparseable"] == 0
    assert len(stub.requests) == 4


@pytest.mark.parametrize("content", ["", None, "Sorry, no.", "Text: 好"])
def test_answers_without_a_text_are_counted_and_end_at_once(content: Any, stub: StubEndpoint, tmp_path: Path) -> None:
    stub.faults = [(200, {}, complete(content))]
    found = textgym.evaluate(chat(stub, tmp_path), TINY, episodes=3)
    assert found.tally == {"answers": 3, "unparseable": 3, "texts": 3, "illegal": 0}
    assert found.stop_reasons == {"eos": 3}
    assert found.lengths.tolist() == [1, 1, 1]


def test_a_refused_request_and_a_spent_budget(stub: StubEndpoint, tmp_path: Path) -> None:
    stub.faults = [(400, {}, '{"error": "seed is not supported"}')]
    with pytest.raises(AnswerError, match="seed is not supported"):
        textgym.generate(chat(stub, tmp_path), TINY)
    limited = chat(stub, tmp_path, budget=5, parameters={"max_tokens": 7})
    with pytest.raises(EndpointError, match="budget of 5 calls"):
        textgym.generate(limited, TINY, n=20)
    assert limited.config.settings().calls == 5


def test_further_fields_of_requests_share_one_budget(tmp_path: Path) -> None:
    with stub_endpoint(reply("yes")) as stub:
        settings = ChatSettings(stub.url, "m", cache=str(tmp_path / "a"), budget=3)
        messages = [{"role": "user", "content": "?"}]
        assert ask(settings, [messages] * 3, fields=[{"seed": 1}, {"seed": 2}, {"seed": 1}]) == ["yes"] * 3
        assert sorted(request["seed"] for request in stub.requests) == [1, 2]
        with pytest.raises(EndpointError, match="budget of 3"):
            ask(settings, [messages] * 2, fields=[{"seed": 3}, {"seed": 4}])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"base_url": ""}, "base_url=''"),
        ({"model": ""}, "model=''"),
        ({"temperature": 0}, "temperature=0"),
        ({"samples": 0}, "samples=0"),
        ({"marker": None}, "marker=None"),
        ({"seed_field": None}, "seed_field=None"),
        ({"seed_field": "messages"}, "seed_field='messages'"),
        ({"seed_field": "", "samples": 3}, "samples=3 with seed_field=''.*all answers would be one"),
        ({"parameters": {"temperature": 0}}, "'temperature' is not for them to set"),
        ({"parameters": {"seed": 0}}, "'seed' is not for them to set"),
        ({"key_variable": "sk-secret"}, "no name of an environment variable"),
        ({"budget": -1}, "budget=-1"),
    ],
)
def test_options_are_checked(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make_agent("chat", **{"base_url": "http://127.0.0.1:1", "model": "m", **config})


def test_without_httpx_the_pip_line_is_printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    agent = make_agent("chat", base_url="http://127.0.0.1:1", model="m", cache=str(tmp_path / "a"))
    with pytest.raises(MissingDependencyError, match="pip install"):
        textgym.evaluate(agent, TINY, episodes=1)


def test_an_agent_that_knows_no_environment_or_another_one_says_so(stub: StubEndpoint, tmp_path: Path) -> None:
    agent, (observations, _) = chat(stub, tmp_path), TINY.vector(2).reset(seed=0)
    with pytest.raises(ConfigurationError, match="has met no environment"):
        agent.act(observations)
    agent.meet(textgym.EnvFactory("TextGen-v0"))
    with pytest.raises(ConfigurationError, match="has met Reviews"):
        agent.act(observations)


# ---- what is kept -------------------------------------------------------------------------------------------------


def test_the_key_is_sent_and_written_nowhere(
    stub: StubEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-very-secret")
    agent = chat(stub, tmp_path, key_variable="MY_KEY")
    agent.learn(TINY, 1)
    textgym.evaluate(agent, TINY, episodes=2)
    agent.save(tmp_path / "agent")
    assert stub.headers[0]["authorization"] == "Bearer sk-very-secret"
    written = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    assert len(written) >= 2
    assert not any(b"very-secret" in content for content in written)


def test_a_loaded_agent_knows_its_environment(stub: StubEndpoint, tmp_path: Path) -> None:
    agent = chat(stub, tmp_path)
    agent.learn(textgym.EnvFactory("TextGen-v0", {"level": "tiny", "reward": PerText(len_of)}), 1)
    agent.save(tmp_path / "agent")
    envs: Any = TINY.vector(3)
    observations, _ = envs.reset(seed=0)
    loaded: Any = load_agent(tmp_path / "agent")
    assert loaded.act(observations).tolist() == agent.act(observations).tolist()
    assert "reward" not in json.loads((tmp_path / "agent" / "agent.json").read_text(encoding="utf-8"))["env"]


def test_an_environment_that_is_no_json_is_not_kept(stub: StubEndpoint, tmp_path: Path) -> None:
    agent = chat(stub, tmp_path)
    agent.learn(textgym.EnvFactory("TextGen-v0", {"level": "tiny", "tokenizer": get("Reviews", "tiny").tokenizer}), 1)
    agent.save(tmp_path / "agent")
    loaded: Any = load_agent(tmp_path / "agent")
    with pytest.raises(ConfigurationError, match="has met no environment"):
        loaded.act(TINY.vector(1).reset(seed=0)[0])
    assert len(textgym.generate(loaded, TINY, n=2)) == 2


# ---- in benchmarks ------------------------------------------------------------------------------------------------


def test_a_chat_model_stands_in_the_table_with_what_could_not_be_read(stub: StubEndpoint, tmp_path: Path) -> None:
    write = stub.write
    stub.write = lambda body: "no" if body["messages"][1]["content"].startswith("pan") else str(write and write(body))
    config = {"base_url": stub.url, "model": "stub", "cache": str(tmp_path / "a"), "backoff": 0.01}
    spec = RunSpec(agent="chat", env_id="TextGen-v0", steps=100, seed=0, episodes=20, config=config)
    other = RunSpec(agent="uniform", env_id="TextGen-v0", steps=100, seed=0, episodes=20)
    results = [run(each, tmp_path / each.agent) for each in (spec, other)]
    assert [result.status for result in results] == ["ok", "ok"], results[0].trace
    assert RunResult.from_json(results[0].to_json()).tally == results[0].tally
    assert results[0].tally["answers"] == 80
    assert 20 <= results[0].tally["unparseable"] <= 60
    assert results[1].tally == {}
    assert [alarm.kind for alarm in alarms_of(results[0])] == ["unread answers"]
    summary = summary_of(results, {})
    assert {row.label for row in summary.rows} == {"chat", "uniform"}
    sentence = f"chat: {results[0].tally['unparseable']} of 80 answers could not be read"
    assert sentence in " ".join(leaderboard_table(board_of(summary)).notes)
    assert sentence in table_section(summary, {"chat": 0, "uniform": 1})


def test_a_cache_that_grows_leaves_the_run_the_same(tmp_path: Path) -> None:
    file = tmp_path / "answers.sqlite"
    config = {"base_url": "http://127.0.0.1:1", "model": "m", "cache": str(file)}
    keys = []
    for content in ("one", "one more"):
        file.write_text(content, encoding="utf-8")
        run_keys._inputs.cache_clear()
        keys += [
            spec.key
            for spec in run_keys.seal([RunSpec(agent="chat", env_id="TextGen-v0", steps=1, seed=0, config=config)])
        ]
    assert keys[0] == keys[1]


def test_legal_play_from_any_observation(stub: StubEndpoint, tmp_path: Path) -> None:
    agent, rng = chat(stub, tmp_path), np.random.default_rng(0)
    factory = textgym.EnvFactory("TextGen/Wordle-v0")
    agent.meet(factory)
    envs: Any = factory.vector(4, autoreset_mode="SameStep")
    observations, _ = envs.reset(seed=0)
    for step in range(30):
        masks = envs.unwrapped.action_masks()
        actions = agent.act(observations, masks)
        assert masks[np.arange(4), actions].all()
        observations, *_ = envs.step(sample_uniform(masks, rng) if step % 2 else actions)
    assert words_of(stub.requests[0]["messages"])[:5] == ["a", "c", "h", "o", "t"]


@pytest.mark.slow
def test_the_benchmark_plays_it_and_pays_no_answer_twice(stub: StubEndpoint, tmp_path: Path) -> None:
    config = {"base_url": stub.url, "model": "stub", "cache": str(tmp_path / "answers.sqlite")}
    (tmp_path / "chat.json").write_text(json.dumps(config), encoding="utf-8")
    words = [
        "bench",
        "run",
        "--suite",
        "demo",
        "--agent",
        "chat",
        "--agent",
        "uniform",
        "--seeds",
        "1",
        "--budget",
        "0.1",
    ]
    sent = []
    for name in ("first", "again"):
        out = ["--config", f"chat={tmp_path / 'chat.json'}", "--out", str(tmp_path / name)]
        result = CliRunner().invoke(app, [*words, *out])
        assert result.exit_code == 0, result.output
        sent.append(len(stub.requests))
    assert sent[0] == sent[1] > 400
    assert "chat: 0 of 800 answers could not be read" in " ".join(result.output.split())
    assert "chat: 0 of 800 answers" in (tmp_path / "again" / "report.html").read_text(encoding="utf-8")
