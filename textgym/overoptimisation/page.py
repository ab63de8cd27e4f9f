"""A study as one HTML page that needs no network and no script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from textgym.overoptimisation.drawing import draw
from textgym.overoptimisation.forms import FORMS
from textgym.overoptimisation.results import BEST_OF_N, Cell, Curve, Study
from textgym.overoptimisation.tables import Summary, group_curves, summarise
from textgym.rendering.spelling import visible

LARGE_DROP = 0.5
"""A loss of gold that the page points out."""

_DRAWS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536)

STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --ink: #1c2026; --soft: #59616b; --rule: #dde1e6; --alarm: #a33a00; }
@media (prefers-color-scheme: dark) { :root { --page: #14171b; --ink: #e8eaed; --soft: #a3abb5; --rule: #343a42;
  --alarm: #ffb07a; } }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, "Segoe UI", Roboto, Arial,
  sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 .4rem; } h2 { font-size: 1.25rem; margin: 2.4rem 0 .5rem; }
p { max-width: 48rem; } .soft, caption { color: var(--soft); } .scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .35rem .7rem .35rem 0; border-bottom: 1px solid var(--rule); vertical-align: top; }
td.number, th.number { text-align: right; } .alarm { color: var(--alarm); font-weight: 600; }
summary { cursor: pointer; color: var(--soft); margin: .6rem 0; }
"""


def render(study: Study) -> str:
    """The page as text."""
    title = f"When the reward is hacked: {study.env_id}"
    sections = [
        f"<h1>{escape(title)}</h1>",
        _lead(study),
        f"<div class=scroll>{draw(study)}</div>",
        _summary(study),
        _agents(study),
        _texts(study),
        _fits(study),
        _divergences(study),
        _method(study),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body><main>\n"
        + "\n".join(section for section in sections if section)
        + "\n</main></body></html>\n"
    )


def number(value: float, digits: int = 2) -> str:
    """A number for people, with a real minus sign and no negative zero.

    Example:
        >>> number(-0.001), number(-1.25)
        ('0.00', '−1.25')
    """
    shown = f"{value:.{digits}f}"
    return (shown.removeprefix("-") if float(shown) == 0.0 else shown).replace("-", "−")


def name_cell(cell: Cell) -> list[str]:
    """Class, pairs and noise of a proxy, in words."""
    pairs = "–" if cell.pairs is None else f"{cell.pairs:,}"
    noise = "–" if cell.noise is None else f"{cell.noise:.0%}"
    return [cell.model, pairs, noise]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, words: int) -> str:
    """A table whose first ``words`` columns are words and the others numbers; cells may be marked ``!``."""

    def cell(place: int, content: str, tag: str) -> str:
        kind = "" if place < words else " class=number"
        alarm = content.startswith("!")
        shown = escape(content.removeprefix("!"))
        return f"<{tag}{kind}>{f'<span class=alarm>{shown}</span>' if alarm else shown}</{tag}>"

    def line(cells: Sequence[str], tag: str) -> str:
        return f"<tr>{''.join(cell(place, content, tag) for place, content in enumerate(cells))}</tr>"

    body = "".join(line(row, "td") for row in rows)
    return f"<div class=scroll><table><thead>{line(head, 'th')}</thead><tbody>{body}</tbody></table></div>"


def _lead(study: Study) -> str:
    worst = max(summarise(study), key=lambda each: each.drop)
    arguments = ", ".join(f"{key}={value!r}" for key, value in study.env_kwargs.items())
    what = f"Environment {study.env_id}{f' ({arguments})' if arguments else ''}; reference: {study.reference}. "
    how = f"All {study.texts:,} texts of each prompt were tried, so nothing here is estimated. "
    if not study.exact:
        how = f"Estimated from {study.texts:,} texts a prompt ({study.why_sampled}). "
    found = (
        f"The most gold was lost with {_sentence(worst)}: {number(worst.peak)} at its peak, {number(worst.end)} when "
        "it was optimised as hard as it could be."
    )
    return f"<p class=soft>{escape(what + how)}</p><p>{escape(found)}</p>"


def _sentence(line: Summary) -> str:
    model, pairs, noise = name_cell(line.cell)
    learned = "" if line.cell.pairs is None else f" from {pairs} pairs with {noise} noise"
    return f"{model}{learned} ({line.method})"


def _summary(study: Study) -> str:
    head = ["proxy", "pairs", "noise", "method", "start", "peak", "at √KL", "end", "at √KL", "drop", "over seeds"]
    rows = []
    for line in summarise(study):
        drop = ("!" if line.drop >= LARGE_DROP else "") + number(line.drop)
        spread = f"{number(line.least_drop)} to {number(line.most_drop)}" if line.seeds > 1 else "one seed"
        values = [line.start, line.peak, line.peak_distance, line.end, line.end_distance]
        rows.append([*name_cell(line.cell), line.method, *map(number, values), drop, spread])
    return f"<h2>Gold at the start, the peak and the end</h2>{_table(head, rows, words=4)}"


def _agents(study: Study) -> str:
    if not study.agents:
        return ""

    def show(value: float, error: float) -> str:
        return number(value) if study.exact else f"{number(value)} ± {number(error)}"

    rows = [
        [each.name, number(each.distance), show(each.kl, each.kl_error), show(each.gold, each.gold_error)]
        + [show(each.reward, each.reward_error)]
        for each in study.agents
    ]
    return f"<h2>Trained agents</h2>{_table(['agent', '√KL', 'KL', 'gold', 'reward'], rows, words=1)}"


def _texts(study: Study) -> str:
    parts = []
    for cell in dict.fromkeys(each.cell for each in study.excerpts):
        rows = [
            [each.place, visible(each.prompt), visible(each.text) or "(empty)", number(each.proxy), number(each.gold)]
            for each in study.excerpts
            if each.cell == cell
        ]
        title = ", ".join(
            [cell.model] + ([] if cell.pairs is None else [f"{cell.pairs:,} pairs, {cell.noise:.0%} noise"])
        )
        table = _table(["where", "prompt", "text", "proxy", "gold"], rows, words=3)
        parts.append(f"<details><summary>{escape(title)}</summary>{table}</details>")
    about = "<p class=soft>Drawn from the tilted policy, with the same random numbers at every place.</p>"
    return f"<h2>Texts at the start, the peak and the end</h2>{about}{''.join(parts)}"


def _fits(study: Study) -> str:
    head = ["proxy", "pairs", "noise", "seed", "method", "formula", "alpha", "beta", "R²", "error", "largest residual"]
    rows = [
        [*name_cell(curve.cell), "–" if curve.cell.seed is None else str(curve.cell.seed), curve.method]
        + [FORMS[fit.form], number(fit.alpha), number(fit.beta), number(fit.r_squared, 4), number(fit.error, 3)]
        + [number(max(map(abs, fit.residuals)), 3)]
        for curve in study.curves
        for fit in curve.fits
    ]
    if not rows:
        return ""
    about = (
        "<p class=soft>Gold gained since the start, as two functions of d = √KL, by least squares. Gao et al. (2022) "
        "found the first for best-of-n and the second for reinforcement learning; whether either holds here is for the "
        "residuals to say.</p>"
    )
    table = f"<details><summary>All fits</summary>{_table(head, rows, words=6)}</details>"
    return f"<h2>Two formulas</h2>{about}{table}"


def _divergences(study: Study) -> str:
    curves: list[Curve] = [found[0] for (_, method), found in group_curves(study).items() if method == BEST_OF_N]
    if not curves:
        return ""
    rows = []
    for curve in curves:
        for point in curve.points:
            if int(point.strength) in _DRAWS and point.formula is not None:
                shown = [f"{point.strength:,.0f}", number(point.kl, 4), number(point.formula, 4)]
                rows.append([*name_cell(curve.cell), *shown, number(point.formula - point.kl, 4)])
    about = "<p class=soft>log n − (n − 1)/n holds where no two texts get the same score; with ties it is too much.</p>"
    head = ["proxy", "pairs", "noise", "n", "KL", "log n − (n − 1)/n", "too much by"]
    table = f"<details><summary>By proxy and n</summary>{_table(head, rows, words=3)}</details>"
    return f"<h2>The divergence of best-of-n</h2>{about}{table}"


def _method(study: Study) -> str:
    words = (
        f"A simulated annotator compares texts of the reference by {study.true_score}, and errs more often the closer "
        f"they are (temperature {study.temperature:.3g}); noise is the share of judgements that are then turned "
        "around. "
        "Each proxy is put on the scale of the true score: the same mean and standard deviation under the reference. "
        "The tilted policy is proportional to reference × exp(proxy / temperature), best-of-n keeps the text of n that "
        "the proxy likes best."
    )
    return f"<h2>How this was measured</h2><p>{escape(words)}</p>"
