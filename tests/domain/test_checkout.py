"""What a client requests, and which pools can serve it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpooler.domain.checkout import MAX_COUNT, Catalogue, Wanted, count_of, counts_of_body, counts_of_path
from vmpooler.domain.errors import Invalid, UnknownPools
from vmpooler.settings import Pool

NAMES = st.text("ab.-_1", min_size=1, max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)

a = Pool(name="a", alias=("both", "b"), size=1)
b = Pool(name="b", alias=("both",), size=1)
catalogue = Catalogue([a, b])


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


def test_an_alias_is_served_by_all_its_pools_and_a_pool_by_itself_first() -> None:
    assert catalogue.wanted({"both": 2, "a": 1, "b": 3}) == [
        Wanted("both", 2, ("a", "b")),
        Wanted("a", 1, ("a",)),
        Wanted("b", 3, ("b", "a")),
    ]


def test_a_pool_serves_under_its_own_name_first_wherever_it_stands() -> None:
    assert Catalogue([b, a]).wanted({"b": 1}) == [Wanted("b", 1, ("b", "a"))]
    assert Catalogue([Pool(name="a", alias=("a", "x", "x"), size=1)]).wanted({"a": 1, "x": 1}) == [
        Wanted("a", 1, ("a",)),
        Wanted("x", 1, ("a",)),
    ]


def test_a_name_of_which_none_is_wanted_must_still_be_known() -> None:
    assert catalogue.wanted({"a": 0}) == []
    with pytest.raises(UnknownPools, match="c, d"):
        catalogue.wanted({"a": 1, "c": 0, "d": 1})
