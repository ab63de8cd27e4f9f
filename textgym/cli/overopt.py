"""``textgym overopt``: what becomes of gold when a learned proxy of it is optimised."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from textgym.cli.options import ENV_FILE, EnvConfigFile, Settings, Trust, make_folder, one_thread, read_settings
from textgym.errors import ConfigurationError

if TYPE_CHECKING:
    from textgym.factory import EnvFactory
    from textgym.overoptimisation import Cell, Curve, Study
    from textgym.overoptimisation.curves import Point


def overopt(
    env: Annotated[str, typer.Argument(help="Environment id.")] = "TextGen-v0",
    settings: Settings = None,
    env_config: EnvConfigFile = None,
    pairs: Annotated[str, typer.Option(help="Numbers of comparisons, with commas between them.")] = "100,1000,10000",
    noise: Annotated[str, typer.Option(help="Shares of judgements that are turned around, likewise.")] = "0,0.25",
    models: Annotated[
        list[str] | None,
        typer.Option(
            help="Classes of reward models (unigram, ngram, rich, ensemble_mean, ensemble_worst, ensemble_penalised, "
            "mlp, gru, transformer), 'reward' for the environment's own, or rewards as reward= takes them; commas "
            "between them, or repeatable. [default: unigram,ngram,rich]"
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of the simulated comparisons.")] = 1,
    points: Annotated[
        list[Path] | None, typer.Option(help="Run folder of a trained agent to place beside the curves; repeatable.")
    ] = None,
    reference: Annotated[
        str,
        typer.Option(
            help="Where optimisation begins: uniform, demonstrations, a run folder, or a language model (.safetensors "
            "of n-grams, or a transformers folder)."
        ),
    ] = "uniform",
    temperature: Annotated[
        float | None, typer.Option(help="Of the simulated annotators. [default: half of gold's standard deviation]")
    ] = None,
    truth: Annotated[str, typer.Option(help="The true score: gold, or reward where there is no gold.")] = "gold",
    samples: Annotated[int, typer.Option(help="Texts a prompt, where not all can be tried.")] = 4_000,
    out: Annotated[Path, typer.Option(help="Folder for CSV, SVG and HTML.")] = Path("runs/overopt"),
    trust: Trust = False,
) -> None:
    """Optimise learned proxies of the true score, weakly and hard, and show what becomes of it."""
    from textgym.factory import EnvFactory
    from textgym.overoptimisation import overoptimise, write

    factory = EnvFactory(env, read_settings(settings, env_config))
    agents = {str(folder): _load(folder, factory, trust=trust) for folder in points or []}
    start = _load_reference(reference, trust=trust)
    make_folder(out)
    one_thread()
    study = overoptimise(
        factory,
        models=split_models(models) or ("unigram", "ngram", "rich"),
        pairs=[_read_number(word, "pairs", int) for word in pairs.split(",")],
        noises=[_read_number(word, "noise", float) for word in noise.split(",")],
        seeds=seeds,
        reference=start,
        temperature=temperature,
        true_score=truth,
        samples=samples,
        agents=agents,
        on_cell=_make_tell(),
    )
    for line in _closing_lines(study):
        typer.echo(line)
    for path in write(study, out):
        typer.echo(f"written: {path}")


def split_models(words: list[str] | None) -> list[Any]:
    """The names of models; what begins with a brace is the JSON of one reward."""
    found: list[Any] = []
    for word in words or []:
        if not word.startswith("{"):
            found += [name.strip() for name in word.split(",") if name.strip()]
            continue
        try:
            found.append(json.loads(word))
        except ValueError as error:
            raise ConfigurationError(f"--models {word!r} begins like JSON and is none ({error})") from None
    return found


def _read_number(word: str, option: str, kind: type[Any]) -> Any:
    try:
        return kind(word)
    except ValueError:
        raise ConfigurationError(f"--{option} has {word!r}: expected numbers with commas between them") from None


def _load(folder: Path, factory: EnvFactory, *, trust: bool) -> Any:
    """An agent, with the form of observation that it was trained with."""
    from textgym.agents.base import load_agent
    from textgym.cli.options import saved_factory
    from textgym.overoptimisation import Candidate

    agent = load_agent(folder, trust=trust)
    known = (folder / ENV_FILE).is_file()
    saved = saved_factory(folder, None, {}).kwargs.get("observation") if known else None
    return Candidate(agent, saved or factory.kwargs.get("observation"))


def _load_reference(reference: str, *, trust: bool) -> Any:
    from textgym.agents.base import CARD, load_agent
    from textgym.overoptimisation.references import NAMES
    from textgym.reference_models import as_language_model

    if reference in NAMES:
        return reference
    if (Path(reference) / CARD).is_file():
        return load_agent(reference, trust=trust)
    if not Path(reference).exists():
        raise ConfigurationError(
            f"--reference {reference!r}: expected {' or '.join(NAMES)}, a run folder, or the file or folder of "
            "a language model"
        )
    return as_language_model(reference)


def _make_tell() -> Callable[[Cell, Curve], None]:
    """Prints a line for each proxy, and the table's head before the first: an error may come before that."""
    heads = [f"{'proxy':<20}{'pairs':>8}{'noise':>7}{'seed':>6}   gold: start    peak (√KL)     end (√KL)    drop"]

    def tell(cell: Cell, curve: Curve) -> None:
        shown = ["–" if value is None else f"{value:g}" for value in (cell.pairs, cell.noise, cell.seed)]
        start, peak, end = map(_gold, (curve.start, curve.peak, curve.end))
        while heads:
            typer.echo(heads.pop())
        typer.echo(
            f"{cell.model:<20}{shown[0]:>8}{shown[1]:>7}{shown[2]:>6}{start:>14}"
            f"{peak:>8} ({curve.peak.distance:.2f})  {end:>8} ({curve.end.distance:.2f}){curve.drop:>8.2f}"
        )

    return tell


def _gold(point: Point) -> str:
    """With its standard error, where it is an estimate."""
    return f"{point.gold:.2f}" + (f" ± {point.gold_error:.2f}" if point.gold_error else "")


def _closing_lines(study: Study) -> list[str]:
    """How it was measured, the agents, and both divergences of best-of-n for the first proxy."""
    from textgym.overoptimisation.results import BEST_OF_N

    count = f"{study.texts:,} texts a prompt, {study.prompts} prompt{'s' * (study.prompts > 1)}"
    lines = [f"exact: all {count}" if study.exact else f"estimated from {count}: {study.why_sampled}"]
    for agent in study.agents:
        error = "" if study.exact else f" ± {agent.kl_error:.3f}"
        lines.append(
            f"{agent.name}: KL {agent.kl:.3f}{error} (√KL {agent.distance:.2f}), gold {agent.gold:.2f}, "
            f"reward {agent.reward:.2f}"
        )
    curve = study.of(BEST_OF_N)[0]
    lines.append(f"KL of best-of-n with the proxy {curve.cell.model}: n, computed, log n - (n - 1)/n")
    for point in curve.points[1::4]:
        formula = float("nan") if point.formula is None else point.formula
        lines.append(f"{point.strength:>10,.0f}{point.kl:>10.4f}{formula:>10.4f}")
    return lines
