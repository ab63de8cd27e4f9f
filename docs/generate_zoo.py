"""Writes docs/course/bug_zoo.md and its pictures: every exhibit is run, as it is and mended.

Run ``python docs/generate_zoo.py`` to write them; with ``--check`` it writes nothing and fails where the page differs
from what it would write, or a picture by more than two pixels (another processor rounds differently).
"""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path

from textgym.course.zoo.bug import Findings
from textgym.course.zoo.drawing import draw
from textgym.course.zoo.running import NAMES, blurb, cure, get, run

COURSE = Path(__file__).parent / "course"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
PIXELS = 2.0
GROUPS = {
    "hamster": ("Tables of values", "Q-learning by table, on texts that fit on a blackboard."),
    "goldfish": ("Policies and critics", "Policy gradients, imitation, and what learns beside them."),
    "flounder": ("Judgements, rewards and exams", "What the agent is paid for, and what is reported of it."),
}

HEAD = """\
# The bug zoo

A program that crashes is a good program: it says where to look. The programs here do not crash. Each of the
{count} exhibits trains a small agent in a textgym environment, without an error and without a warning, in less than
two seconds. Most of their curves rise. And each is wrong in one function.

Such bugs are the common ones in reinforcement learning on text. They are found by knowing which number to look at,
and that is what the zoo trains. Take an exhibit and read its symptom here. Then print its program, run it, and find the
function that is wrong:

```bash
textgym zoo list
textgym zoo show hamster > mine.py
textgym zoo run hamster --out hamster.svg
```

What a program imports from `textgym.course.zoo.tools` is sound; the bug stands in the file itself. Mend it in
`mine.py`, and have it tried with five seeds:

```bash
textgym zoo check hamster --submission mine.py
```

The check replaces the exhibit's functions by those of your file. It looks at the number that gives the bug away, and at
those that must stay healthy. It runs your file in the same confined process as `textgym grade`. The file may also hold
one function alone. To mend is half of it: write down in two sentences why nothing complained.
`textgym zoo show hamster --spoiler` has the answer, and so have the folds on this page.

The pictures show each program as it is and, dashed or in the second colour, what it would have drawn without its bug.
Numbers are those of seed 0.
"""

EXHIBIT = """\
({name})=
### The {name}

{blurb}

**Symptom.** {symptom}

![{alt}](zoo/{name}.svg)

| number | as it is | mended |
| --- | ---: | ---: |
{rows}

Look at the *{number}*: {meaning}. When all is well it lies from {low} to {high}.

:::{{dropdown}} Spoiler: what is wrong with the {name}
**{title}**, in `{faulty}`.

{explanation}

```{{code-block}} python
{cure}
```
:::
"""


def files() -> dict[str, str]:
    """Every file that is written: its name below docs/course, and its text."""
    parts, pictures = [HEAD.format(count=len(NAMES))], {}
    for name in NAMES:
        runs = {"as it is": run(name, 0), "mended": run(name, 0, mended=True)}
        pictures[f"zoo/{name}.svg"] = draw(get(name), f"The {name}", runs)
        if name in GROUPS:
            parts.append("## {}\n\n{}\n".format(*GROUPS[name]))
        parts.append(exhibit(name, runs))
    return {"bug_zoo.md": "\n".join(parts), **pictures}


def exhibit(name: str, runs: dict[str, Findings]) -> str:
    """The section of an exhibit."""
    bug = get(name)
    numbers = [key for key, value in runs["as it is"].items() if not isinstance(value, list)]
    rows = [
        f"| {mark(key, bug.tell.number)} | {' | '.join(spell(one[key]) for one in runs.values())} |" for key in numbers
    ]
    words = blurb(name).partition(": ")[2]
    return EXHIBIT.format(
        name=name,
        blurb=words[0].upper() + words[1:],
        symptom=bug.symptom,
        alt=f"{bug.chart.up}, by {bug.chart.across or 'what was asked'}: as it is and mended",
        rows="\n".join(rows),
        number=bug.tell.number,
        meaning=bug.tell.meaning,
        low=f"{bug.tell.sound[0]:g}",
        high=f"{bug.tell.sound[1]:g}",
        title=bug.name[0].upper() + bug.name[1:],
        faulty=bug.faulty,
        explanation=textwrap.fill(bug.explanation, 120, break_long_words=False),
        cure=cure(name).rstrip(),
    )


def mark(number: str, tell: str) -> str:
    """The number to look at, in bold."""
    return f"**{number}**" if number == tell else number


def spell(value: float) -> str:
    """Whole numbers as they are, others with one decimal: further ones differ between processors."""
    return f"{value:,}" if isinstance(value, int) else f"{value + 0.0:.1f}".replace("-0.0", "0.0").replace("-", "−")


def same(name: str, one: str, other: str) -> bool:
    """Whether two files are alike: pages exactly, pictures to two pixels."""
    if not name.endswith(".svg"):
        return one == other
    if NUMBER.sub("#", one) != NUMBER.sub("#", other):
        return False
    pairs = zip(NUMBER.findall(one), NUMBER.findall(other), strict=True)
    return all(abs(float(left) - float(right)) <= PIXELS for left, right in pairs)


def main(arguments: list[str]) -> int:
    """Writes the files or checks them; returns the exit status."""
    if arguments not in ([], ["--check"]):
        raise SystemExit(__doc__)
    written = files()
    (COURSE / "zoo").mkdir(parents=True, exist_ok=True)
    if not arguments:
        for name, text in written.items():
            (COURSE / name).write_text(text, encoding="utf-8", newline="\n")
        return 0
    there = {path.relative_to(COURSE).as_posix() for path in (COURSE / "zoo").glob("*")} | {"bug_zoo.md"}
    wrong = sorted(written.keys() ^ there)
    for name in sorted(written.keys() & there):
        path = COURSE / name
        if not path.exists() or not same(name, written[name], path.read_text(encoding="utf-8")):
            wrong.append(name)
    for name in wrong:
        print(f"{COURSE / name} is out of date; run python docs/generate_zoo.py and commit what it writes")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
