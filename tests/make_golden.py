"""Writes tests/golden.json: what every id and level does in 200 steps, and the hashes of the shipped assets.

``python tests/make_golden.py`` renews the file, ``python tests/make_golden.py --check`` says what differs from it.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from playing import SUITE_IDS, make

from textgym.keys import episode_key, lane_key, mix, pick

FILE = Path(__file__).with_name("golden.json")
ASSETS = Path(__file__).resolve().parents[1] / "textgym" / "assets"
SEED, STEPS, TOLERANCE = 123, 200, 1e-6

Record = dict[str, Any]
EXACT = ("prompts", "masks", "ids", "flags", "endings")
"""Hashed, since they must be the same everywhere; one entry for each step."""
NUMBERS = ("rewards", "golds")
"""Kept, one for each text that ended, since they may differ in the last bits between machines."""
RENEW = "`python tests/make_golden.py` renews tests/golden.json"
DIGITS = 3
"""Of each step's own hash, which only say where a difference begins."""


# ---- recording ----------------------------------------------------------------------------------------------------


def roll_out(env: Any) -> Record:
    """What happens in the first 200 steps of a seed."""
    base = env.unwrapped
    seen: dict[str, list[Any]] = {name: [] for name in (*EXACT, *NUMBERS)}
    env.reset(seed=SEED)
    paid = 0.0
    for step in range(STEPS):
        mask = base.action_masks()
        seen["prompts"].append(base.task.prompts.texts[base.prompt_index])
        seen["masks"].append(mask.tolist())
        _, reward, terminated, truncated, info = env.step(choose(mask, base.task.tokenizer.eos_ids, step))
        paid += reward
        seen["ids"].append(base.get_state()["core"]["tokens"][0].tolist())
        seen["flags"].append([terminated, truncated])
        seen["endings"].append([info.get(name) for name in ("stop_reason", "num_tokens", "completion")])
        if terminated:
            seen["rewards"].append(round(paid, 9))
            seen["golds"] += [round(info["gold"], 9)] if "gold" in info else []
            env.reset()
            paid = 0.0
    spaces = f"{base.config.observation}, V={len(mask)}, P={base.task.prompts.width}, T={base.task.budget}"
    steps = [digest([seen[name][step] for name in EXACT])[:DIGITS] for step in range(STEPS)]
    exact = {name: digest(seen[name]) for name in EXACT}
    return {"spaces": spaces, **exact, "steps": "".join(steps)} | {name: seen[name] for name in NUMBERS}


def record(name: str) -> Record:
    """The rollout of one id and level of the suite."""
    return roll_out(make(name, gold=True))


def choose(mask: NDArray[np.bool_], ends: tuple[int, ...], step: int) -> int:
    """Mostly any legal id, now and then an end or an illegal id; from textgym's keys, which no library can change."""
    key = episode_key(lane_key(SEED), step)
    legal, kind = np.flatnonzero(mask), pick(key, 20)
    if kind == 0 and not mask.all():
        legal = np.flatnonzero(~mask)
    elif kind < 3 and mask[list(ends)].any():
        legal = np.array([end for end in ends if mask[end]])
    return int(legal[pick(mix(key), len(legal))])


def digest(value: Any) -> str:
    """A short hash of anything that JSON can say."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def hash_assets(folder: Path = ASSETS) -> dict[str, str]:
    """A hash for every shipped file, by name; the scripts beside them are not shipped."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix not in (".py", ".pyc"))
    return {path.relative_to(folder).as_posix(): hash_file(path) for path in paths}


def hash_file(path: Path) -> str:
    """The hash of a file's content; in text, whatever the line ends that a checkout gave it."""
    data = path.read_bytes()
    if path.suffix != ".safetensors":
        data = data.replace(b"\r\n", b"\n")
    return hashlib.sha256(data).hexdigest()[:16]


# ---- comparing ----------------------------------------------------------------------------------------------------


def difference(known: Record, now: Record) -> str | None:
    """What differs first between two records of one id; None if nothing does."""
    if known["spaces"] != now["spaces"]:
        return f"the spaces were {known['spaces']!r} and are {now['spaces']!r}"
    changed = [name for name in EXACT if known[name] != now[name]]
    if changed:
        before, after = (textwrap.wrap(record["steps"], DIGITS) for record in (known, now))
        step = next((step for step in range(STEPS) if before[step] != after[step]), "unknown")
        return f"first at step {step}, in all in {', '.join(changed)}"
    return next((what for name in NUMBERS if (what := _compare(name, known[name], now[name]))), None)


def _compare(name: str, known: list[float], now: list[float]) -> str | None:
    if len(known) != len(now):
        return f"there were {len(known)} {name} and are {len(now)}"
    far = np.flatnonzero(~np.isclose(known, now, rtol=0.0, atol=TOLERANCE))
    if not len(far):
        return None
    return f"{len(far)} {name} of {len(now)}, first that of text {far[0]}: it was {known[far[0]]} and is {now[far[0]]}"


def rollout_complaints(known: Record, now: Record) -> Iterator[str]:
    """What is wrong when the file says that the ids do ``known`` and they do ``now``, and what to do about it."""
    for name in now:
        if name not in known:
            yield f"{name} has no golden rollout yet: {RENEW}"
        elif what := difference(known[name], now[name]):
            yield f"{name}: behaviour changed, {what}: raise the version or revert. After a new version {RENEW}"
    for name in known:
        if name not in now:
            yield f"{name} has a golden rollout but is not in the suite: revert, or if it is meant to be gone, {RENEW}"


def asset_complaints(known: Record, now: Record) -> Iterator[str]:
    """The same for the hashes of the assets."""
    for name in sorted({*known, *now}):
        if name not in known:
            yield f"the asset {name} has no hash yet: {RENEW}"
        elif known[name] != now.get(name):
            yield (
                f"the asset {name} {'changed' if name in now else 'is gone'}: raise the version of the ids whose task "
                f"reads it, or revert. After a new version {RENEW}"
            )


# ---- the file -----------------------------------------------------------------------------------------------------


def read() -> Record:
    """What the file says, or nothing where there is none."""
    found: Record = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {"rollouts": {}, "assets": {}}
    return found


def write(found: Record) -> None:
    """Writes the file, each list on one line."""
    text = json.dumps(found, indent=2, ensure_ascii=False)
    text = re.sub(r"\[[^\[\]]*\]", lambda numbers: " ".join(numbers[0].split()), text)
    FILE.write_text(text + "\n", encoding="utf-8", newline="\n")


def main(words: list[str]) -> int:
    """Renews the file or, with ``--check``, only says what differs; returns the exit status."""
    if words not in ([], ["--check"]):
        print(__doc__)
        return 2
    known, now = read(), {"rollouts": {name: record(name) for name in SUITE_IDS}, "assets": hash_assets()}
    found = [*rollout_complaints(known["rollouts"], now["rollouts"])]
    found += asset_complaints(known["assets"], now["assets"])
    print("\n".join(found) or "nothing differs")
    if words:
        return 1 if found else 0
    write(now)
    print(f"wrote {FILE}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
