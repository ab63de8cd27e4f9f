"""The report of a loop: one page that shows what went in and came out of every stage, with the truth beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from textgym.atomic import write_whole
from textgym.benchmarks import report_plots as plots
from textgym.benchmarks.records import Measure, RunResult
from textgym.benchmarks.report_style import STYLE
from textgym.comparisons import Comparison
from textgym.rlhf.plan import Plan
from textgym.rlhf.stages import Round, agreement_with_gold

REPORT, NUMBERS = "report.html", "report.json"
SHOWN = 6  # texts and comparisons of each round


def write_report(plan: Plan, rounds: Sequence[Round], out: Path) -> Path:
    """Writes the page and, for programs, the same numbers as JSON; returns the page's path."""
    write_whole(out / NUMBERS, json.dumps([numbers(plan, item) for item in rounds], indent=2) + "\n")
    write_whole(out / REPORT, render(plan, rounds))
    return out / REPORT


def numbers(plan: Plan, item: Round) -> dict[str, Any]:
    """What a round gave, as JSON has it."""
    return {
        "round": item.number, "comparisons": len(item.comparisons), "learned_from": item.seen, "choices": item.choices,
        "agreement_with_gold": agreement_with_gold(plan, item.comparisons), "reward_model": item.fit,
        "measures": [
            {name: getattr(found, name) for name in ("play", "split", "score", "mean", "standard_error", "normalized")}
            for found in item.result.measures
        ],
        "steps": item.result.steps, "reward_calls": item.result.reward_calls, "seconds": item.seconds,
    }  # fmt: skip


def render(plan: Plan, rounds: Sequence[Round]) -> str:
    """The page as text."""
    title = f"{plan.env_id}: {plan.algo} on a reward model"
    if plan.reward is None:
        source = "a file of labels" if plan.labels else f"{plan.annotator} annotators"
        lead = f"Texts were compared by {source}, a reward model ({plan.model}) learned from it, {plan.algo} from that."
    else:
        lead = f"{plan.algo} was trained on the reward model {plan.reward_name}."
    body = [f"<h1>{escape(title)}</h1>", f"<p class=soft>{escape(lead)}</p>", _overview(plan, rounds)]
    body += [section for item in rounds for section in _round(plan, item)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body><main>\n"
        + "\n".join(body)
        + "\n</main></body></html>\n"
    )


def _overview(plan: Plan, rounds: Sequence[Round]) -> str:
    """What the agent is paid and what it is worth, round by round."""
    head = ["round", "comparisons", "proxy", "gold", "held-out proxy", "held-out gold"]
    rows = []
    for item in rounds:
        training = item.result.training_split
        cells = [_value(item.result.measure("greedy", training, score)) for score in ("reward", "gold")]
        cells += [_value(item.result.measure("greedy", "test", score)) for score in ("reward", "gold")]
        rows.append([str(item.number), f"{item.seen:,}" if item.seen else "–", *cells])
    lines = rounds[0].result.references.get(rounds[0].result.training_split, {}).get("gold")
    note = "Greedy texts, mean ± standard error; proxy = what the reward model pays, gold = the true score."
    if lines:
        shown = ", ".join(f"{name} {plots.number(lines[name])}" for name in ("random", "blind", "best"))
        note += f" Gold of random play, of the best prompt-blind text and of the best texts: {shown}."
    elif rounds[0].result.measure("greedy", rounds[0].result.training_split, "gold") is None:
        note += " This task has no gold score: nobody knows here whether the proxy misleads."
    return f"<h2>Proxy and gold</h2><p>{escape(note)}</p>{_table(head, rows)}"


def _round(plan: Plan, item: Round) -> Iterable[str]:
    yield f"<h2>Round {item.number}</h2>"
    if item.comparisons:
        yield _judgements(plan, item)
    if item.fit:
        yield "<h3 class=agent-texts>Reward model</h3>" + _metrics(item.fit)
    kinds = {"At the start of training": "start", "Greedy, training": "greedy", "Greedy, held-out": "held_out"}
    figures = [_curve(item.result, score) for score in ("reward", "gold")]
    figures += [_texts(title, item.result.texts.get(name, [])) for title, name in kinds.items()]
    yield f"<h3 class=agent-texts>Training</h3><div class=grid>{''.join(figures)}</div>"
    shown = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in item.seconds.items())
    yield f"<p class='soft small'>{escape(shown)}; {item.result.reward_calls:,} texts scored in training</p>"


def _judgements(plan: Plan, item: Round) -> str:
    counts = ", ".join(f"{choice.replace('_', ' ')} {count:,}" for choice, count in item.choices.items())
    agreed = agreement_with_gold(plan, item.comparisons)
    truth = "" if agreed is None else f" The text with the higher gold score was chosen in {agreed:.0%}."
    rows = [_comparison(given) for given in item.comparisons[:SHOWN]]
    table = _table(["prompt", "left", "right", "choice"], rows)
    return f"<h3 class=agent-texts>Comparisons</h3><p>{escape(counts)}.{escape(truth)}</p>{table}"


def _comparison(given: Comparison) -> list[str]:
    return [given.prompt, given.left or "(empty)", given.right or "(empty)", given.choice.replace("_", " ")]


def _metrics(values: Mapping[str, Any]) -> str:
    """The reward model on what it has learned from, and on prompts that were held out."""
    parts = {name: found for name, found in values.items() if isinstance(found, Mapping)}
    names = list(dict.fromkeys(name for found in parts.values() for name in found))
    rows = [[part, *(_fact(found.get(name)) for name in names)] for part, found in parts.items()]
    return _table(["comparisons", *names], rows)


def _fact(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() and value > 1 else plots.number(value, 3)
    return "–" if value is None else str(value)


def _curve(result: RunResult, score: str) -> str:
    """What the texts written in training earned."""
    line = [(point["steps"], point[score]) for point in result.curve if point[score] is not None]
    if not line:
        return ""
    lines = result.references.get(result.training_split, {}).get(score, {})
    references = [
        plots.Reference(value=lines[name], label=label)
        for name, label in (("best", "best text"), ("blind", "best prompt-blind text"))
        if lines.get(name) is not None
    ]
    ends = [value for _, value in line] + [reference.value for reference in references]
    low, high = min(ends), max(ends)
    margin = 0.05 * (high - low) or 1.0
    name = {"reward": "Proxy", "gold": "Gold"}[score]
    curve = plots.Curve(label=name.lower(), style=int(score == "gold"), line=line, band=[])
    picture = plots.learning_curves(
        [curve], references, title=f"{name} against environment steps", log=False, low=low - margin, high=high + margin
    )
    note = "as paid, exploration included"
    return f"<figure><h3>{name} in training</h3>{picture}<figcaption>{note}</figcaption></figure>"


def _texts(title: str, texts: Sequence[Mapping[str, Any]]) -> str:
    if not texts:
        return ""
    rows = [
        [text["prompt"], text["completion"].strip() or "(empty)", _number(text["reward"]), _number(text["gold"])]
        for text in texts[:SHOWN]
    ]
    return f"<figure><h3>{escape(title)}</h3>{_table(['prompt', 'text', 'proxy', 'gold'], rows)}</figure>"


def _number(value: float | None) -> str:
    return "–" if value is None else plots.number(value)


def _value(measure: Measure | None) -> str:
    return "–" if measure is None else f"{plots.number(measure.mean)} ± {plots.number(measure.standard_error)}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<div class=scroll><table><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table></div>"
