"""Changing any one thing that decides a result changes the key of the run; changing anything else does not."""

import sys
from dataclasses import replace

import pytest

from textgym.benchmarks import records, run_keys
from textgym.benchmarks.records import RunSpec, versions
from textgym.benchmarks.run_keys import differences, ingredients, seal
from textgym.benchmarks.sources import source_hash

SPEC = RunSpec(agent="q_learning", env_id="TextGen-v0", steps=100, seed=0, config={"lanes": 4}, env={"level": "tiny"})
FACTS = ingredients(SPEC)
SEALED = replace(SPEC, facts=FACTS)


@pytest.mark.parametrize(
    "change",
    [
        {"env_id": "TextGen/Copy-v0"},
        {"env": {"level": "easy"}},
        {"env": {"level": "tiny", "max_new_tokens": 4}},
        {"agent": "uniform"},
        {"config": {"lanes": 5}},
        {"seed": 1},
        {"steps": 101},
        {"episodes": 201},
        {"reward_calls": 50},
    ],
    ids=str,
)
def test_every_field_of_the_spec_is_an_ingredient(change):
    assert replace(SEALED, **change).key != SEALED.key


@pytest.mark.parametrize("name", FACTS)
def test_every_fact_is_an_ingredient(name):
    assert set(FACTS) == {
        "protocol", "env_version", "task_source", "agent_source", "agent_config", "inputs", "versions"
    }  # fmt: skip
    assert replace(SPEC, facts={**FACTS, name: "changed"}).key != SEALED.key


@pytest.mark.parametrize("package", versions())
def test_every_version_is_an_ingredient(package):
    changed = {**FACTS, "versions": {**FACTS["versions"], package: "0"}}
    assert replace(SPEC, facts=changed).key != SEALED.key


def test_labels_order_and_repetition_are_no_ingredients():
    other = replace(SPEC, label="mine", env=dict(reversed(SPEC.env.items())))
    assert seal([other])[0].key == SEALED.key
    assert seal([SEALED]) == [SEALED]
    assert len(SEALED.key) == 64


def test_the_key_survives_the_disk():
    spec = replace(SPEC, env={"reward": len, "hidden": (1, 2), "level": "tiny"})
    (sealed,) = seal([spec])
    again = RunSpec(**{**sealed.parts(), "label": "x"})
    assert again.key == sealed.key


def test_a_default_counts_as_it_is_resolved():
    assert FACTS["agent_config"]["learning_rate"] == 1.0
    given = ingredients(replace(SPEC, config={"lanes": 4, "learning_rate": 1.0}))
    assert given["agent_config"] == FACTS["agent_config"]
    assert ingredients(replace(SPEC, config={"lanes": 5}))["agent_config"]["lanes"] == 5


def test_a_new_version_of_an_id_changes_the_key(monkeypatch):
    run_keys._env_version.cache_clear()
    assert FACTS["env_version"] == "0"
    monkeypatch.setattr(run_keys.gym, "spec", lambda env_id: type("Spec", (), {"version": 1, "kwargs": {}}))
    try:
        assert ingredients(SPEC)["env_version"] == "1"
    finally:
        run_keys._env_version.cache_clear()


def test_a_new_protocol_changes_the_key(monkeypatch):
    monkeypatch.setattr(run_keys, "PROTOCOL", records.PROTOCOL + 1)
    assert seal([SPEC])[0].key != SEALED.key


def test_a_run_that_cannot_be_made_has_a_key_too():
    (sealed,) = seal([RunSpec(agent="nobody", env_id="Nothing-v0", steps=1, seed=0, config={"a": 1})])
    assert (sealed.facts["env_version"], sealed.facts["task_source"], sealed.facts["agent_source"]) == ("", "", "")
    assert sealed.facts["agent_config"] == {"a": 1}
    (wrong,) = seal([replace(SPEC, config={"lanes": -1})])
    assert wrong.facts["agent_config"] == {"lanes": -1}


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A folder of modules on Python's path."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        for cached in (run_keys._agent_source, run_keys._task_source, run_keys._inputs):
            cached.cache_clear()

    return write


def test_the_source_of_an_agent_of_ones_own(lab):
    name = "my_lab_agent"
    lab(f"{name}.py", "import my_lab_helper\nimport numpy\nclass Agent:\n    rate = 1\n")
    lab("my_lab_helper.py", "def f(): return 1\n")
    before = ingredients(replace(SPEC, agent=f"{name}:Agent"))["agent_source"]
    lab(f"{name}.py", '"""Read this."""\nimport my_lab_helper\nimport numpy\n\n\nclass Agent:\n    rate = 1  # fast\n')
    assert ingredients(replace(SPEC, agent=f"{name}:Agent"))["agent_source"] == before  # what it does is the same
    lab("my_lab_helper.py", "def f(): return 2\n")
    helped = ingredients(replace(SPEC, agent=f"{name}:Agent"))["agent_source"]
    lab(f"{name}.py", "import my_lab_helper\nimport numpy\nclass Agent:\n    rate = 2\n")
    changed = ingredients(replace(SPEC, agent=f"{name}:Agent"))["agent_source"]
    assert len({before, helped, changed}) == 3
    assert name not in sys.modules  # nothing of it was run


def test_a_package_is_read_with_what_it_imports(lab):
    lab("my_lab_pack/__init__.py", "")
    lab("my_lab_pack/agent.py", "from .parts import core\nfrom . import more\n")
    lab("my_lab_pack/parts.py", "core = 1\n")
    lab("my_lab_pack/more.py", "x = 1\n")
    lab("my_lab_pack/unused.py", "x = 1\n")
    first = source_hash("my_lab_pack.agent")
    lab("my_lab_pack/unused.py", "x = 2\n")
    assert source_hash("my_lab_pack.agent") == first
    lab("my_lab_pack/more.py", "x = 2\n")
    second = source_hash("my_lab_pack.agent")
    lab("my_lab_pack/parts.py", "core = 2\n")
    assert len({first, second, source_hash("my_lab_pack.agent")}) == 3
    lab("my_lab_pack/parts.py", "core = = 2\n")  # hashed as it stands: the run will fail
    assert len(source_hash("my_lab_pack.agent")) == 64


def test_the_sources_of_textgyms_own(monkeypatch):
    assert len(FACTS["agent_source"]) == len(FACTS["task_source"]) == 64
    assert source_hash("textgym.agents.q_learning", only=["textgym.agents"]) == FACTS["agent_source"]
    assert source_hash("textgym.agents.uniform", only=["textgym.agents"]) != FACTS["agent_source"]
    assert ingredients(replace(SPEC, env_id="TextGen/Copy-v0"))["task_source"] != FACTS["task_source"]
    assert (
        ingredients(replace(SPEC, env_id="TextGen/Copy-v0", env={"task": "Reviews"}))["task_source"]
        == (FACTS["task_source"])
    )
    assert source_hash("no_such_module_here") == source_hash("math") == ""


def test_what_arguments_name_is_an_ingredient(lab, tmp_path):
    (tmp_path / "prompts.csv").write_text("prompt\na\n", encoding="utf-8")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(b"1")
    lab("my_lab_reward.py", "def f(prompt, completion): return 1.0\n")
    env = {
        "prompts": {"path": str(tmp_path / "prompts.csv")},
        "reward": {"a": "my_lab_reward:f", "b": [str(tmp_path / "model")]},
        "level": "tiny",
    }
    spec = replace(SPEC, env=env)
    found = [ingredients(spec)["inputs"]]
    assert set(found[0]) == {"my_lab_reward:f", str(tmp_path / "prompts.csv"), str(tmp_path / "model")}
    lab("my_lab_reward.py", "def f(prompt, completion): return 2.0\n")
    found.append(ingredients(spec)["inputs"])
    (tmp_path / "prompts.csv").write_text("prompt\nb\n", encoding="utf-8")
    lab("nothing.py", "")
    found.append(ingredients(spec)["inputs"])
    (tmp_path / "model" / "weights").write_bytes(b"2")
    lab("nothing.py", "")
    found.append(ingredients(spec)["inputs"])
    assert len({str(item) for item in found}) == 4


def test_the_data_behind_a_name_for_minari_is_an_ingredient(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    place = tmp_path / "textgym" / "reviews-v0"
    place.mkdir(parents=True)
    found = []
    for content in (b"1", b"2"):
        (place / "data").write_bytes(content)
        run_keys._inputs.cache_clear()
        found.append(ingredients(replace(SPEC, config={"data": "textgym/reviews-v0"}))["inputs"])
    assert found[0].keys() == found[1].keys() == {"textgym/reviews-v0"}
    assert found[0] != found[1]


def test_differences_are_named_with_both_values():
    changed = replace(SEALED, seed=7, label="x", steps=5, facts={**FACTS, "agent_config": {"lanes": 8}})
    found = {item.field: (item.before, item.now) for item in differences(SEALED, changed)}
    assert found["steps"] == (100, 5)
    assert found["config.lanes"] == (4, 8)
    assert found["config.learning_rate"] == (1.0, None)
    assert not {"seed", "label"} & set(found)
    assert differences(SEALED, replace(SEALED, seed=3)) == []
