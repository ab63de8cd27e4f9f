"""``textgym doctor`` and the completion of commands in a shell."""

from __future__ import annotations

import configparser
import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from textgym import __version__
from textgym.cli import app
from textgym.cli import doctor as module
from textgym.cli.doctor import PURPOSES, Package, find_extras

ROOT = Path(__file__).resolve().parents[1]


def test_every_extra_of_the_package_has_a_purpose() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    assert set(PURPOSES) == {"core", *setup["options.extras_require"]} - {"all"}


def test_it_says_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0
    first, *lines = result.stdout.splitlines()
    assert first.startswith(f"textgym {__version__}, Python {sys.version.split()[0]}")
    assert any(re.fullmatch(r"ok +core +numpy .*gymnasium \S+, .*", line) for line in lines)
    assert "OMP_NUM_THREADS" not in result.stdout


def test_json_has_the_same() -> None:
    found = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)
    core = next(extra for extra in found["extras"] if extra["name"] == "core")
    versions = {package["name"]: package["installed"] for package in core["packages"]}
    assert core["status"] == "ok"
    assert versions["numpy"] == importlib.metadata.version("numpy")
    assert found["system"]["textgym"] == __version__


@pytest.mark.parametrize(
    ("requirement", "status"),
    [
        ("numpy", "ok"),
        ("numpy>=1.26,<99", "ok"),
        ("numpy<1", "version"),
        ("numpy>=1000.0", "version"),
        ("ray-like-nothing[tune]>=2", "missing"),
    ],
)
def test_missing_and_wrong_versions(requirement: str, status: str) -> None:
    core, extra = find_extras(["gymnasium", f'{requirement}; extra == "ray"'])
    assert (core.status, extra.status) == ("ok", status)
    assert extra.install == ("" if status == "ok" else "pip install 'textgym[ray]'")


@pytest.mark.parametrize(
    ("version", "needed", "fits"),
    [
        ("2.10.0", ">=2.9", True),
        ("2.9", ">=2.9.0,<2.10", True),
        ("2.13.0+cpu", ">=2.3", True),
        ("2.10.0", "<2.10", False),
        ("1.0rc1", "==1.0", True),
        ("3", "", True),
        ("1.5", ">1.5", False),
        ("1.5", "<=1.5", True),
    ],
)
def test_versions_are_compared_as_numbers(version: str, needed: str, fits: bool) -> None:
    assert Package("anything", needed, version).fits is fits


def test_what_is_missing_comes_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    requirements = ["numpy", 'no-such-package>=2; extra == "sb3"', 'textgym[sb3]; extra == "all"']
    monkeypatch.setattr(module.importlib.metadata, "requires", lambda _: requirements)
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0  # the core is whole
    assert "no-such-package is missing" in result.stdout
    assert f"for {PURPOSES['sb3']}: pip install 'textgym[sb3]'" in result.stdout
    assert "'textgym[all]'" not in result.stdout


def test_a_missing_core_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.metadata, "requires", lambda _: ["no-such-package"])
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "pip install -e ." in result.stdout


def test_packages_of_other_systems_are_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.sys, "platform", "win32")
    names = [extra.name for extra in find_extras(['textworld<2; sys_platform != "win32" and extra == "textworld"'])]
    assert names == ["core"]


def complete(line: str) -> list[str]:
    """What bash would offer, as its completion function asks for it."""
    question = {"_TEXTGYM_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    return CliRunner().invoke(app, [], prog_name="textgym", env=question).output.split()


def test_the_shell_completes_commands_and_options() -> None:
    assert {"doctor", "train", "bench"} <= set(complete("textgym "))
    assert complete("textgym doc") == ["doctor"]
    assert "--steps" in complete("textgym train --st")


def test_the_completion_can_be_shown() -> None:
    code = "import sys; sys.argv = ['textgym', '--show-completion', 'bash']; from textgym.cli import main; main()"
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert "_TEXTGYM_COMPLETE=complete_bash" in found.stdout
