"""``textgym label queries``: does choosing which pairs to ask about help?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from textgym.cli.options import EnvConfigFile, Settings, read_settings

if TYPE_CHECKING:
    from textgym.feedback.query_study import Floats, QueryStudy

TABLE = "query strategies"

_REPLICATES = 10_000


def queries(
    env_id: Annotated[str, typer.Argument(help="Environment id, of a task with a gold score.")] = "TextGen-v0",
    seeds: Annotated[int, typer.Option(min=1, help="Repetitions with other texts and answers.")] = 10,
    pairs: Annotated[int, typer.Option(min=20, help="Answers that each strategy may ask for.")] = 200,
    pool: Annotated[int, typer.Option(min=1, help="Pairs to choose from for each answer.")] = 5,
    noise: Annotated[
        float,
        typer.Option(min=1e-6, help="The annotator's temperature, in standard deviations of gold differences."),
    ] = 0.5,
    strategy: Annotated[list[str] | None, typer.Option(help="Only this one and random; repeatable.")] = None,
    policy: Annotated[
        str, typer.Option(help="uniform, demonstrations or mixed. [default: mixed where there are demonstrations]")
    ] = "",
    settings: Settings = None,
    env_config: EnvConfigFile = None,
    page: Annotated[Path | None, typer.Option(help="Renew the tables in this page of the docs.")] = None,
) -> None:
    """Compare query strategies with random order on simulated annotators whose true score is known."""
    from textgym.benchmarks.pages import renew_page
    from textgym.factory import EnvFactory
    from textgym.feedback.queries import STRATEGIES
    from textgym.feedback.query_study import study_queries

    study = study_queries(
        EnvFactory(env_id, read_settings(settings, env_config)),
        strategies=strategy or STRATEGIES,
        seeds=seeds,
        labels=pairs,
        pool=pool,
        noise=noise,
        policy=policy,
        on_seed=lambda seed: typer.echo(f"seed {seed + 1} of {seeds}", err=True),
    )
    lines = list(report(env_id, study))
    if page is not None:
        renew_page(page, TABLE, lines)
        lines = [f"renewed: {page}"]
    for line in lines:
        typer.echo(line)


def report(env_id: str, study: QueryStudy) -> Iterator[str]:
    """The tables, in Markdown, and what they come to."""
    seeds, right = len(study.label_accuracy), study.label_accuracy.mean()
    yield f"`{env_id}`, texts of {study.policy!r}, {seeds} {'seed' if seeds == 1 else 'seeds'}."
    yield f"A simulated annotator agrees with gold in {right:.0%} of answers; models are tried on {study.held_out}."
    best = study.highest_gold.mean()
    for title, scores in (
        ("Held-out accuracy", study.accuracy),
        (f"Gold of the text that the model likes best (the best there is: {best:.3f})", study.best_gold),
    ):
        yield ""
        yield f"{title}, after so many answers; last, the difference from random with its 95 % interval over seeds:"
        yield ""
        yield from _table(study, scores)
        yield ""
        yield from _verdict(study, title.partition(" (")[0], scores)


def _table(study: QueryStudy, scores: Floats) -> Iterator[str]:
    yield f"| strategy | {' | '.join(map(str, study.labels))} | difference after {study.labels[-1]} |"
    yield f"|---|{'---:|' * len(study.labels)}---:|"
    for name, rows in zip(study.strategies, scores, strict=True):
        means = " | ".join(f"{value:.3f}" for value in rows.mean(axis=1))
        yield f"| {name} | {means} | {'' if name == 'random' else _difference(rows[-1], scores[0, -1])} |"


def _difference(ours: Floats, random: Floats) -> str:
    """The mean difference with its interval; a single seed has none."""
    import numpy as np

    from textgym.benchmarks.stats import mean, paired_difference

    if len(ours) < 2:
        return f"{float(ours[0] - random[0]):+.3f}"
    rng = np.random.default_rng(0)
    found = paired_difference([ours], [random], rng, statistic=mean, replicates=_REPLICATES)
    return f"{found.estimate:+.3f} ({found.low:+.3f} to {found.high:+.3f})"


def _verdict(study: QueryStudy, title: str, scores: Floats) -> Iterator[str]:
    better, worse = study.better(scores), study.better(-scores)
    after = {number for _, number, _ in better}
    if not better:
        yield f"{title}: no strategy beats random."
    for name, number, chance in better:
        yield f"{title}: {name} beats random after {number} answers (sign flips over seeds, p = {chance:.4f})."
    if better and study.labels[-1] not in after:
        yield f"{title}: after all {study.labels[-1]} answers no strategy beats random."
    for name, number, chance in worse:
        yield f"{title}: random beats {name} after {number} answers (p = {chance:.4f})."
