"""What clients may change on their VMs."""

import json
import re

import pytest

from vmpooler.domain.change import NAME_MOST, TAGS_MOST, TEXT_MOST, VALUE_MOST, Change, ChangeRules, change_of
from vmpooler.domain.errors import Unfit

ANY = ChangeRules()


def failures(body: object, rules: ChangeRules = ANY) -> tuple[str, ...]:
    with pytest.raises(Unfit) as caught:
        change_of(body, rules)
    return caught.value.failures


@pytest.mark.parametrize(
    ("given", "hours"), [(5, 5), ("4", 4), (2.9, 2), ("3 days", 3), (" +7", 7), (1e999, 10**15 - 1)]
)
def test_a_lifetime_is_a_number_or_text_that_begins_with_one(given: object, hours: int) -> None:
    assert change_of({"lifetime": given}, ANY) == Change(hours)


@pytest.mark.parametrize("given", [0, -1, 0.9, "", "x", "-4", None, True, False, [4], {"hours": 4}])
def test_a_lifetime_must_be_positive(given: object) -> None:
    (failure,) = failures({"lifetime": given})
    assert failure.startswith("lifetime: expected a positive number of hours")


def test_a_lifetime_may_reach_the_limit_and_not_exceed_it() -> None:
    rules = ChangeRules(longest=12)
    assert change_of({"lifetime": "12"}, rules).lifetime == 12
    assert failures({"lifetime": 13}, rules) == ("lifetime: 13 hours exceed the limit of 12",)
    assert change_of({"lifetime": 10**6}, ChangeRules(longest=0)).lifetime == 10**6


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("agent, master", "agent, master"),
        ("https://ci.example.com/job/a?b=c,d&e=%20", "https://ci.example.com/job/a?b=c,d&e=%20"),
        ("ü\n\0", "ü\n\0"),
        (2, "2"),
        (1.5, "1.5"),
        (True, "true"),
        (False, "false"),
        ("0123", "0123"),
        ("x" * VALUE_MOST, "x" * VALUE_MOST),
    ],
)
def test_a_tag_is_any_text_and_a_number_or_truth_value_is_its_text(value: object, text: str) -> None:
    assert change_of({"tags": {"a": value}}, ANY).tags == {"a": text}


def test_tags_without_a_value_are_accepted_and_dropped() -> None:
    assert change_of({"tags": {"a": None, "b": "", "c": "x"}}, ANY) == Change(tags={"c": "x"})


@pytest.mark.parametrize("body", [{}, [], {"tags": {}}, {"tags": {"a": None}}])
def test_nothing_can_be_asked_for(body: object) -> None:
    assert str(change_of(body, ANY)) == ""


@pytest.mark.parametrize("body", [None, 4, "lifetime", True, ["lifetime"], [{}]])
def test_what_is_no_object_is_refused(body: object) -> None:
    assert failures(body) == ("expected an object with lifetime or tags",)


@pytest.mark.parametrize("tags", [None, "a", 1, [], [{"a": "b"}], True])
def test_tags_are_an_object(tags: object) -> None:
    assert failures({"tags": tags}) == ("tags: expected an object",)


@pytest.mark.parametrize(
    "tags",
    [
        {"a": ["x"]},
        {"a": {"b": "c"}},
        {"a": "x" * (VALUE_MOST + 1)},
        {"a": "ü" * (VALUE_MOST // 2 + 1)},
        {"a": "\ud800"},
        {"a": 10**1100},
        {"\udc80": "x"},
        {"": "x"},
        {"a\n": "x"},
        {"x" * (NAME_MOST + 1): "x"},
        {f"t{number}": "x" for number in range(TAGS_MOST + 1)},
    ],
)
def test_tags_that_cannot_be_stored_or_are_too_large_are_refused(tags: object) -> None:
    (failure,) = failures({"tags": tags})
    assert len(failure) < 200


def test_everything_that_is_wrong_is_reported_at_once_and_nothing_is_set() -> None:
    rules = ChangeRules(allowed=("project",))
    found = failures({"lifetime": 0, "tags": {"project": "x", "other": None, "more": "x"}, "disk": 8}, rules)
    assert [failure.split(":")[0] for failure in found] == [
        'unknown argument "disk"',
        "lifetime",
        'tag "other" is not allowed',
        'tag "more" is not allowed',
    ]


@pytest.mark.parametrize(
    ("pattern", "value", "kept"),
    [
        (r"(.*)\/", "main/7", "main"),
        (r"^(\w+)@(\w+)?", "ann@", "ann"),
        (r"(\d)x(\d)", "a 1x2", "12"),
        (r"(z)", "unmatched", "unmatched"),
        (r"a", "abc", None),
        (r"(\d+)", 42.5, "42"),
    ],
)
def test_a_filter_keeps_the_groups_that_it_finds_anywhere(pattern: str, value: object, kept: str | None) -> None:
    rules = ChangeRules(filters={"a": re.compile(pattern)})
    given = str(value)
    assert change_of({"tags": {"a": value, "b": value}}, rules).tags == {**({"a": kept} if kept else {}), "b": given}


def test_the_text_of_a_change_is_short() -> None:
    assert str(Change(4, {"a": "b", "c": "d"})) == "lifetime 4 hours, a=b, c=d"
    assert len(str(Change(tags={"a": "x" * 1000}))) == TEXT_MOST + 1


def test_what_is_wrong_may_be_nested_as_deeply_as_json_can_be() -> None:
    deep = json.loads('{"lifetime": ' + "[" * 900 + "]" * 900 + "}")
    assert failures(deep) == ("lifetime: expected a positive number of hours, got a list or an object",)
