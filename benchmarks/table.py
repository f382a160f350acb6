"""Formats the results as a Markdown table with aligned columns."""

from collections.abc import Sequence

from benchmarks.row import ResultRow

HEAD = ("what", "ours", "floor", "ours / floor", "target", "met")


def table(rows: Sequence[ResultRow]) -> str:
    """Return all rows as a table."""
    return columns(HEAD, [(row.what, row.ours, row.floor, row.ratio, row.target, row.verdict) for row in rows])


def columns(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table with this head. Each column is as wide as its longest cell."""
    widths = [max(len(line[at]) for line in (head, *lines)) for at in range(len(head))]
    rule = ["-" * width for width in widths]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in (head, rule, *lines)]
    return "".join(f"| {' | '.join(line)} |\n" for line in padded)
