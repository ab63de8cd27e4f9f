"""The gallery: for each task and level a prompt, what the best writer makes of it, and what random play does."""

from __future__ import annotations

import html

from environment_examples import factory, slug
from environment_tables import actions, families, level_facts, missing
from environment_writing import Written, best_text, random_text

from textgym import tasks
from textgym.rendering.spelling import visible

PROMPT_LENGTH, TEXT_LENGTH, TURNS = 130, 90, 8
"""What is longer is folded."""

INTRODUCTION = """\
# Gallery

What every task looks like, level by level: a prompt, what the best known writer makes of it, and what random play does.
The numbers are the reward and, where that is not the same, *gold*: the true score, which the best writer writes for.
Where chance has a part, the one of nine tries is shown whose reward is in the middle. In conversations, the answers of
the other side are marked by ↳. Long texts are folded: click to read on.

[The suite](suite.md) says which task is good for what, and each task's own page has its rules and exact returns."""


def gallery_page() -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for title, names in families().items():
        parts += [f"## {title}", *(task_section(name) for name in names)]
    return "\n\n".join(parts) + "\n"


def task_section(name: str) -> str:
    """A heading, the summary, and a card for each level."""
    heading = f"### {name}\n\n{tasks.get(name).summary} [More](environments/{slug(name)}.md)"
    if missing(name):
        return f"{heading}\n\n*Not shown: {missing(name)}*"
    cards = "\n".join(card(name, level) for level in tasks.get(name).levels)
    return f'{heading}\n\n<div class="gallery">\n{cards}\n</div>'


def card(name: str, level: str) -> str:
    """One level: prompt, best text, random text."""
    facts = level_facts(name, level)
    envs, prompt = factory(facts), facts["example"]["prompt"]
    turns = f", {facts['turns']} turns" if tasks.get(name).partner else ""
    size = f"{actions(facts):,} actions, {facts['max_new_tokens']} tokens{turns}"
    lines = [
        '<div class="card">',
        f"<p><strong>{html.escape(level)}</strong> <small>{size}</small></p>",
        f"<blockquote>{folded(prompt, PROMPT_LENGTH)}</blockquote>",
        text_lines("best", best_text(envs)),
        text_lines("random", random_text(envs)),
        "</div>",
    ]
    return "\n".join(lines)


def text_lines(who: str, written: Written) -> str:
    """Who wrote what, and what it earned."""
    gold = "" if written.gold is None else f", gold {short_number(written.gold)}"
    earned = f'<p class="{who}">{who} <span>{short_number(written.reward)}{gold}</span></p>'
    return f"{earned}\n<div>{conversation(written.turns)}</div>"


def conversation(turns: list[tuple[str, str]]) -> str:
    """The turns as HTML, those in the middle of a long one folded away."""
    if len(turns) == 1:
        return folded(turns[0][1], TEXT_LENGTH, mark="code")
    lines = [turn(side, text) for side, text in turns]
    if len(lines) <= TURNS:
        return "".join(lines)
    hidden = lines[TURNS - 3 : -2]
    more = f"<details><summary>{len(hidden)} more turns</summary>{''.join(hidden)}</details>"
    return "".join([*lines[: TURNS - 3], more, *lines[-2:]])


def turn(side: str, text: str) -> str:
    """A line of a conversation."""
    words = safe(visible(text)) or "<em>(nothing)</em>"
    return f"<div><code>{words}</code></div>" if side == "agent" else f"<div>↳ {words}</div>"


def folded(text: str, length: int, *, mark: str = "span") -> str:
    """A text as HTML; of a long one only the beginning can be seen at first."""
    shown = visible(text)
    if not shown:
        return "<em>(empty)</em>"
    if len(shown) <= length:
        return f"<{mark}>{safe(shown)}</{mark}>"
    start = shown[: length - 20].rsplit(" ", 1)[0]
    rest = safe(shown[len(start) :].strip())
    summary = f"<summary><{mark}>{safe(start)} …</{mark}></summary>"
    return f"<details>{summary}<{mark}>{rest}</{mark}></details>"


def safe(text: str) -> str:
    """A text as HTML; brackets that would be taken for a link in Markdown are none."""
    return html.escape(text).replace("](", "]&#40;")


def short_number(value: float) -> str:
    """Two decimals, three digits of a number that is smaller than that."""
    return f"{value:.2g}" if 0 < abs(value) < 0.01 else f"{round(value, 2) + 0.0:.2f}"
