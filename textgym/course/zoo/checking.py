"""Whether a student has found a bug: the exhibit runs with the student's functions, in the grader's sandbox."""

from __future__ import annotations

from dataclasses import dataclass

from textgym.course.sandbox import SandboxLimits, Student, Unanswered
from textgym.course.zoo.bug import Bug
from textgym.course.zoo.running import OWN, SEEDS, functions, get, run, source

LIMITS = SandboxLimits(seconds=60.0, gigabytes=4.0)
DRIVER = "textgym.course.zoo.running:run_submission"

HINT = "A file with one function alone begins with: from __future__ import annotations"

Runs = list[dict[str, float]]


@dataclass(frozen=True)
class Verdict:
    """What became of an exhibit in a student's hands.

    Attributes:
        name: Of the exhibit.
        mended: Whether its diagnostics are as good as those of the mended program.
        changed: The functions that differ from the exhibit's.
        numbers: The number that gives the bug away, for each seed; empty where nothing could be run.
        sentences: What to tell the student.
    """

    name: str
    mended: bool
    changed: tuple[str, ...]
    numbers: tuple[float, ...]
    sentences: tuple[str, ...]


def check(name: str, submission: str, *, confine: bool | None = None) -> Verdict:
    """Tries a submission with five seeds.

    Args:
        name: Of the exhibit.
        submission: The text of the student's file: the whole program, or only the functions that replace some of it.
        confine: Whether to insist on confining files and network, or to do without; None does where the system can.

    Raises:
        ConfigurationError: if the exhibit needs a package that is not installed.
        UnknownNameError: for a name that there is not.
    """
    bug = get(name)
    try:
        theirs = functions(submission)
    except (SyntaxError, ValueError, RecursionError) as error:
        return Verdict(name, False, (), (), (f"The file is not Python: {error}.",))
    ours = {own: form for own, form in functions(source(name)).items() if own not in OWN}
    changed = tuple(own for own, form in ours.items() if theirs.get(own, form) != form)
    if not changed:
        known = f"Its functions are {', '.join(ours)}."
        return Verdict(name, False, (), (), (f"The file changes no function of the {name}. {known}",))
    with Student(submission, LIMITS, forbidden=(), confine=confine) as student:
        try:
            answer = student.call(DRIVER, name, list(SEEDS))
        except Unanswered as error:
            hint = (HINT,) if "NameError" in str(error) and "from __future__" not in submission else ()
            words = f"It does not run: {str(error).rstrip('.')}."
            return Verdict(name, False, changed, (), (words, *hint, *_notes(student)))
        notes = _notes(student)
    if not _is_whole(answer, bug):
        return Verdict(name, False, changed, (), ("It ran and gave back something that is no measurement.", *notes))
    return _judge(name, bug, changed, answer, notes)


def _notes(student: Student) -> tuple[str, ...]:
    notes = [f"It tried what is not allowed: {attempt}." for attempt in student.attempts]
    return (*notes, f"Note: {student.warning}.") if student.warning else tuple(notes)


def _is_whole(answer: object, bug: Bug) -> bool:
    """Whether this is what :func:`run_submission` returns: it comes from over there."""
    names = (bug.tell.number, *bug.healthy)
    return (
        isinstance(answer, list)
        and len(answer) == len(SEEDS)
        and all(isinstance(one, dict) and all(isinstance(one.get(name), float) for name in names) for one in answer)
    )


def _judge(name: str, bug: Bug, changed: tuple[str, ...], runs: Runs, notes: tuple[str, ...]) -> Verdict:
    tell = bug.tell
    numbers = tuple(one[tell.number] for one in runs)
    sound = sum(tell.is_sound(one) for one in runs)
    reference = run(name, SEEDS[0], mended=True)[tell.number]
    measured = f"{tell.number.capitalize()}: {numbers[0]:.3g} with seed {SEEDS[0]}"
    if sound < len(runs):
        words = f"{measured}; it should lie from {tell.sound[0]:g} to {tell.sound[1]:g}, and does with {sound} of "
        return Verdict(name, False, changed, numbers, (f"Still ill. {words}{len(runs)} seeds.", *notes))
    ill = sorted({number for one in runs for number in bug.unhealthy(one)})
    if ill:
        words = f"The number is right, but now something else is not: {', '.join(ill)}."
        return Verdict(name, False, changed, numbers, (words, *notes))
    words = f"{measured}, where the mended program has {reference:.3g}."
    where = f"You changed {', '.join(changed)}; the bug was in {bug.faulty}: {bug.name}."
    why = f"Now say in two sentences why nothing complained, and compare: textgym zoo show {name} --spoiler"
    return Verdict(name, True, changed, numbers, (f"Found and mended. {words}", where, why, *notes))
