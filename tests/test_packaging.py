"""What setup.cfg promises, compared with the tree and with the installed package."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

import textgym

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"textgym": ROOT / "textgym", "textgym.agents": ROOT / "agents", "textgym.benchmarks": ROOT / "benchmarks"}


@pytest.fixture(scope="module")
def config() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def listed(text: str) -> list[str]:
    """The lines of a setup.cfg value."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def names_of(requirements: list[str]) -> set[str]:
    """Normalised names of requirement lines."""
    return {re.split(r"[<>=!\[; ]", line)[0].lower().replace("_", "-") for line in requirements}


def test_the_package_list_is_the_tree(config: configparser.ConfigParser) -> None:
    in_tree = set()
    for package, folder in FOLDERS.items():
        for path in folder.rglob("*.py"):
            if path.parent.name != "assets":  # data, beside the scripts that build them
                in_tree.add(".".join([package, *path.parent.relative_to(folder).parts]))
    assert sorted(listed(config["options"]["packages"])) == sorted(in_tree)


def test_every_package_is_a_folder_with_an_init(config: configparser.ConfigParser) -> None:
    mapping = dict(line.split(" = ") for line in listed(config["options"]["package_dir"]))
    for package in listed(config["options"]["packages"]):
        root = max((known for known in mapping if f"{package}.".startswith(f"{known}.")), key=len)
        folder = ROOT / mapping[root] / Path(*package.removeprefix(root).strip(".").split("."))
        assert (folder / "__init__.py").is_file(), package


def test_every_asset_is_shipped(config: configparser.ConfigParser) -> None:
    patterns = config["options.package_data"]["textgym"].split(", ")
    assets = [path for path in (ROOT / "textgym" / "assets").iterdir() if path.is_file() and path.suffix != ".py"]
    assert assets
    assert not [path.name for path in assets if not any(path.match(pattern) for pattern in patterns)]
    assert "py.typed" in patterns
    assert (ROOT / "textgym" / "py.typed").is_file()


def test_one_version(config: configparser.ConfigParser) -> None:
    stated = config["metadata"]["version"]
    assert textgym.__version__ == stated == version("textgym")
    assert f"version: {stated}" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_all_is_every_extra(config: configparser.ConfigParser) -> None:
    extras = config["options.extras_require"]
    (line,) = listed(extras["all"])
    assert set(line.removeprefix("textgym[").removesuffix("]").split(",")) == set(extras) - {"all"}


def test_every_requirement_is_pinned(config: configparser.ConfigParser) -> None:
    wanted = names_of(listed(config["options"]["install_requires"]))
    for name, value in config["options.extras_require"].items():
        wanted |= set() if name == "all" else names_of(listed(value))
    lines = [line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines), "one exact public version a line"
    assert not wanted - names_of(lines)


def test_the_console_script_is_the_cli() -> None:
    (script,) = [point for point in entry_points(group="console_scripts") if point.name == "textgym"]
    assert script.value == "textgym.cli:main"
    assert callable(script.load())


def test_all_parts_import_from_any_directory(tmp_path: Path) -> None:
    code = "import textgym, textgym.agents.registry, textgym.benchmarks, textgym.tasks; print(textgym.__version__)"
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == textgym.__version__


WHERE_THEY_COME_FROM = """
import json
from importlib.metadata import packages_distributions
from importlib.util import find_spec

found, owners = {}, packages_distributions()
for name in ("agents", "benchmarks"):
    spec = find_spec(name)
    places = [spec.origin, *(spec.submodule_search_locations or ())] if spec else []
    found[name] = {"places": [place for place in places if place], "owners": owners.get(name, [])}
print(json.dumps(found))
"""


def test_agents_and_benchmarks_have_one_import_name(config: configparser.ConfigParser, tmp_path: Path) -> None:
    assert {package.partition(".")[0] for package in listed(config["options"]["packages"])} == {"textgym"}
    command = [sys.executable, "-c", WHERE_THEY_COME_FROM]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    found = json.loads(result.stdout)
    assert set(found) == {"agents", "benchmarks"}
    for name, module in found.items():  # another distribution may have one of that name, and some do
        assert "textgym" not in module["owners"], f"{name} is installed at the top level"
        ours = {path.name for path in (ROOT / name).glob("[a-z]*.py")}
        assert ours
        for place in map(Path, module["places"]):
            assert not place.resolve().is_relative_to(ROOT / name), f"{name} is importable from {place}"
            assert not ours & {path.name for path in place.glob("*.py")}, f"{place} is a copy of ours"


def test_public_modules_have_an_api_page() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    listed_modules = set(re.findall(r"^   (textgym[\w.]*)$", page, re.MULTILINE))
    hidden = {"cli", "assets", "weeks", "programs"}  # the last two have the answers of the course
    own_pages = ROOT / "docs" / "environments"  # of the tasks
    for package, folder in FOLDERS.items():
        for path in folder.rglob("*.py"):
            parts = [package, *path.relative_to(folder).with_suffix("").parts]
            if parts[1:2] == ["tasks"] and len(parts) == 3:
                assert own_pages.is_dir()
                continue
            if hidden.intersection(parts) or path.stem.startswith(("_", "report_")):
                continue
            assert ".".join(parts) in listed_modules, f"add {'.'.join(parts)} to docs/api.md"
