"""Prefix trees read back from their SVG and compared with the solution that they show; and what all pictures share."""

from __future__ import annotations

import re
import runpy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from brute import problems
from hypothesis import given, settings
from reading_svg import ALARM, INK, SVG, greedy_path, lines, names, parse, row_of, texts, tip_of, tokens
from toys import LETTERS, A, TwoEnds, stop_at_c, toy

import textgym
from textgym.agents.q_learning import QLearning
from textgym.colours import css, diverging
from textgym.constraints import Lexicon
from textgym.errors import ConfigurationError, PromptError, SolveError, TextGymError
from textgym.exact import PolicyValue, TreePolicy, TreeSolution, solve
from textgym.pictures import prefix_tree, q_table
from textgym.task import Task

GOLDEN = Path(__file__).parent / "golden"
TINY = textgym.EnvFactory("TextGen-v0", {"level": "tiny"})


# ---- trees ----------------------------------------------------------------------------------------------------------


def test_the_dark_path_is_a_best_text(tiny: TreeSolution, easy: TreeSolution) -> None:
    assert greedy_path(prefix_tree(tiny)) == names(tiny.task, tiny.optimal_ids()) == "was great was great".split()
    assert greedy_path(prefix_tree(easy, depth=5)) == names(easy.task, easy.optimal_ids())
    assert greedy_path(prefix_tree(easy, depth=2)) == names(easy.task, easy.optimal_ids())[:2]


@settings(max_examples=30)
@given(problems())
def test_trees_tell_the_truth_about_random_tasks(task: Task) -> None:
    solution = solve(task)
    prompt = task.prompts.texts[0]
    drawn = tokens(prefix_tree(solution, prompt=prompt, rows=500))
    pairs = sum(int(level.legal.sum()) for level in solution.tree.levels)
    assert len(drawn) == pairs, "everything is shown where there is room"
    spelling = {word: index for index, word in enumerate(task.tokenizer.tokens)}
    for token in drawn:
        *before, last = (spelling[word] for word in token.text.split(" "))
        assert token.value == pytest.approx(solution.q(before, prompt)[last], rel=1e-5, abs=1e-5)
        depth, row = solution.tree.find(before)
        ended = solution.tree.levels[depth].child[row, solution.tree.column_of[last]] < 0
        assert bool(token.end) == ended
    assert greedy_path(prefix_tree(solution, prompt=prompt)) == names(task, solution.optimal_ids(prompt))[:4]


def test_every_token_is_shown_along_the_greedy_text_for_eight_tokens_four_deep() -> None:
    solution = solve(toy(prompts=["praise"], constraints=(Lexicon((*LETTERS, "pan", "the")),), budget=4))
    drawn = tokens(prefix_tree(solution))
    best = names(solution.task, solution.optimal_ids())
    for depth in range(4):
        assert len([token for token in drawn if token.text.split(" ")[:-1] == best[:depth]]) == 8
    assert max(token.x for token in drawn) < 700
    assert len({(token.x, token.y) for token in drawn}) == len(drawn), "none hides another"


def test_lines_are_wider_where_more_texts_pass(tiny: TreeSolution, learner: QLearning) -> None:
    for picture in (prefix_tree(tiny), prefix_tree(tiny, policy=learner), prefix_tree(learner, solution=tiny)):
        drawn = sorted(tokens(picture), key=lambda token: token.flow)
        widths = [token.line_width for token in drawn]
        assert widths == sorted(widths)
        assert widths[0] < widths[-1]
        assert min(widths) > 0.5


def test_flows_are_probabilities_and_visits(tiny: TreeSolution, learner: QLearning) -> None:
    uniform = {token.text: token.flow for token in tokens(prefix_tree(tiny))}
    assert uniform["was"] == pytest.approx(1 / 7, rel=1e-5)
    assert uniform["was great was great"] == pytest.approx(1 / 7**4, rel=1e-5)
    visits = {token.text: token.flow for token in tokens(prefix_tree(learner, solution=tiny))}
    start = learner.visits[0]  # the first row is the empty text
    assert visits["was"] == start[0]
    assert sum(flow for text, flow in visits.items() if " " not in text) == start.sum()
    unseen = next(ids.tolist() for ids in tiny.tree.levels[3].tokens if row_of(learner, tiny, ids.tolist()) is None)
    assert {token.flow for token in tokens(prefix_tree(learner, solution=tiny, prefix=unseen))} == {0.0}


def test_colours_have_the_sign_of_what_they_show(easy: TreeSolution, tiny: TreeSolution) -> None:
    for solution in (easy, tiny):
        for colour, centre in (("value", 0.0), ("root", solution.value())):
            drawn = tokens(prefix_tree(solution, colour=colour))
            limit = max(abs(token.value - centre) for token in drawn)
            for token in drawn:
                red, _, blue = (int(token.fill[place : place + 2], 16) for place in (1, 3, 5))
                assert np.sign(red - blue) in (0, np.sign(token.value - centre))
            assert any(token.fill in (css(diverging(1.0)), css(diverging(-1.0))) for token in drawn)
            assert limit > 0


def test_advantages_are_zero_on_the_best_text_and_negative_elsewhere(tiny: TreeSolution) -> None:
    drawn = tokens(prefix_tree(tiny, colour="advantage"))
    assert [token.shown[1] for token in drawn if token.frame == INK] == ["+0.00"] * 4
    assert all(float(token.shown[1]) <= 0.0 for token in drawn)


def test_numbers_stand_beside_the_tokens_where_there_is_room(tiny: TreeSolution) -> None:
    assert tokens(prefix_tree(tiny))[0].shown[:2] == ("was", "+1.43")
    narrow = tokens(prefix_tree(tiny, width=480))
    assert all(len(token.shown[0]) <= len(token.name) for token in narrow)
    assert any("+" not in "".join(token.shown) for token in narrow)


def test_wide_trees_are_folded(easy: TreeSolution) -> None:
    picture = prefix_tree(easy, depth=4, rows=36)
    drawn = tokens(picture)
    more = [re.match(r"(.*) ?\+ (\d+) other tokens", tip) for tip in lines(picture)]
    hidden = {match[1].strip(): int(match[2]) for match in more if match}
    assert len({token.y for token in drawn}) + len(hidden) <= 36 + 1
    assert hidden
    for prefix, count in hidden.items():
        shown = [token for token in drawn if " ".join(token.text.split(" ")[:-1]) == prefix]
        ids = easy.task.tokenizer.encode(prefix)
        values = easy.q(ids)[easy.legal(ids)]
        assert len(shown) + count == len(values)
        assert max(token.value for token in shown) == pytest.approx(values.max(), rel=1e-5)
        assert min(token.value for token in shown) == pytest.approx(values.min(), rel=1e-5)


def test_folding_keeps_the_most_visited(easy: TreeSolution) -> None:
    legal = np.flatnonzero(easy.legal())
    dull = int(legal[np.argsort(easy.q()[legal])[len(legal) // 2]])

    def stubborn(observations: Any, masks: Any, **_: Any) -> Any:
        return np.full(len(masks), dull)

    word = easy.task.tokenizer.tokens[dull]
    assert greedy_path(prefix_tree(easy.policy_value(stubborn))) == [word] * 4
    for depth in (1, 4):
        assert word in [token.text for token in tokens(prefix_tree(easy, policy=stubborn, rows=4, depth=depth))]
    assert word not in [token.text for token in tokens(prefix_tree(easy, rows=4, depth=1))]


def test_a_policy_is_drawn_with_its_own_values_and_stars_for_best_texts(tiny: TreeSolution) -> None:
    worst = TreePolicy(
        tuple(
            np.eye(len(tiny.tree.columns))[np.where(level.legal, q, np.inf).argmin(axis=2)]
            for q, level in zip(tiny.q_values, tiny.tree.levels, strict=True)
        )
    )
    value = tiny.policy_value(worst)
    picture = prefix_tree(value, solution=tiny)
    drawn = {token.text: token for token in tokens(picture)}
    assert greedy_path(picture) == ["<eos>"]
    assert drawn["<eos>"].flow == 1.0
    assert drawn["was"].value == pytest.approx(value.q()[0], rel=1e-5)
    assert drawn["was"].flow == 0.0
    stars = [group for group in parse(picture).iter(f"{SVG}g") if group.find(f"{SVG}polygon") is not None]
    assert [tip_of(group).split("\n")[0] for group in stars if tip_of(group)] == ["was"]


def test_illegal_tokens_are_left_out_unless_a_policy_writes_them(tiny: TreeSolution) -> None:
    class Careless:
        def log_probs(self, observations: Any, masks: Any) -> Any:
            return np.log(np.full(masks.shape, 1.0 / masks.shape[1]))

    assert ALARM not in prefix_tree(tiny)
    picture = prefix_tree(tiny.policy_value(Careless()))
    barred = [path for tip, path in lines(picture).items() if "may not be written" in tip]
    assert barred
    assert all("stroke-dasharray" in path.attrib and path.attrib["stroke"] == ALARM for path in barred)
    flows = {tip.split(" + ")[0]: float(tip.split(" ")[-1]) for tip in lines(picture) if "may not be written" in tip}
    assert flows[""] == pytest.approx(4 / 11, rel=1e-5)
    assert flows["was"] == pytest.approx(1 / 11 * 4 / 11, rel=1e-5)


def test_unknown_values_are_no_numbers(tiny: TreeSolution) -> None:
    q = tiny.q()
    q[A] = np.nan
    first = {token.text: token for token in tokens(prefix_tree({(): q}, solution=tiny))}
    assert np.isnan(first["was"].value)
    assert first["was"].shown == ("was", "?")
    assert first["was"].fill == "#ffffff"
    assert greedy_path(prefix_tree({(): q}, solution=tiny)) == ["great"], "nothing is known after it"


def test_ends_are_marked() -> None:
    picture = prefix_tree(solve(toy(stop=stop_at_c, prompts=["praise"], budget=2)))
    ends = {token.text: token.end for token in tokens(picture)}
    assert ends["<eos>"] == "end token"
    assert ends["c"] == "the task's own end"
    assert ends["a"] == ""
    assert ends["a a"] == "budget used up"
    assert {"end token", "the task's own end", "budget used up"} <= set(texts(picture))


def test_pictures_can_begin_further_on(tiny: TreeSolution) -> None:
    by_text, by_ids = (prefix_tree(tiny, prefix=prefix, depth=2) for prefix in ("was great", [0, 3]))
    assert by_text == by_ids
    assert greedy_path(by_text) == ["was", "great"]
    assert all(token.text.startswith("was great ") for token in tokens(by_text))
    assert max(token.line_width for token in tokens(by_text)) == pytest.approx(0.8 + 8.2 / 7**0.5, abs=0.01)


def test_actions_of_a_wrapper_are_numbered() -> None:
    class Two(gym.ActionWrapper[Any, Any, Any]):
        def __init__(self, env: Any) -> None:
            super().__init__(env)
            self.action_space = gym.spaces.Discrete(2)

        def action(self, action: Any) -> Any:
            return 3 * int(action)

    solution = solve(Two(gym.make("TextGen-v0", level="tiny")))
    assert greedy_path(prefix_tree(solution)) == [str(index) for index in solution.optimal_ids()]
    assert "action 1" in q_table(solution.q_values and [level[:] for level in solution.q_values], solution)


# ---- all pictures ---------------------------------------------------------------------------------------------------


class Hostile(TwoEnds):
    """Tokens that would break out of a careless picture."""

    tokens = ("<script>alert(1)</script>", "\"'&amp;", "]]>\x00", "\x1b[2J\u202e", " b ", "<pad>", "<end>", "<stop>")

    def encode(self, text: str) -> list[int]:
        return []


def test_hostile_texts_stay_texts() -> None:
    prompt = "</text><script>\n&\"'"
    solution = solve(toy(prompts=[prompt], tokenizer=Hostile(), constraints=(), budget=2))
    table = {(): solution.q()}
    for picture in (prefix_tree(solution), prefix_tree(table, solution=solution), q_table(table, solution)):
        shown = "\n".join([*texts(picture), *(title.text or "" for title in parse(picture).iter(f"{SVG}title"))])
        for name in ("<script>alert(1)</script>", "\"'&amp;", "]]>\\x00", "\\x1b[2J\\u202e", "␣b␣"):
            assert name in shown
        assert "</text><script>\\n&\"'" in shown
        assert "<script" not in picture


def test_the_same_values_give_the_same_picture(tiny: TreeSolution, learner: QLearning) -> None:
    again = solve(TINY)
    assert prefix_tree(tiny) == prefix_tree(again)
    assert q_table(learner, tiny) == q_table(learner, again)


def golden_pictures() -> dict[str, str]:
    """The pictures that are kept: no learning in them, so that they are the same everywhere."""
    solution = solve(TINY)
    table = {(): solution.q() + 0.25, "was": solution.q("was"), "was great": -solution.q("was great")}
    table["was"][2] = np.nan
    return {
        "tree-tiny": prefix_tree(solution),
        "tree-policy": prefix_tree(solution.policy_value(table), solution=solution, colour="advantage", depth=3),
        "table-tiny": q_table(table, solution, rows=6, errors=3),
    }


def test_pictures_look_as_they_did(tmp_path: Path) -> None:
    for name, picture in golden_pictures().items():
        new = tmp_path / f"{name}.svg"
        new.write_text(picture, encoding="utf-8", newline="\n")
        known = GOLDEN / new.name
        assert known.read_text(encoding="utf-8") == picture, f"look at {new}; if it is right, copy it to {known}"


def test_the_pictures_of_the_docs_are_up_to_date(root: Path) -> None:
    script = runpy.run_path(str(root / "docs" / "pictures" / "make_values.py"))
    for name, picture in script["draw"]().items():
        known = (root / "docs" / "images" / f"{name}.svg").read_text(encoding="utf-8")
        assert known == picture, f"{name}: python docs/pictures/make_values.py, then look at the new pictures"


def test_every_prompt_has_a_picture_of_its_own() -> None:
    solution = solve(toy(budget=2))
    first, second = solution.task.prompts.texts[0], solution.index.names
    assert len({prefix_tree(solution, prompt=prompt) for prompt in second}) == len(second) > 1
    assert prefix_tree(solution, prompt=0) == prefix_tree(solution, prompt=first)
    whole = [level.copy() for level in solution.q_values]
    assert len({q_table(whole, solution, prompt=prompt) for prompt in second}) == len(second)


# ---- what is refused ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Odd:
    """A table with the wrong number of ids."""

    rows: Any
    q: Any


def known(solution: TreeSolution) -> PolicyValue:
    """What the best player earns."""
    return solution.policy_value(list(solution.q_values))


def refused() -> dict[str, tuple[type[TextGymError], str, Any]]:
    tree = prefix_tree
    return {
        "a table without its solution": (ConfigurationError, "solution=None", lambda s: tree([], solution=None)),
        "an agent that has no table": (SolveError, "policy_value", lambda s: tree(object(), solution=s)),
        "a policy twice": (
            ConfigurationError,
            "leave it out",
            lambda s: tree(known(s), policy=1),
        ),
        "a solution twice": (ConfigurationError, "leave it out", lambda s: tree(s, solution=s)),
        "a table and a policy": (ConfigurationError, "leave it out", lambda s: tree(s.q_values, solution=s, policy=1)),
        "another's policy": (
            ConfigurationError,
            "another solution",
            lambda s: tree(s, policy=known(solve(TINY))),
        ),
        "unknown colours": (ConfigurationError, "value, root, advantage", lambda s: tree(s, colour="q")),
        "no depth": (ConfigurationError, "depth=0", lambda s: tree(s, depth=0)),
        "half a line": (ConfigurationError, "rows=4.5", lambda s: tree(s, rows=4.5)),
        "a tree without width": (ConfigurationError, "width=100", lambda s: tree(s, width=100)),
        "a map without width": (ConfigurationError, "width=100", lambda s: q_table(s.q_values, s, width=100)),
        "no lines": (ConfigurationError, "rows=0", lambda s: q_table(s.q_values, s, rows=0)),
        "an unknown prompt": (PromptError, "pan it", lambda s: tree(s, prompt="pan it")),
        "a table's unknown prompt": (PromptError, "pan it", lambda s: q_table(s.q_values, s, prompt="pan it")),
        "a prefix that cannot be": (SolveError, "may not be written", lambda s: tree(s, prefix="movie")),
        "a text that has ended": (SolveError, "has ended", lambda s: tree(s, prefix=[9])),
        "a short list": (SolveError, "expected", lambda s: q_table([*s.q_values][:2], s)),
        "a short row": (SolveError, "has shape", lambda s: q_table({"was": np.zeros(3)}, s)),
        "a table of other ids": (
            SolveError,
            "another environment",
            lambda s: q_table(Odd({b"": 0}, np.zeros((1, 3))), s),
        ),
        "a table that knows nothing": (SolveError, "knows nothing", lambda s: q_table({}, s)),
        "an empty table's tree": (SolveError, "knows nothing", lambda s: tree({}, solution=s)),
    }


@pytest.mark.parametrize("name", refused())
def test_what_cannot_be_drawn_is_refused(name: str, tiny: TreeSolution) -> None:
    error, words, draw = refused()[name]
    with pytest.raises(error, match=re.escape(words)):
        draw(tiny)


def test_an_automaton_has_no_tree(tiny: TreeSolution) -> None:
    machine = solve(TINY, engine="automaton")
    for draw in (lambda: prefix_tree(machine), lambda: q_table({}, machine), lambda: prefix_tree({}, solution=machine)):
        with pytest.raises(SolveError, match="no tree to draw"):
            draw()


def test_with_several_prompts_one_must_be_named() -> None:
    solution = solve(toy(budget=2))
    with pytest.raises(PromptError, match="say which"):
        prefix_tree(solution)
