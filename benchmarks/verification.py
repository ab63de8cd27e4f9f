"""Verification: does a folder's record say what its policies earn?

Every finished run is checked without training it again. Its files must be there and agree with each other and with the
ledger; its key must belong to its configuration; its numbers must be possible; and the saved policy, evaluated once
more with the recorded seeds, must earn what is written. Training itself is taken on trust: steps and times are only
checked for being possible.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from textgym.agents.base import CARD, TRUSTED_PACKAGE, load_agent, read_card
from textgym.agents.registry import AGENTS, agent_class
from textgym.atomic import write_whole
from textgym.errors import ConfigurationError

from .consistency import differing_fields, file_problems, impossible_numbers
from .ledger import read_problems, read_results
from .ledger_file import LEDGER
from .records import PROTOCOL, Measure, RunResult
from .run_files import AGENT, RECORD
from .run_keys import differences, seal
from .runs import evaluate_agent, read_task

VERIFICATION = "verification.json"
VERIFIED, FLAGGED, UNVERIFIED = "verified", "flagged", "unverified"
SHARE = 1e-6
"""Measures may differ by this share: equal numbers on one machine, equal to rounding across machines."""

_CHANCE = 5.0
_UNREPEATABLE = (
    "its agent offers no seed_sampling(seed), so what it draws cannot be repeated; sampled play was compared within "
    f"{_CHANCE:g} standard errors"
)


@dataclass(frozen=True, kw_only=True)
class Check:
    """What became of one run.

    Attributes:
        key: The run's key.
        folder: Name of its folder.
        name: The run for people.
        verdict: "verified" (its policy earns what is written; or it failed and says so), "flagged" (something does not
            fit) or "unverified" (nothing is wrong, but its policy was not replayed).
        problems: A sentence for each thing that does not fit.
        notes: What else one should know, such as that the code has changed since.
    """

    key: str
    folder: str
    name: str
    verdict: str
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What became of all runs of a folder.

    Attributes:
        checks: One for each finished run.
        problems: Sentences about the folder itself.
    """

    checks: tuple[Check, ...]
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing was flagged; runs that were not replayed do no harm."""
        return not self.problems and all(check.verdict != FLAGGED for check in self.checks)


def verify(
    out: Path | str, *, replay: bool = True, trust: bool = False, on_check: Callable[[Check], None] | None = None
) -> Verification:
    """Checks every finished run of a folder, and writes ``verification.json`` there.

    Args:
        out: Folder that ``textgym bench run`` wrote.
        replay: Also load and evaluate the saved policies.
        trust: Also load agents from outside textgym, which runs their code.
        on_check: Told of each run as it is done.

    Raises:
        ConfigurationError: if the folder holds no comparison, or one of an earlier version without keys.
    """
    out = Path(out)
    results = read_results(out)
    if not (out / LEDGER).is_file() and results:
        raise ConfigurationError(f"{str(out)!r} was written by an earlier version, whose runs have no keys to verify")
    checks = []
    for result in results:
        check = check_run(out / result.spec.folder_name, result, replay=replay, trust=trust)
        checks.append(check)
        if on_check is not None:
            on_check(check)
    found = Verification(checks=tuple(checks), problems=(*read_problems(out), *_strangers(out, results)))
    _write(out, found)
    return found


def check_run(folder: Path, result: RunResult, *, replay: bool = True, trust: bool = False) -> Check:
    """Checks one run.

    Args:
        folder: Folder of the run.
        result: Its record in the ledger.
        replay: Also load and evaluate its policy.
        trust: Also load an agent from outside textgym.
    """
    spec = result.spec
    problems = [*file_problems(folder, result), *impossible_numbers(result)]
    notes: list[str] = [f"the code has changed since: {change}" for change in _changes(result)]
    replayed = result.status != "ok"  # a run that failed has no policy and no numbers
    if replay and not replayed and (folder / AGENT).exists():
        try:
            if trust or _is_ours(folder / AGENT, result):
                found, replayed = _replay(folder, result, trust=trust), True
                problems += found.problems
                notes += found.notes
            else:
                notes.append("its agent is from outside textgym and was not loaded; trust=True (--trust) runs its code")
        except Exception as error:  # whatever a foreign agent does
            problems.append(f"its policy cannot be replayed: {type(error).__name__}: {error}")
    verdict = FLAGGED if problems else VERIFIED if replayed else UNVERIFIED
    return Check(
        key=spec.key,
        folder=folder.name,
        name=f"{spec.label} on {spec.environment}, seed {spec.seed}",
        verdict=verdict,
        problems=tuple(problems),
        notes=tuple(notes),
    )


def record_digest(folder: Path) -> str:
    """A hash of a run's record, which ties a verdict to what was verified; empty without a record."""
    path = folder / RECORD
    return sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def read_verdicts(out: Path | str) -> dict[str, str]:
    """Key -> verdict of each run whose record is still what was verified; empty if nobody has verified the folder."""
    path = Path(out) / VERIFICATION
    try:
        data: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        runs: Mapping[str, Mapping[str, str]] = data.get("runs", {})
        return {
            key: run["verdict"]
            for key, run in runs.items()
            if run["digest"] and run["digest"] == record_digest(Path(out) / run["folder"])
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigurationError(f"{str(path)!r} is damaged; run `textgym bench verify` again") from None


@dataclass(frozen=True, kw_only=True)
class _Replayed:
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def _replay(folder: Path, result: RunResult, *, trust: bool) -> _Replayed:
    """Evaluates the saved policy again and tells what comes out differently."""
    agent = _load(folder / AGENT, result, trust=trust)
    again = RunResult(spec=result.spec)
    factory = result.spec.factory()
    read_task(again, factory.task())
    evaluate_agent(again, agent, factory)
    if hasattr(agent, "seed_sampling"):
        return _Replayed(problems=tuple(_differences(result, again)), notes=())
    drawn = again
    if len(result.measures) == len(again.measures):
        drawn = replace(again, measures=[*map(_but_for_chance, result.measures, again.measures)])
    problems = tuple(_differences(result, drawn))
    same = drawn.measures == again.measures and not problems
    return _Replayed(problems=problems, notes=() if same else (_UNREPEATABLE,))


def _but_for_chance(before: Measure, now: Measure) -> Measure:
    """The measure to compare with: of sampled play that cannot be repeated, what was recorded if it is as likely.

    A recorded error counts up to twice that of the replay: one that was edited must not excuse an edited mean.
    """
    same_kind = (before.split, before.score, before.n, before.impossible) == (
        now.split, now.score, now.n, now.impossible
    )  # fmt: skip
    chance = _CHANCE * math.hypot(min(before.standard_error, 2 * now.standard_error), now.standard_error)
    drawn = same_kind and before.play == now.play == "sampled" and abs(before.mean - now.mean) <= chance
    return before if drawn else now


def _differences(result: RunResult, again: RunResult) -> Iterator[str]:
    for name in ("task", "level", "training_split", "references", "measures"):
        before, now = (json.loads(json.dumps(asdict(run)[name])) for run in (result, again))
        for field in differing_fields(before, now, share=SHARE):
            yield f"{_place(name, field, before)} was recorded as {field.before}, replayed as {field.now}"
    for name, texts in again.texts.items():
        if result.texts.get(name) and not _same_texts(result.texts[name], texts):
            yield f"the {name.replace('_', '-')} texts are not those that its policy writes"


def _is_ours(path: Path, result: RunResult) -> bool:
    """Whether loading the policy runs no code but textgym's own."""
    if result.spec.agent not in AGENTS or not (path / CARD).is_file():
        return False
    return str(read_card(path).get("class")).startswith(TRUSTED_PACKAGE)


def _load(path: Path, result: RunResult, *, trust: bool) -> Any:
    """The saved agent; one of one's own may write whatever files it likes."""
    if (path / CARD).is_file():
        return load_agent(path, trust=trust)
    return agent_class(result.spec.agent).load(path)


def _same_texts(before: list[dict[str, Any]], now: list[dict[str, Any]]) -> bool:
    return [(text["prompt"], text["completion"]) for text in before] == [
        (text["prompt"], text["completion"]) for text in now
    ] and not any(differing_fields(before, now, share=SHARE))


def _place(name: str, field: Any, before: Any) -> str:
    """The name of a number for people, as in "greedy train gold mean"."""
    if name != "measures":
        return ".".join([name, field.path]).rstrip(".")
    number, _, rest = field.path.partition(".")
    if not number.isdigit() or int(number) >= len(before):
        return "a measure"
    measure = before[int(number)]
    return f"{measure.get('play')} {measure.get('split')} {measure.get('score')} {rest}".rstrip()


def _changes(result: RunResult) -> list[str]:
    """Which ingredients of the key are different now, with the code and the packages of today."""
    spec = result.spec
    if not spec.facts:
        return []
    (now,) = seal([replace(spec, facts={})])
    return [change.field for change in differences(spec, now)][:5]


def _strangers(out: Path, results: list[RunResult]) -> list[str]:
    """Folders with a record that the ledger does not know."""
    known = {result.spec.folder_name for result in results}
    found = sorted(path.parent.name for path in out.glob(f"*/{RECORD}") if not path.parent.name.startswith("."))
    return [f"{name} holds a record that is not in the ledger" for name in found if name not in known]


def _write(out: Path, found: Verification) -> None:
    runs = {
        check.key: {
            "folder": check.folder,
            "verdict": check.verdict,
            "digest": record_digest(out / check.folder),
            "problems": check.problems,
            "notes": check.notes,
        }
        for check in found.checks
    }
    data = {"protocol": PROTOCOL, "problems": found.problems, "runs": runs}
    write_whole(out / VERIFICATION, json.dumps(data, ensure_ascii=False, indent=1) + "\n")
