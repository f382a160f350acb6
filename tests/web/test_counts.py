"""How many VMs of which pool a client requests, in a path and in a body."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpooler.domain.errors import Invalid, UnknownPools
from vmpooler.web.routes.vm import MAX_COUNT, count_of, counts_of_body, counts_of_path

NAMES = st.text("ab.-_1", min_size=1, max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        *[("a", {"a": 1}), ("a+a+b", {"a": 2, "b": 1}), ("b+a+b", {"b": 2, "a": 1}), ("a++", {"a": 1})],
        *[("+", {}), ("++", {}), ("", {}), ("+a", {"": 1, "a": 1}), ("a++b", {"a": 1, "": 1, "b": 1})],
    ],
)
def test_a_path_asks_for_each_name_as_often_as_it_stands_there(path: str, counts: dict[str, int]) -> None:
    assert counts_of_path(path) == counts


@given(st.lists(NAMES), st.text("+", max_size=2))
def test_every_name_of_a_path_is_counted_in_the_order_asked(names: list[str], end: str) -> None:
    counts = counts_of_path("+".join(names) + end)
    assert counts == {name: names.count(name) for name in names}
    assert list(counts) == list(dict.fromkeys(names))


@pytest.mark.parametrize(
    ("value", "count"),
    [
        *[(2, 2), ("2", 2), (1.9, 1), (" +3x", 3), ("1_000", 1000), ("4.7", 4), ("0x10", 0)],
        *[(None, 0), (0, 0), (-1, 0), ("-1", 0), ("x", 0), ("", 0), ("²", 0), ("٣", 0)],
        *[
            (float("inf"), MAX_COUNT),
            (float("-inf"), 0),
            (float("nan"), 0),
            (10**400, MAX_COUNT),
            ("9" * 5000, MAX_COUNT),
        ],
    ],
)
def test_a_count_is_read_as_clients_write_it(value: object, count: int) -> None:
    assert count_of("a", value) == count


@pytest.mark.parametrize("value", [True, False, [1], {}, []])
def test_a_value_that_is_no_count_is_refused(value: object) -> None:
    with pytest.raises(Invalid, match="count of a"):
        count_of("a", value)


@pytest.mark.parametrize("body", ["a", 3, True, [], ["a"], 1.5])
def test_a_body_that_is_no_object_is_refused(body: object) -> None:
    with pytest.raises(Invalid, match="object"):
        counts_of_body(body)


def test_a_body_of_null_asks_for_what_there_is_not() -> None:
    with pytest.raises(UnknownPools):
        counts_of_body(None)


@given(JSON)
def test_any_json_is_counts_or_a_known_error(body: object) -> None:
    try:
        counts = counts_of_body(json.loads(json.dumps(body)))
    except (Invalid, UnknownPools):
        return
    assert all(0 <= count <= MAX_COUNT for count in counts.values())
