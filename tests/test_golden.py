"""A change that can change a trajectory raises the version of its id: tests/golden.json says when that happened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import make_golden
import pytest
from make_golden import asset_complaints, difference, hash_assets, read, record, roll_out, rollout_complaints
from playing import SUITE_IDS
from toys import LETTERS, PLAIN, PROMPTS, Gold, Weighted, constant, stop_at_c

from textgym.constraints import Lexicon
from textgym.task import Task

KNOWN = read()


@pytest.mark.parametrize("name", SUITE_IDS)
def test_behaviour_is_that_of_this_version(name: str) -> None:
    known = {name: KNOWN["rollouts"][name]} if name in KNOWN["rollouts"] else {}
    found = [*rollout_complaints(known, {name: record(name)})]
    assert not found, "\n".join(found)


def test_no_golden_rollout_is_left_over() -> None:
    left = {name: known for name, known in KNOWN["rollouts"].items() if name not in SUITE_IDS}
    found = [*rollout_complaints(left, {})]
    assert not found, "\n".join(found)


def test_the_assets_are_those_of_this_version() -> None:
    found = [*asset_complaints(KNOWN["assets"], hash_assets())]
    assert not found, "\n".join(found)


def test_every_shipped_asset_has_a_hash(root: Path) -> None:
    files = (root / "textgym" / "assets").iterdir()
    assert KNOWN["assets"].keys() == {path.name for path in files if path.suffix in (".json", ".safetensors")}


def test_every_rollout_sees_texts_end() -> None:
    for name, known in KNOWN["rollouts"].items():
        assert len(known["rewards"]) >= 3, name
        assert len(known["golds"]) in (0, len(known["rewards"])), name


# ---- what a change is called --------------------------------------------------------------------------------------


class Paid(Weighted):
    """The toy's reward and a little more."""

    def __init__(self, more: float) -> None:
        object.__setattr__(self, "more", more)

    def __call__(self, batch: Any) -> Any:
        return super().__call__(batch) + self.more


class Dear(Gold):
    """The toy's gold and a little more."""

    def __call__(self, batch: Any) -> Any:
        return super().__call__(batch) + 0.5


def record_of(task: Task) -> Any:
    return roll_out(gym.make("TextGen-v0", task=task, gold=True))


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"max_new_tokens": 4}, "the spaces were 'tokens, V=12, P=3, T=5' and are 'tokens, V=12, P=3, T=4'"),
        ({"make_prompts": PROMPTS[::-1]}, "first at step 0, in all in prompts, ids"),
        (
            {"make_constraints": (Lexicon(LETTERS[:4]),)},
            "first at step 0, in all in prompts, masks, ids, flags, endings",
        ),
        ({"make_stop": stop_at_c}, "in all in prompts, ids, flags, endings"),
        ({"make_reward": Paid(2e-6)}, "rewards of"),
        ({"make_reward": Paid(1e-8)}, None),
        ({"make_gold": Dear()}, "golds of"),
        ({"make_gold": None}, "and are 0"),
    ],
)
def test_the_first_difference_is_named(changes: dict[str, Any], what: str | None) -> None:
    functions = {name: None if value is None else constant(value) for name, value in changes.items()}
    found = difference(record_of(PLAIN), record_of(replace(PLAIN, **functions)))
    assert found is None if what is None else what in str(found)


def test_the_step_where_a_difference_begins_is_named() -> None:
    now = record_of(PLAIN)
    steps = now["steps"][: 3 * 37] + "???" + now["steps"][3 * 38 :]
    assert difference({**now, "ids": "others", "steps": steps}, now) == "first at step 37, in all in ids"


def test_the_messages_say_what_to_do() -> None:
    now = record_of(PLAIN)
    dearer = {**now, "rewards": [now["rewards"][0] + 2e-6, *now["rewards"][1:]]}
    changed, new, gone = rollout_complaints(
        {"changed": dearer, "gone": now, "same": now}, dict.fromkeys(["changed", "same", "new"], now)
    )
    assert changed.startswith("changed: behaviour changed, 1 rewards of ")
    assert "raise the version or revert" in changed
    assert new.startswith("new has no golden rollout yet")
    assert gone.startswith("gone has a golden rollout but is not in the suite")
    assert all("`python tests/make_golden.py` renews" in line for line in (changed, new, gone))


def test_the_messages_of_assets_say_what_to_do() -> None:
    known, now = {"a.json": "1", "b.json": "2", "c.json": "3"}, {"b.json": "2", "c.json": "4", "d.json": "5"}
    gone, changed, new = asset_complaints(known, now)
    assert gone.startswith("the asset a.json is gone: raise the version of the ids whose task reads it, or revert")
    assert changed.startswith("the asset c.json changed: raise the version of the ids whose task reads it, or revert")
    assert new.startswith("the asset d.json has no hash yet")
    assert all("`python tests/make_golden.py` renews" in line for line in (gone, changed, new))


# ---- assets and the script ----------------------------------------------------------------------------------------


def test_line_ends_of_texts_do_not_count_but_those_of_weights_do(tmp_path: Path) -> None:
    for line_end in (b"\n", b"\r\n"):
        folder = tmp_path / line_end.hex()
        (folder / "deep").mkdir(parents=True)
        (folder / "words.json").write_bytes(b'["a",' + line_end + b'"b"]')
        (folder / "deep" / "weights.safetensors").write_bytes(b"\x00" + line_end)
        (folder / "build.py").write_bytes(b"print()" + line_end)
    unix, windows = hash_assets(tmp_path / "0a"), hash_assets(tmp_path / "0d0a")
    assert [*unix] == [*windows] == ["deep/weights.safetensors", "words.json"]
    assert unix["words.json"] == windows["words.json"]
    assert unix["deep/weights.safetensors"] != windows["deep/weights.safetensors"]


def test_the_script_checks_and_renews(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(make_golden, "FILE", tmp_path / "golden.json")
    monkeypatch.setattr(make_golden, "SUITE_IDS", ["TextGen-v0"])
    assert make_golden.main(["--check"]) == 1
    assert "TextGen-v0 has no golden rollout yet" in capsys.readouterr().out
    assert not make_golden.FILE.exists()
    assert make_golden.main([]) == 0
    assert make_golden.main(["--check"]) == 0
    assert "nothing differs" in capsys.readouterr().out
    assert read() == {"rollouts": {"TextGen-v0": record("TextGen-v0")}, "assets": hash_assets()}
    assert make_golden.main(["--chek"]) == 2
