"""The bug zoo: programs that train without complaint and are wrong in one place.

Each exhibit is a module of :mod:`textgym.course.zoo.programs`: above its spoiler line a small program that a student
reads, runs and mends, below it what is wrong and the function as it should be.

Example:
    >>> from textgym.course.zoo.running import NAMES, get, run
    >>> "hamster" in NAMES
    True
    >>> run("hamster", 0)["largest value"] > 2 * run("hamster", 0, mended=True)["largest value"]
    True
"""
