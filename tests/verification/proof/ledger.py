"""The stored results of the proof: the last short run, and the sum of all pieces of a soak."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Figures = dict[str, Any]
"""The figures that a run reports. Numbers are counts, unless ``MOST`` contains their name."""

LEDGER = Path(__file__).parents[3] / "docs/proof.json"

MOST = frozenset({"slowest recovery", "full again after"})
"""Figures for which the largest value counts, not the sum. None, for never, is above all."""


def added(one: Figures, other: Figures) -> Figures:
    """Merge the figures of two runs. Numbers are added, lists are concatenated, other values come from the later
    run."""
    return {**one, **other, **{name: _sum(name, one[name], other[name]) for name in one.keys() & other.keys()}}


def _sum(name: str, one: Any, other: Any) -> Any:
    if isinstance(one, dict) and isinstance(other, dict):
        return added(one, other)
    if isinstance(one, list) and isinstance(other, list):
        return one + other
    if name in MOST:
        return None if one is None or other is None else max(one, other)
    if isinstance(one, int | float) and isinstance(other, int | float):
        return round(one + other, 1)
    return other


def read(path: Path = LEDGER) -> Figures:
    """Return the stored figures; empty when no run was made."""
    found: Figures = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def write(kept: Mapping[str, Any], path: Path = LEDGER) -> None:
    """Store the figures."""
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
