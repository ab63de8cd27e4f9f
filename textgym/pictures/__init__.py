"""Pictures of values, as SVG: what each token is worth, what an agent learned of it, and what it does.

Example:
    >>> from textgym.exact import solve
    >>> picture = prefix_tree(solve("TextGen-v0", level="tiny"))
    >>> picture.count("<svg")
    1
"""

from textgym.pictures.tables import q_table
from textgym.pictures.trees import prefix_tree

__all__ = ["prefix_tree", "q_table"]
