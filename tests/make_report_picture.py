"""Takes docs/images/report.png, the picture in the README: ``make demo``, then ``python tests/make_report_picture.py``.

It needs Chromium. The seconds in the report are those of the machine, so no test compares the file.
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path

from chromium import open_browser

ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "runs" / "demo" / "report.html"
TARGET = ROOT / "docs" / "images" / "report.png"
WIDTH, HEIGHT = 1640, 1330


def take(report: Path, target: Path) -> None:
    """Writes a picture of the top of a report."""
    with open_browser() as browser:
        page = browser.page("file://", width=WIDTH, height=HEIGHT)
        page.call("Emulation.setScrollbarsHidden", hidden=True)
        page.go(report.resolve().as_uri())
        data = page.call("Page.captureScreenshot", format="png")["data"]
        target.write_bytes(base64.b64decode(data))


if __name__ == "__main__":
    take(Path(sys.argv[1]) if len(sys.argv) > 1 else REPORT, TARGET)
