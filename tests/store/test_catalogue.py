"""Which pools serve what a client wants."""

import pytest

from vmpooler.domain.errors import UnknownPools
from vmpooler.settings import Pool
from vmpooler.store.commands.checkouts import Catalogue, Wanted

a = Pool(name="a", alias=("both", "b"), size=1)
b = Pool(name="b", alias=("both",), size=1)
catalogue = Catalogue([a, b])


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
