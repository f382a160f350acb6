"""Daily sums, and reports over several days."""

import json
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpooler.domain.errors import Invalid
from vmpooler.domain.summary import DAYS_MOST, ROUTES, days, seconds, summed
from vmpooler.web.views.summary import Summary

TODAY = "2024-03-10"

NOTHING = {"duration": {"average": 0, "min": 0, "max": 0, "total": 0}, "count": {"total": 0}}


def flat(**fields: str) -> list[str]:
    return [part for name, value in fields.items() for part in (name.replace("__", ":"), value)]


def summary(route: str, *of_days: list[str], key: str | None = None) -> dict[str, Any]:
    """Return the report on days with these fields and values. The sum of each day is converted to JSON and back."""
    whole = Summary([route], key)
    for number, fields in enumerate(of_days, start=1):
        whole.add(f"2024-03-{number:02}", {route: json.loads(json.dumps(summed(route, fields)))})
    return whole.report()


@pytest.mark.parametrize(
    ("start", "end", "found"),
    [
        (None, None, [TODAY]),
        ("2024-03-09", None, ["2024-03-09", TODAY]),
        ("2024-02-28", "2024-03-01", ["2024-02-28", "2024-02-29", "2024-03-01"]),
        ("2024-03-09", "9999-12-31", ["2024-03-09", TODAY]),
        (TODAY, TODAY, [TODAY]),
        ("0001-01-01", "0001-01-01", ["0001-01-01"]),
    ],
)
def test_a_range_has_both_its_ends_and_nothing_of_the_future(
    start: str | None, end: str | None, found: list[str]
) -> None:
    assert days(start, end, TODAY) == found


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        ("2024-3-9", None, "Invalid date format '2024-3-9', must match YYYY-MM-DD."),
        ("2016-13-45", None, "Invalid date format '2016-13-45', must match YYYY-MM-DD."),
        ("2023-02-29", None, "Invalid date format '2023-02-29', must match YYYY-MM-DD."),
        ("20240309", None, "Invalid date format '20240309', must match YYYY-MM-DD."),
        ("٢٠٢٤-03-09", None, "Invalid date format '٢٠٢٤-03-09', must match YYYY-MM-DD."),
        ("", None, "Invalid date format '', must match YYYY-MM-DD."),
        (None, "tomorrow", "Invalid date format 'tomorrow', must match YYYY-MM-DD."),
        ("2024-03-09\n", "x" * 999, "Invalid date format '2024-03-09\n', must match YYYY-MM-DD."),
        (None, "x" * 999, f"Invalid date format '{'x' * 40}', must match YYYY-MM-DD."),
        ("2024-03-09", "2024-03-08", "Date range is invalid, 'to' cannot come before 'from'."),
        ("2024-03-11", None, "Date range is invalid, 'to' cannot come before 'from'."),
        ("2024-03-11", "2024-03-12", "Date range is invalid, 'from' must be in the past."),
        ("1970-01-01", None, "Date range is invalid, it cannot have more than 366 days."),
        ("0001-01-01", "9999-12-31", "Date range is invalid, it cannot have more than 366 days."),
    ],
)
def test_what_is_no_range_of_real_days_is_refused(start: str | None, end: str | None, message: str) -> None:
    with pytest.raises(Invalid) as refused:
        days(start, end, TODAY)
    assert str(refused.value) == message


def test_a_range_may_have_a_whole_year() -> None:
    first = date.fromisoformat(TODAY) - timedelta(days=DAYS_MOST - 1)
    assert len(days(first.isoformat(), None, TODAY)) == DAYS_MOST


def test_a_day_has_the_times_of_all_clones_and_of_those_of_each_pool() -> None:
    (day,) = summary("clone", flat(a__1="10.25", a__2="20.50", b__1="1.00"))["daily"]
    assert day == {
        "date": "2024-03-01",
        "clone": {
            "duration": {
                "average": 10.6,
                "min": 1.0,
                "max": 20.5,
                "total": 31.75,
                "pool": {
                    "a": {"average": 15.4, "min": 10.25, "max": 20.5, "total": 30.75},
                    "b": {"average": 1.0, "min": 1.0, "max": 1.0, "total": 1.0},
                },
            },
            "count": {"total": 3, "pool": {"a": {"total": 2}, "b": {"total": 1}}},
        },
    }


def test_all_days_together_have_the_same_and_how_many_a_day() -> None:
    found = summary("boot", flat(a__1="10", a__2="20"), [], flat(a__3="60", b__1="5"))["boot"]
    assert found == {
        "duration": {
            "average": 23.8,
            "min": 5.0,
            "max": 60.0,
            "total": 95.0,
            "pool": {
                "a": {"average": 30.0, "min": 10.0, "max": 60.0, "total": 90.0},
                "b": {"average": 5.0, "min": 5.0, "max": 5.0, "total": 5.0},
            },
        },
        "count": {"average": 1.3, "min": 0, "max": 2, "total": 4, "pool": {"a": {"total": 3}, "b": {"total": 1}}},
    }


def test_the_average_of_a_pool_is_that_of_its_clones_and_not_of_its_days() -> None:
    many = flat(**{f"a__{number}": "10" for number in range(99)})
    found = summary("clone", many, flat(a__slow="1010"))["clone"]["duration"]["pool"]["a"]
    assert found["average"] == 20.0


def test_a_day_without_data_says_so_in_whole_numbers() -> None:
    found = summary("boot", [])
    assert found["daily"] == [{"date": "2024-03-01", "boot": NOTHING}]
    assert json.dumps(found["boot"]["duration"]["average"]) == "0"
    assert (found["boot"]["duration"]["pool"], found["boot"]["count"]["pool"]) == ({}, {})


def test_odd_fields_and_values_do_no_harm() -> None:
    odd = flat(alone="2", __="4", a__b__c="6", a__1="", a__2="nan", a__3="-1", a__4="1e999", a__5="²", a__6="9" * 400)
    pools = summary("clone", odd)["clone"]["count"]["pool"]
    assert pools == {"unknown": {"total": 1}, "": {"total": 1}, "a": {"total": 1}}


def test_tags_are_counted_by_their_values() -> None:
    found = summary(
        "tag",
        flat(vm1__user="ann", vm2__user="ben", vm1__a__b="x=1, y"),
        flat(vm3__user="ann", alone="1", vm4__user="total"),
    )
    assert found["tag"] == {
        "user": {"ann": 2, "ben": 1, "total": 4},
        "a:b": {"x=1, y": 1, "total": 1},
        "unknown": {"1": 1, "total": 1},
    }
    assert found["daily"][0]["tag"]["user"] == {"ann": 1, "ben": 1, "total": 2}
    assert found["daily"][1]["tag"]["user"] == {"ann": 1, "total": 2}


def test_a_key_leaves_but_that_member() -> None:
    found = summary("clone", flat(a__1="1"), key="count")
    assert list(found["clone"]) == list(found["daily"][0]["clone"]) == ["count"]
    assert summary("tag", flat(vm1__user="ann", vm1__team="x"), key="user")["tag"] == {"user": {"ann": 1, "total": 1}}


def test_a_key_that_there_is_not_leaves_nothing() -> None:
    assert summary("clone", flat(a__1="1"), key="nothing") == {
        "clone": {},
        "daily": [{"date": "2024-03-01", "clone": {}}],
    }


@given(st.sampled_from(ROUTES), st.lists(st.lists(st.tuples(st.text(), st.text()), unique_by=lambda pair: pair[0])))
def test_anything_in_redis_can_be_summed_up_and_reported(route: str, of_days: list[list[tuple[str, str]]]) -> None:
    whole = Summary([route])
    whole.add("2024-02-01", {route: {}})
    for fields in of_days:
        whole.add(
            "2024-03-01", {route: json.loads(json.dumps(summed(route, [part for pair in fields for part in pair])))}
        )
    assert json.dumps(whole.report(), allow_nan=False)


@pytest.mark.parametrize(("text", "found"), [("12.50", 12.5), ("0", 0.0), ("", None), ("inf", None), ("1 ", None)])
def test_a_time_is_a_number_of_seconds(text: str, found: float | None) -> None:
    assert seconds(text) == found
