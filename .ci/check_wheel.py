"""Checks what a built wheel contains: nothing but textgym and its metadata, with assets and type marker."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path


def problems(wheel: Path) -> list[str]:
    """Lists what is wrong with the wheel's contents."""
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    found = [] if tops == {"textgym"} else [f"top level is {sorted(tops)}, expected textgym alone"]
    wanted = ["textgym/py.typed", "textgym/agents/q_learning.py", "textgym/benchmarks/__init__.py"]
    wanted += [f"textgym/assets/{path.name}" for path in Path("textgym/assets").glob("*.*") if path.suffix != ".py"]
    pages = [path for folder in ("templates", "static") for path in Path("textgym/feedback", folder).iterdir()]
    wanted += [path.as_posix() for path in pages]
    found += [f"{name} is missing" for name in wanted if name not in names]
    return found


if __name__ == "__main__":
    sys.exit("\n".join(problems(Path(sys.argv[1]))) or 0)
