"""``textgym rm``: reward models from comparisons, and from labelled texts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from textgym.cli.options import EnvConfigFile, Seed, Settings, one_thread, read_pairs, read_settings
from textgym.errors import ConfigurationError, check_names

if TYPE_CHECKING:
    from textgym.comparisons import Comparison
    from textgym.factory import EnvFactory
    from textgym.feedback.labels import Labels
    from textgym.preference_models import RewardModel

USUAL = "TextGen-v0"

Data = Annotated[
    Path | None,
    typer.Argument(
        help="Comparisons: JSONL, CSV or Parquet (textgym's own, TRL's, arena's), or a label server's .sqlite file."
    ),
]
Simulate = Annotated[
    int | None, typer.Option(min=1, help="In the place of a file: so many comparisons by a simulated annotator.")
]
Policy = Annotated[str, typer.Option(help="Who writes the simulated texts: uniform, demonstrations or mixed.")]
Temperature = Annotated[
    float, typer.Option(help="Of the simulated annotator: at this difference in gold he is right in 73 % of cases.")
]


def train(
    data: Data = None,
    model: Annotated[
        str, typer.Option(help="ngram, mlp, gru, transformer, or the folder of a Hugging Face model.")
    ] = "ngram",
    out: Annotated[Path, typer.Option(help="Folder of the reward model.")] = Path("reward-model"),
    ensemble: Annotated[int, typer.Option(min=1, help="Number of members.")] = 1,
    env_id: Annotated[
        str | None,
        typer.Option("--env", help="Environment in which the texts were written; by default what DATA says."),
    ] = None,
    settings: Settings = None,
    env_config: EnvConfigFile = None,
    fit: Annotated[
        list[str] | None, typer.Option("--fit", help="Setting of the fit as KEY=VALUE, e.g. epochs=2; repeatable.")
    ] = None,
    holdout: Annotated[float, typer.Option(min=0.0, max=0.9, help="Share of the prompts that is held out.")] = 0.2,
    refit: Annotated[bool, typer.Option(help="In the end learn from the held-out prompts too.")] = True,
    simulate: Simulate = None,
    policy: Policy = "mixed",
    temperature: Temperature = 0.5,
    labels: Annotated[
        Path | None, typer.Option(help="Labelled texts instead of comparisons: fit a classifier. CSV, JSONL, Parquet.")
    ] = None,
    text: Annotated[str, typer.Option(help="Column of the labelled texts.")] = "text",
    label: Annotated[str, typer.Option(help="Column of their labels.")] = "label",
    bias_words: Annotated[Path | None, typer.Option(help="With --labels: pairs of words for the bias check.")] = None,
    seed: Seed = 0,
) -> None:
    """Fit a reward model to comparisons, measure it on held-out prompts, and save it.

    With --labels, fit a classifier to labelled texts instead.
    """
    if labels is not None:
        _refuse_comparisons(data, simulate)
        from textgym.cli.labelled import train_on_labels

        more = {"model": "tiny" if model == "ngram" else model, **_classifier_settings(fit)}
        train_on_labels(labels, out, text=text, label=label, bias_words=bias_words, seed=seed, **more)
        return
    from textgym.preference_models import fit_preferences
    from textgym.preference_models.cards import check_place
    from textgym.preference_models.fitting import check_kind
    from textgym.preference_models.settings import make_settings

    check_place(out)  # now: after the fit it would be too late
    check_kind(model, ensemble)
    known = _read(data, simulate)
    envs = _environment(env_id, known.env_id or USUAL, known.env_kwargs, read_settings(settings, env_config))
    comparisons = known.comparisons
    if simulate is not None:
        comparisons = _simulate(simulate, envs, policy=policy, temperature=temperature, seed=seed)
    _one_thread(model)
    fitted = fit_preferences(
        comparisons, envs.task(), kind=model, ensemble=ensemble, seed=seed, holdout=holdout, refit=refit,
        env_id=envs.env_id, env_kwargs=envs.kwargs, settings=make_settings(read_pairs(fit)),
    )  # fmt: skip
    fitted.save(out)
    for line in _summary(fitted, out):
        typer.echo(line)


def report(
    model: Annotated[Path, typer.Argument(help="Folder of a reward model.")],
    data: Data = None,
    env_id: Annotated[str | None, typer.Option("--env", help="Environment id; by default that on the card.")] = None,
    settings: Settings = None,
    env_config: EnvConfigFile = None,
    simulate: Simulate = None,
    policy: Policy = "mixed",
    temperature: Temperature = 0.5,
    aggregate: Annotated[
        str, typer.Option(help="How an ensemble is made one: mean, worst or mean_minus_variance.")
    ] = "mean",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
    svg: Annotated[Path | None, typer.Option(help="Write the calibration as a picture.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of simulated comparisons, and of the choice of texts.")] = 1,
) -> None:
    """Say how good a reward model is on comparisons, and what it has learned that it should not have.

    Better fresh comparisons than those that it was fitted to.
    """
    from textgym.preference_models import RewardModel
    from textgym.preference_models.report import make_report
    from textgym.preference_models.report_text import write_lines

    loaded = RewardModel.load(model).combined(aggregate)
    card, labels = loaded.card, _read(data, simulate)
    envs = _environment(env_id, card["env_id"], card["env_kwargs"], read_settings(settings, env_config))
    comparisons = labels.comparisons
    if simulate is not None:
        comparisons = _simulate(simulate, envs, policy=policy, temperature=temperature, seed=seed)
    _one_thread(loaded.kind)
    found = make_report(loaded, comparisons, envs.task(), seed=seed)
    if svg is not None:
        from textgym.atomic import write_whole
        from textgym.pictures.calibration import draw_calibration

        shown = found.calibration
        write_whole(svg, draw_calibration(shown.predicted, shown.observed, shown.counts))
    for line in [json.dumps(found.as_json(), indent=2, ensure_ascii=False)] if as_json else write_lines(found):
        typer.echo(line)


def _refuse_comparisons(data: Path | None, simulate: int | None) -> None:
    if data is not None or simulate is not None:
        raise ConfigurationError("--labels fits a classifier to labelled texts: leave out comparisons and --simulate")


def _classifier_settings(fit: list[str] | None) -> dict[str, Any]:
    from dataclasses import fields

    from textgym.labelled_texts import ClassifierSettings

    values = read_pairs(fit)
    check_names("setting of a classifier", values, [field.name for field in fields(ClassifierSettings)])
    return values


def _read(data: Path | None, simulate: int | None) -> Labels:
    """What is in the file; nothing where an annotator is simulated."""
    from textgym.feedback.labels import Labels, read_labels

    if (data is None) == (simulate is None):
        raise ConfigurationError("expected comparisons: a file, or --simulate NUMBER, and not both")
    return Labels([]) if data is None else read_labels(data)


def _simulate(count: int, envs: EnvFactory, *, policy: str, temperature: float, seed: int) -> list[Comparison]:
    from textgym.annotators import BoltzmannAnnotator
    from textgym.feedback.gathering import SyntheticGatherer
    from textgym.feedback.pairs import sample_pairs

    task = envs.task()
    judge = BoltzmannAnnotator(task.reward if task.gold is None else task.gold, temperature=temperature)
    return SyntheticGatherer(task, judge, seed=seed).gather(sample_pairs(envs, policy, count, seed=seed))


def _environment(
    env_id: str | None, known_id: str, known_kwargs: Mapping[str, Any], settings: dict[str, Any]
) -> EnvFactory:
    """The environment that was asked for, else the one that is known, with these settings changed."""
    from textgym.factory import EnvFactory

    chosen = env_id or known_id
    if not chosen:
        raise ConfigurationError("the model's card names no environment: name it with --env")
    return EnvFactory(chosen, {**(known_kwargs if chosen == known_id else {}), **settings})


def _one_thread(kind: str) -> None:
    if kind != "ngram":
        from importlib.util import find_spec

        if find_spec("torch") is not None:
            import torch  # noqa: F401 - so that one_thread finds it

            one_thread()


def _summary(model: RewardModel, out: Path) -> list[str]:
    card = model.card
    data, split, found = card["data"], card["split"], card["metrics"]
    lines = [
        f"{data['judgements']:,} judgements ({data['ties']:,} ties, {data['skipped']:,} skipped left out) of "
        f"{data['texts']:,} texts and {data['prompts']:,} prompts"
    ]
    if "held out" in found:
        count = len(split["held_out"])
        held = f"{count} held-out prompt{'s' * (count != 1)}" if split["unit"] == "prompt" else "held-out texts"
        end = "; then fitted to all of them" if split["refitted"] else ""
        lines.append(f"{held} ({split['judgements']:,} judgements): {_show(found['held out'])}{end}")
        if split["unit"] == "text":
            lines.append("there is one prompt alone, so the split is by text, and says nothing of other prompts")
    lines.append(f"training: {_show(found['training'])}")
    for number, place in enumerate(model.places):
        judging = place.judging
        lines.append(
            f"member {number}: sharpness {judging.sharpness:.2f}, left side {judging.side:+.2f}, tie {judging.tie:.2f}"
        )
    return [*lines, f"saved to {out}", f"use it as a reward: --set reward={out}"]


def _show(found: dict[str, float]) -> str:
    accuracy = f"{found['accuracy']:.3f} ± {found['its standard error']:.3f}"
    return f"log loss {found['log loss']:.3f}, accuracy {accuracy}, Brier {found['Brier']:.3f}"
