"""Pictures of values, as SVG: what tokens are worth, what an agent learned of it and does, and lines in a chart.

Example:
    >>> from textgym.exact import solve
    >>> picture = prefix_tree(solve("TextGen-v0", level="tiny"))
    >>> picture.count("<svg")
    1
"""

from textgym.pictures.charts import line_chart
from textgym.pictures.tables import q_table
from textgym.pictures.trees import prefix_tree

__all__ = ["line_chart", "prefix_tree", "q_table"]
