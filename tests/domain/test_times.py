"""Times written as text, and parsed from it."""

import os
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpooler.domain import times

AUTUMN = 1_698_541_200.0
"""2023-10-29 01:00 UTC: clocks in Berlin are set back from 03:00 to 02:00."""


@pytest.fixture
def berlin() -> Iterator[None]:
    """Set the local time zone to one with daylight saving time."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Europe/Berlin"
    time.tzset()
    yield
    os.environ.pop("TZ")
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.usefixtures("berlin")
def test_a_moment_is_local_time_with_its_offset() -> None:
    assert times.text(AUTUMN - 1) == "2023-10-29 02:59:59 +0200"
    assert times.text(AUTUMN) == "2023-10-29 02:00:00 +0100"


@pytest.mark.usefixtures("berlin")
def test_the_end_of_summer_time_makes_no_duration_jump() -> None:
    before, after = (times.moment(times.text(AUTUMN + seconds)) for seconds in (-1, 0))
    assert (before, after) == (AUTUMN - 1, AUTUMN)


@pytest.mark.usefixtures("berlin")
def test_a_day_is_a_local_day() -> None:
    assert times.day(AUTUMN + 22 * 3600 - 1) == "2023-10-29"
    assert times.day(AUTUMN + 22 * 3600) == "2023-10-30"


@given(st.integers(0, 4_000_000_000))
def test_a_moment_survives_being_written(moment: int) -> None:
    assert times.moment(times.text(moment)) == moment


@pytest.mark.parametrize(
    "text", ["", "today", "2023-10-29 02:00:00", "2023-10-29 02:00:00 UTC", "2023-13-01 00:00:00 +0000"]
)
def test_what_is_no_moment_is_none(text: str) -> None:
    assert times.moment(text) is None


def test_rfc3339_is_in_utc() -> None:
    assert times.rfc3339(AUTUMN) == "2023-10-29T01:00:00+00:00"


@pytest.mark.parametrize(("stored", "hours"), [("5", 5), ("12 hours", 12), (" 3", 3), ("1.9", 1), ("", 24)])
def test_a_lifetime_is_the_number_that_its_text_begins_with_else_the_default(stored: str, hours: float) -> None:
    assert times.lifetime_limit(stored, 24) == hours


@pytest.mark.parametrize("stored", ["0", "never", "-1", "0.9"])
def test_zero_and_text_mean_for_ever(stored: str) -> None:
    assert times.lifetime_limit(stored, 24) is None
