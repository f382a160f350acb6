"""Series read from Graphite, and columns of charts that are filled from them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from vmpooler.domain.graphite import filled, parsed, steady, targets

ANYTHING = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=5),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def test_only_what_is_missing_is_filled_with_the_last_number_of_its_step() -> None:
    points = [[9, 999], [1, 1000], [2.04, 1030], [None, 1059], [3, 1060], [4, 1120], [None, 1180], [5, 1240], [6, 1300]]
    assert filled([None, 7, None, None, 0], points, 1000, 60) == [2.0, 7, 4, None, 0]


def test_what_cannot_be_a_count_is_nothing() -> None:
    points = [[-1, 0], [10**400, 1], [float("nan"), 2], [float("inf"), 3], ["5", 4], [5], 5, [5, 4.5], [5, "4"], None]
    assert filled([None], points, 0, 60) == [None]


def test_what_is_missing_is_as_before_in_a_steady_series() -> None:
    assert steady([[None, 1], [2.9, 2], [None, 3], [0, 4]], 5) == [5, 2, 2, 0]
    assert steady([], 5) == []


def test_pools_with_dots_in_their_names_are_asked_for_too() -> None:
    assert targets("lab", ["debian", "plain", "ubuntu-22.04"]) == [
        *["lab.ready.*", "lab.ready.*.*", "lab.running.*", "lab.running.*.*"]
    ]
    assert targets("lab", ["ubuntu-22.04"]) == ["lab.ready.ubuntu-22.04", "lab.running.ubuntu-22.04"]


def test_series_are_distinguished_by_metric_and_pool() -> None:
    names = ["a.b.ready.debian", "a.b.running.ubuntu-22.04", "a.b.clone.debian", "other.ready.debian"]
    answer = [{"target": name, "datapoints": [[number, 60]]} for number, name in enumerate(names)]
    found = parsed(json.dumps([*answer, {}, 7]).encode(), "a.b")
    assert found == {"ready": {"debian": [[0, 60]]}, "running": {"ubuntu-22.04": [[1, 60]]}}


@pytest.mark.parametrize("answer", [b"", b"<html>", b"{}", b"null", b"\xff\xfe\xfd", b"[" * 200_000, b"9" * 5000])
def test_what_is_no_answer_of_graphite_is_refused(answer: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parsed(answer, "vmpooler")


@given(some.lists(ANYTHING | some.lists(ANYTHING, min_size=2, max_size=2)))
def test_whatever_comes_is_numbers_or_nothing(points: list[Any]) -> None:
    for found in (
        parsed(json.dumps([{"target": "p.ready.x", "datapoints": points}]).encode(), "p")["ready"]["x"],
        points,
    ):
        assert len(filled([None] * 3, found, 0, 60)) == 3
        assert all(number >= 0 for number in steady(found, 0))
