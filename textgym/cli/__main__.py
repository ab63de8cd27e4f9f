"""``python -m textgym.cli`` is the command ``textgym``."""

from textgym.cli import main

main()
