"""Prints the first Python block of a Markdown page, so that it can be run elsewhere."""

from __future__ import annotations

import re
import sys
from pathlib import Path

if __name__ == "__main__":
    page = Path(sys.argv[1]).read_text(encoding="utf-8")
    block = re.search(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    sys.stdout.write(block.group(1) if block else sys.exit("no Python block"))
