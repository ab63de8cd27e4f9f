"""Rules about what an episode pays: the reward of its text, at its end or step by step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from textgym.checks.comparing import adds_up, difference
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
    for episode in subject.episodes:
        paid = [step.output["reward"] for step in episode.steps]
        if subject.config.reward_timing == "end" and any(paid[:-1]):
            yield f"the steps of a text paid {paid}, expected zeros before the last one"
        if episode.text is None or not episode.legal:
            continue
        expected = float(subject.scorer(episode.text).values[0])
        if not adds_up(paid, expected, subject.tolerance):
            yield f"{quote(episode.text, 0)} was paid {sum(paid):g} in all, its reward is {expected:g}"


@rule(
    mend="Take reward_parts, reward_valid and, where gold=True, gold and success from the text that has ended",
    needs=(reward_paid,),
)
def scores_told(subject: Subject) -> Iterator[str]:
    """reward_parts, reward_valid, gold and success in the last info are those of the text."""
    for episode in subject.episodes:
        if episode.text is None or not episode.legal:
            continue
        scores, info = subject.scorer(episode.text), episode.last.output["info"]
        expected: dict[str, Any] = {
            "reward_parts": {name: float(part[0]) for name, part in scores.parts.items()},
            "reward_valid": bool(scores.valid[0]),
        }
        gold, success = (episode.text.gold(), episode.text.success()) if subject.config.gold else (None, None)
        if gold is not None:
            expected["gold"] = float(gold[0])
        if success is not None:
            expected["success"] = bool(success[0])
        told = {name: info.get(name) for name in expected}
        if found := difference(told, expected, tolerance=subject.tolerance):
            yield f"of {quote(episode.text, 0)} info is wrong, {found}"


@rule(
    mend="Under reward_timing='step' pay score(prefix) - score(previous prefix), and final - previous on the last step",
    needs=(scores_told, chains),
)
def reward_by_step(subject: Subject) -> Iterator[str]:
    """Paid at every step, a text earns the same in all as paid at its end."""
    if subject.stochastic:
        raise NotApplicableError("a stochastic reward is not paid by step")
    events, late = record(subject.single(reward_timing="end"), subject.effort.events, subject.rng("timing"), seed=2)
    early = replay(subject.single(reward_timing="step"), events)
    whole, paid = 0.0, list[float]()
    for one, other in zip(late, early, strict=True):
        if "reward" not in one:  # a reset
            whole, paid = 0.0, []
            continue
        whole, paid = whole + one["reward"], [*paid, other["reward"]]
        if one["terminated"] and not adds_up(paid, whole, subject.tolerance):
            yield f"a text earned {whole:g} paid at its end and {sum(paid):g} paid by step"
