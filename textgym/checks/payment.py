"""Rules about what an episode pays: the reward of its text, at its end or step by step."""

from __future__ import annotations

from collections.abc import Iterator

from textgym.checks.masks import masks_decide
from textgym.checks.recording import quote, record, replay
from textgym.checks.rules import NotApplicableError, rule
from textgym.checks.scores import reward_alone
from textgym.checks.seeding import chains
from textgym.checks.subject import Subject


@rule(
    mend="Pay the reward of the finished text: all of it on the ending step, or with reward_timing='step' its changes",
    needs=(reward_alone, masks_decide),
)
def reward_paid(subject: Subject) -> Iterator[str]:
    """What an episode pays is the reward of its text, and before the end nothing unless it is paid by step."""
    by_step = subject.factory.kwargs.get("reward_timing") == "step"
    for episode in subject.episodes:
        paid = [step.output["reward"] for step in episode.steps]
        if not by_step and any(paid[:-1]):
            yield f"the steps of a text paid {paid}, expected zeros before the last one"
        if episode.text is None or not episode.legal:
            continue
        expected = float(subject.scorer(episode.text).values[0])
        if abs(sum(paid) - expected) > max(subject.tolerance, 1e-9) * max(1.0, abs(expected)):
            yield f"{quote(episode.text, 0)} was paid {sum(paid):g} in all, its reward is {expected:g}"


@rule(
    mend="Under reward_timing='step' pay score(prefix) - score(previous prefix), and final - previous on the last step",
    needs=(reward_paid, chains),
)
def reward_by_step(subject: Subject) -> Iterator[str]:
    """Paid at every step, a text earns the same in all as paid at its end."""
    if subject.stochastic:
        raise NotApplicableError("a stochastic reward is not paid by step")
    events, late = record(subject.single(reward_timing="end"), subject.effort.events, subject.rng("timing"), seed=2)
    early = replay(subject.single(reward_timing="step"), events)
    sums = [0.0, 0.0]
    for one, other in zip(late, early, strict=True):
        sums = [total + output.get("reward", 0.0) for total, output in zip(sums, (one, other), strict=True)]
        if one.get("terminated", False):
            if abs(sums[0] - sums[1]) > max(subject.tolerance, 1e-9) * max(1.0, abs(sums[0])):
                yield f"a text earned {sums[0]:g} paid at its end and {sums[1]:g} paid by step"
            sums = [0.0, 0.0]
