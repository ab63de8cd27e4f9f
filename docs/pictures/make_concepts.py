"""Draws the pictures of docs/concepts.md: ``python docs/pictures/make_concepts.py``, then look at them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import textgym
from textgym.colours import css, diverging
from textgym.pictures import svg

FOLDER = Path(__file__).resolve().parents[1] / "images"
WIDTH = 720.0
BLUE, ORANGE, GREY = css(diverging(-0.12)), css(diverging(0.18)), css(diverging(0.0))

Corner = tuple[float, float]


def box(x: float, y: float, width: float, lines: Sequence[str], *, fill: str = GREY, height: float = 46.0) -> str:
    """A box with one bold line and soft ones below."""
    frame = svg.element("rect", x=x, y=y, width=width, height=height, rx=6, fill=fill, stroke=svg.SOFT)
    first = y + height / 2 - 8.0 * (len(lines) - 1)
    words = [
        svg.text(x + width / 2, first + 16.0 * row, line, size=svg.SIZE if not row else svg.SMALL,
                 font_weight=None if row else 600, text_anchor="middle")
        for row, line in enumerate(lines)
    ]  # fmt: skip
    return frame + "".join(words)


def arrow(start: Corner, end: Corner, words: str = "") -> str:
    """A line with a head, and words beside its middle."""
    (x1, y1), (x2, y2) = start, end
    long = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5
    across, down = (x2 - x1) / long, (y2 - y1) / long
    left = (x2 - 9 * across + 4 * down, y2 - 9 * down - 4 * across)
    right = (x2 - 9 * across - 4 * down, y2 - 9 * down + 4 * across)
    head = " ".join(f"{x:.1f},{y:.1f}" for x, y in (end, left, right))
    line = svg.element("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=svg.SOFT, stroke_width=1.5)
    triangle = svg.element("polygon", points=head, fill=svg.SOFT)
    middle = ((x1 + x2) / 2, (y1 + y2) / 2 - 10.0)
    label = svg.text(*middle, words, size=svg.SMALL, fill=svg.SOFT, text_anchor="middle") if words else ""
    return line + triangle + label


def note(x: float, y: float, words: str, **style: object) -> str:
    """A soft remark."""
    return svg.text(x, y, words, size=svg.SMALL, fill=svg.SOFT, **style)


def decision_process() -> str:
    """A text as a walk through states."""
    states = ["praise the movie ▸", "… was", "… was great", "… was great."]
    widths, x = [150.0, 100.0, 130.0, 140.0], 16.0
    parts, tokens = [], ["was", "great", "<eos>"]
    paid = float(textgym.score("TextGen-v0", ["praise the movie"], ["was great"])[0])
    for place, (state, width) in enumerate(zip(states, widths, strict=True)):
        kind = "state, the end" if place == 3 else "state"
        parts.append(box(x, 40.0, width, [state, kind], fill=ORANGE if place == 3 else GREY))
        if place < 3:
            parts.append(arrow((x + width, 63.0), (x + width + 54.0, 63.0), tokens[place]))
            parts.append(
                note(x + width + 27.0, 104.0, "reward 0" if place < 2 else f"reward {paid:.2f}", text_anchor="middle")
            )
        x += width + 54.0
    parts.append(note(svg.MARGIN, 20.0, "prompt and text so far", font_weight=600))
    parts.append(note(x - 54.0, 20.0, "action: one token", text_anchor="end", font_weight=600))
    parts.append(note(svg.MARGIN, 130.0, "The mask says which tokens are legal; the reward comes with the last one."))
    label = "A text as a decision process: four states from the prompt to the end, a token leads from each to the next."
    return svg.picture(parts, width=x - 38.0, height=148.0, label=label)


def one_core() -> str:
    """Who owns the rules, and who only dresses them."""
    parts = [
        box(180.0, 20.0, 360.0, ["GenerationCore", "all transition rules, for a batch of texts at once"], fill=ORANGE),
        box(40.0, 120.0, 270.0, ["TextGenerationEnv", "gym.make: a batch of one"], fill=BLUE),
        box(410.0, 120.0, 270.0, ["TextGenerationVectorEnv", "gym.make_vec: all three autoreset modes"], fill=BLUE),
        arrow((300.0, 66.0), (200.0, 120.0)),
        arrow((420.0, 66.0), (520.0, 120.0)),
        box(40.0, 210.0, 270.0, ["q_learning, DQN, PPO, people", "one text at a time"]),
        box(410.0, 210.0, 270.0, ["the same, and language models", "thousands of texts at a time"]),
        arrow((175.0, 166.0), (175.0, 210.0)),
        arrow((545.0, 166.0), (545.0, 210.0)),
        note(WIDTH / 2, 276.0, "Lane i of a vector environment seeded s goes the way of the single one seeded s + i.",
             text_anchor="middle"),
    ]  # fmt: skip
    label = "One core, two shells: GenerationCore below both TextGenerationEnv and TextGenerationVectorEnv."
    return svg.picture(parts, width=WIDTH, height=294.0, label=label)


def rewards() -> str:
    """What is paid, and what is true."""
    parts = [
        box(20.0, 70.0, 150.0, ["finished text", "ids, prompt, key"]),
        box(250.0, 20.0, 200.0, ["reward", "a rule, a metric, a learned model"], fill=BLUE),
        box(250.0, 120.0, 200.0, ["gold", "the true score"], fill=ORANGE),
        box(540.0, 20.0, 160.0, ["the agent", "is paid and learns"]),
        box(540.0, 120.0, 160.0, ["evaluation", "shows both, to people"]),
        arrow((170.0, 85.0), (250.0, 45.0)),
        arrow((170.0, 101.0), (250.0, 141.0)),
        arrow((450.0, 43.0), (540.0, 43.0), "paid"),
        arrow((450.0, 143.0), (540.0, 143.0)),
        arrow((450.0, 60.0), (540.0, 126.0)),
        note(20.0, 190.0, "Reward up, gold down: the agent has found a mistake of the reward. That is reward hacking."),
    ]
    label = "Reward and gold: the agent is paid by the reward, the evaluation shows the reward and the true score."
    return svg.picture(parts, width=WIDTH, height=208.0, label=label)


def seeds() -> str:
    """Where random numbers come from."""
    parts = [
        box(20.0, 60.0, 120.0, ["reset(seed=s)", "lane i: s + i"]),
        box(230.0, 60.0, 180.0, ["key of episode k", "hash(lane seed, k)"], fill=ORANGE),
        box(500.0, 12.0, 200.0, ["which prompt", "hash(key)"], fill=BLUE),
        box(500.0, 66.0, 200.0, ["noise of the reward", "hash(key, \"noise\", position)"], fill=BLUE),
        box(500.0, 120.0, 200.0, ["replies of a partner", "hash(key, \"partner\", position)"], fill=BLUE),
        arrow((140.0, 83.0), (230.0, 83.0), "k = 0, 1, 2 …"),
        arrow((410.0, 76.0), (500.0, 36.0)),
        arrow((410.0, 83.0), (500.0, 89.0)),
        arrow((410.0, 92.0), (500.0, 142.0)),
        note(20.0, 188.0, "No generator is used up: an episode does not depend on what else runs beside it."),
    ]  # fmt: skip
    label = "Seeds: a lane's seed and the number of the episode give a key, from which all random numbers are hashed."
    return svg.picture(parts, width=WIDTH, height=206.0, label=label)


def draw() -> dict[str, str]:
    """Name -> SVG of every picture on the page."""
    return {
        "concept-process": decision_process(),
        "concept-core": one_core(),
        "concept-rewards": rewards(),
        "concept-seeds": seeds(),
    }


def main() -> None:
    """Writes the files."""
    for name, picture in draw().items():
        (FOLDER / f"{name}.svg").write_text(picture, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
