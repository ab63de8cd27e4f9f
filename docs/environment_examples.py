"""The worked examples and the picture on an environment's page."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from environment_writing import Written, best_text, clumsy_text, random_text

from textgym.cli.facts import converse, open_env, step_through
from textgym.errors import TextGymError
from textgym.exact import solve
from textgym.factory import EnvFactory
from textgym.pictures import prefix_tree
from textgym.rendering import Overlay, html
from textgym.rendering.spelling import visible

SOLVED_TEXTS, DRAWN_TEXTS = 2_000_000, 20_000
"""Up to so many texts a prompt, the reward's favourite is looked for, and all texts are drawn."""


def examples(facts: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """The best text, a demonstration, and the favourite of a reward that is not gold, else a random text."""
    best, demonstration, favourite = facts["example"]["best"], facts["example"]["demonstration"], find_favourite(facts)
    praise = f"the best text under {'gold' if facts['example']['best_under'] == 'gold' else 'the reward'}"
    if best is not None and facts["turns"] > 1:
        written = best_text(factory(facts))
        yield row_of(facts, written), praise
        yield (
            row_of(facts, clumsy_text(factory(facts), written.reward)),
            "clumsy play: at random first, and then as well as it can",
        )
    elif best is not None:
        yield best, praise
    if demonstration is not None:
        yield demonstration, "a demonstration, as people might write it"
    if best is not None and favourite not in (None, best["text"]):
        env = open_env(factory(facts))
        written = step_through(env, env.task.prompts.index_of(facts["example"]["prompt"]), favourite)
        lost = number(best["gold"] - written["gold"])
        yield written, f"the favourite of the reward: no text earns more, and its gold is {lost} below the best"
    else:
        written = random_text(factory(facts))
        fails = facts["turns"] > 1 and written.reward <= (facts["reward"]["range"][0] or 0.0)
        yield row_of(facts, written), "failing play: at random" if fails else "random play"


def row_of(facts: dict[str, Any], written: Written) -> dict[str, Any]:
    """An example as the others are; a conversation also has its turns."""
    return {"prompt": facts["example"]["prompt"], "text": written.turns[0][1], **vars(written)}


def spoken(written: dict[str, Any]) -> str:
    """The cell of an example: a text, or a conversation in which the answers are in italics."""
    turns = written.get("turns", [("agent", written["text"])])
    shown = [code(text) if side == "agent" else f"*{visible(text)}*" for side, text in turns if text]
    return " ".join(shown) or "*(empty)*"


def find_favourite(facts: dict[str, Any]) -> Any:
    """The reward's favourite text for the example prompt; None where the reward is gold or is too hard to solve."""
    if facts["gold"] is None:
        return None
    prompt, seconds = facts["example"]["prompt"], math.inf if count_texts(facts) <= SOLVED_TEXTS else 0.0
    try:
        return solve(factory(facts), prompt=prompt, max_seconds=seconds).optimal_texts[prompt][0]
    except TextGymError:
        return None


def picture(name: str, levels: list[dict[str, Any]]) -> tuple[str, dict[str, str]]:
    """What the page shows on top, and its files: the tree of all texts of a small level, else one text."""
    for facts in levels:
        if count_texts(facts) <= DRAWN_TEXTS and not facts["reward"]["stochastic"]:
            prompt, file = facts["example"]["prompt"], f"{slug(name)}.svg"
            tree = prefix_tree(solve(factory(facts), prompt=prompt, engine="tree", max_seconds=math.inf), rows=20)
            caption = f"The level {facts['level']}: what can still be earned after each token."
            return f"![{caption}]({file})\n\n*{caption}*", {file: tree.rstrip("\n") + "\n"}
    return f"```{{raw}} html\n{text_picture(levels[0])}\n```", {}


def text_picture(facts: dict[str, Any]) -> str:
    """The example's best text with what each token adds to its score, as HTML."""
    example = facts["example"]["best"] or facts["example"]["demonstration"]
    timing = "end" if facts["reward"]["stochastic"] else "step"
    env = open_env(factory(facts, reward_timing=timing))
    row = env.task.prompts.index_of(example["prompt"])
    written = converse(env, row) if env.task.partner else step_through(env, row, example["text"])
    overlay = Overlay("reward", [float(number(reward)) for reward in written["token_rewards"]])
    tokens, total = written["tokens"], float(number(written["reward"]))
    return html(written["prompt"], tokens, stop_reason=written["stop_reason"], reward=total, overlay=overlay)


def count_texts(facts: dict[str, Any]) -> float:
    """About how many texts a prompt has; at most so many where the mask changes."""
    choices = facts["mask"]["legal_at_first"] if facts["mask"]["fixed"] else facts["vocabulary"]
    return float(choices) ** float(facts["max_new_tokens"])


def factory(facts: dict[str, Any], **extra: Any) -> EnvFactory:
    """Makes the environment that was described."""
    return EnvFactory(facts["id"], {"level": facts["level"], **extra})


def slug(name: str) -> str:
    """The name of a task's page."""
    return name.lower()


def number(value: float) -> str:
    """Three decimals, so that no page depends on the processor."""
    return f"{round(value, 3) + 0.0:.3f}"


def code(text: str) -> str:
    """Any text as code in Markdown."""
    return f"`` {visible(text)} ``" if "`" in text else f"`{visible(text)}`"
