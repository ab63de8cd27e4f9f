"""What all tests share: where the repository is, and one thread a process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run, and no time limit for one: a busy machine is no failure.
settings.register_profile("textgym", deadline=None, derandomize=True)
settings.load_profile("textgym")

# Before torch is imported, in this process and in those that tests start: a second thread a process
# makes small networks slower by an order of magnitude when the cores are busy.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository; tests that read it are skipped where only the installed package is there."""
    folder = Path(__file__).resolve().parents[1]
    if not (folder / "setup.cfg").is_file():
        pytest.skip("these tests read the repository's own files")
    return folder
