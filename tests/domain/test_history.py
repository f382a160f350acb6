"""Samples of the pools' counts, and the series that charts show."""

from hypothesis import given
from hypothesis import strategies as some

from vmpooler.domain.history import GROUP, MAX_SAMPLE, SAMPLE, joined, packed, series

NONE = bytes(SAMPLE.size)
ROWS = some.lists(some.integers(0, MAX_SAMPLE), min_size=4, max_size=4)


@given(some.lists(some.none() | ROWS, max_size=50))
def test_what_was_sampled_is_returned_and_what_was_not_is_null(rows: list[list[int] | None]) -> None:
    kept = b"".join(NONE if row is None else packed(row) for row in rows)
    columns = series(kept, 1)
    assert list(columns) == ["ready", "running", "pending", "checkouts"]
    for number, column in enumerate(columns.values()):
        assert column == [None if row is None else row[number] for row in rows]


def test_a_number_that_is_too_large_counts_as_the_largest() -> None:
    assert series(packed([10**9, 0, 0, 0]), 1)["ready"] == [MAX_SAMPLE]


def test_a_longer_step_has_the_mean_of_its_counts_and_the_sum_of_its_checkouts() -> None:
    kept = packed([1, 4, 0, 2]) + packed([2, 4, 1, 3]) + NONE + NONE
    assert series(kept, 2) == {
        "ready": [1.5, None],
        "running": [4.0, None],
        "pending": [0.5, None],
        "checkouts": [5, None],
    }


def test_a_quarter_of_an_hour_is_summed_up_from_the_minutes_that_there_are() -> None:
    kept = packed([2, 1, 0, 4]) + packed([4, 2, 0, 1]) + NONE * (GROUP - 2)
    assert joined(kept) == packed([3, 2, 0, 5])
    assert joined(NONE * GROUP) == NONE
