"""The table, as people and Markdown read it."""

from collections.abc import Sequence

from benchmarks.row import Row

HEAD = ("what", "ours", "floor", "ours / floor", "target", "met")


def table(rows: Sequence[Row]) -> str:
    """All rows under a head, in columns."""
    return columns(HEAD, [(row.what, row.ours, row.floor, row.ratio, row.target, row.verdict) for row in rows])


def columns(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Cells under a head, each column as wide as it must be."""
    widths = [max(len(line[at]) for line in (head, *lines)) for at in range(len(head))]
    rule = ["-" * width for width in widths]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in (head, rule, *lines)]
    return "".join(f"| {' | '.join(line)} |\n" for line in padded)
