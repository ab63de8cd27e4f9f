"""What a rule is, and what comes of checking it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from textgym.checks.subject import Subject

Check = Callable[[Subject], Iterable[str]]
"""What was seen that breaks the rule; only the first is asked for, so a generator may stop there."""


class NotApplicableError(Exception):
    """Raised by a check that has nothing to check here; its message says why."""


@dataclass(frozen=True)
class Rule:
    """One sentence of the contract.

    Attributes:
        name: Its short name.
        statement: The rule, as a sentence.
        mend: What to do about a break.
        check: Looks for a break.
        needs: Rules without which this one means little: where one of them is broken, this one is skipped.
        full: Whether the fast form leaves it out.
    """

    name: str
    statement: str
    mend: str
    check: Check = field(repr=False)
    needs: tuple[Rule, ...] = field(default=(), repr=False)
    full: bool = False


@dataclass(frozen=True)
class Fault:
    """A broken rule.

    Attributes:
        rule: Name of the rule.
        seen: What was seen.
        mend: What to do about it.
    """

    rule: str
    seen: str
    mend: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.seen}. {self.mend}"


@dataclass(frozen=True)
class Verdict:
    """What came of one rule.

    Attributes:
        rule: The rule.
        status: "ok", "broken" or "skipped".
        seen: What was seen, or why the rule was skipped; empty where all is well.
        because_of: The broken rule that made this one meaningless, if that is why it was skipped.
    """

    rule: Rule
    status: str
    seen: str = ""
    because_of: str | None = None

    @property
    def fault(self) -> Fault | None:
        """The fault, where the rule is broken."""
        return Fault(self.rule.name, self.seen, self.rule.mend) if self.status == "broken" else None


def rule(*, mend: str, needs: tuple[Rule, ...] = (), full: bool = False) -> Callable[[Check], Rule]:
    """Makes a rule of a check: the check's name is the rule's, the first line of its docstring the statement."""

    def make(check: Check) -> Rule:
        statement = (check.__doc__ or "").strip().splitlines()[0]
        return Rule(check.__name__, statement, mend, check, needs, full)

    return make


def judge(one: Rule, subject: Subject, failed: dict[str, str]) -> Verdict:
    """Checks one rule.

    Args:
        one: The rule.
        subject: What is checked.
        failed: Names of rules that did not hold -> the broken rule behind each.
    """
    for need in one.needs:
        if need.name in failed:
            root = failed[need.name]
            return Verdict(one, "skipped", f"it means little while {root} is broken", because_of=root)
    if one.full and subject.fast:
        return Verdict(one, "skipped", "left to the full form")
    try:
        seen = next(iter(one.check(subject)), None)
    except NotApplicableError as reason:
        return Verdict(one, "skipped", str(reason))
    except Exception as error:  # whatever a foreign task or environment may raise
        seen = f"it raised {type(error).__name__}: {error}"
    return Verdict(one, "ok") if seen is None else Verdict(one, "broken", seen)


def judge_all(rules: tuple[Rule, ...], subject: Subject) -> Iterator[Verdict]:
    """Checks rule after rule, in an order in which every rule comes after those that it needs."""
    failed: dict[str, str] = {}
    for one in rules:
        verdict = judge(one, subject, failed)
        if verdict.status == "broken":
            failed[one.name] = one.name
        elif verdict.because_of is not None:
            failed[one.name] = verdict.because_of
        yield verdict
