"""``textgym rlhf``: from texts to comparisons to a reward model to an agent, with the truth beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from textgym.cli.options import EnvConfigFile, EnvId, Seed, Settings, make_folder, one_thread, read_pairs, read_settings

if TYPE_CHECKING:
    from textgym.feedback.gathering import Gatherer
    from textgym.rlhf import Plan


def rlhf(
    env: EnvId = "TextGen-v0",
    annotator: Annotated[str, typer.Option(help="Who compares: simulated, browser or terminal.")] = "simulated",
    temperature: Annotated[float, typer.Option(help="Of the simulated annotator: towards 0 it never errs.")] = 0.5,
    pairs: Annotated[int, typer.Option(min=2, help="Pairs of texts to compare in each round.")] = 2_000,
    rounds: Annotated[int, typer.Option(min=1, help="How often all of it is done.")] = 1,
    model: Annotated[str, typer.Option(help="Reward model: ngram, mlp, gru, transformer, or a folder.")] = "ngram",
    ensemble: Annotated[int, typer.Option(min=1, help="Members of the reward model.")] = 1,
    algo: Annotated[str, typer.Option(help="A name from `textgym agents`.")] = "ppo",
    steps: Annotated[int, typer.Option(min=1, help="Tokens that the agent may write in each round.")] = 200_000,
    option: Annotated[
        list[str] | None, typer.Option("--option", help="Option of the agent as KEY=VALUE; repeatable.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="A file of comparisons or a label database, instead of the first round's texts and judgements."
        ),
    ] = None,
    reward: Annotated[
        Path | None, typer.Option(help="A reward model or classifier, instead of everything before the training.")
    ] = None,
    reward_label: Annotated[
        str | None, typer.Option(help="With a classifier as --reward: the label whose log-odds are paid.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the results; the same command goes on.")] = Path("runs/rlhf"),
    port: Annotated[int, typer.Option(help="With --annotator browser: port of the label server.")] = 8000,
    annotators: Annotated[int, typer.Option(min=1, help="With --annotator browser: how many personal links.")] = 1,
    seed: Seed = 0,
    settings: Settings = None,
    env_config: EnvConfigFile = None,
) -> None:
    """Compare texts, learn a reward model, train an agent on it, and show proxy and gold side by side."""
    from textgym.rlhf import Plan, run_loop

    plan = Plan(
        env_id=env, env=read_settings(settings, env_config), annotator=annotator, temperature=temperature, pairs=pairs,
        rounds=rounds, model=model, ensemble=ensemble, algo=algo, steps=steps, config=read_pairs(option),
        labels=None if labels is None else str(labels), reward=_with_label(reward, reward_label), seed=seed,
    )  # fmt: skip
    plan.check()  # before a label server starts
    make_folder(out)
    one_thread()
    with _people(plan, out, port, annotators) as gatherer:
        rows = run_loop(plan, out, gatherer=gatherer, tell=typer.echo)
    for item in rows:
        for split in dict.fromkeys((item.result.training_split, "test")):
            found = {score: item.result.measure("greedy", split, score) for score in ("reward", "gold")}
            shown = (f"{name} {value.mean:.3f} ± {value.standard_error:.3f}" for name, value in found.items() if value)
            typer.echo(f"round {item.number}, greedy, {split} prompts: {', '.join(shown)}")


def _with_label(reward: Path | None, label: str | None) -> str | dict[str, str] | None:
    """The reward as the loop takes it."""
    if label is None:
        return None if reward is None else str(reward)
    if reward is None:
        raise typer.BadParameter("--reward-label tells of a classifier; add --reward FOLDER")
    return {"name": str(reward), "label": label, "output": "log_odds"}


@contextmanager
def _people(plan: Plan, out: Path, port: int, annotators: int) -> Iterator[Gatherer | None]:
    """Whoever judges; nobody where the annotator is simulated or the labels are there."""
    if plan.annotator == "simulated" or not plan.asks:
        yield None
    elif plan.annotator == "terminal":
        from textgym.feedback.terminal import TerminalGatherer

        yield TerminalGatherer(input, typer.echo, seed=plan.seed)
    else:
        from textgym.rlhf.people import label_server

        with label_server(plan, out, port=port, annotators=annotators, tell=typer.echo) as gatherer:
            yield gatherer
