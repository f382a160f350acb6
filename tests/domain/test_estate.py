"""What happens to VMs of pools that are not configured any more, or whose configured place has changed."""

import json
from typing import Any

import attrs
import pytest

from vmpooler.domain import estate
from vmpooler.domain.estate import PoolMemory
from vmpooler.providers.dummy import Dummy
from vmpooler.providers.vsphere import Vsphere
from vmpooler.settings import Pool, Settings

EAST = Vsphere(server="east.example.com", username="u", password="very-secret", datacenter="DC")
WEST = Vsphere(server="west.example.com", username="u", password="very-secret")
ALPHA = Pool(name="alpha", alias=("a",), size=3, provider="vs", template="t/a", folder="f/a", timeout=7)
NAMES = frozenset({"vm-1", "vm-2"})


def settings(*pools: Pool, **providers: Vsphere | Dummy) -> Settings:
    return Settings(pools=pools, providers=providers)


def remembered(pool: Pool = ALPHA, **providers: Vsphere | Dummy) -> PoolMemory:
    return estate.memory_of(pool, settings(pool, **(providers or {"vs": EAST})))


def test_what_is_remembered_comes_back_as_it_was_and_has_no_secret() -> None:
    memory = attrs.evolve(remembered(), before=(attrs.evolve(remembered(vs=WEST), vms=NAMES),))
    text = json.dumps(estate.to_json(memory))
    assert estate.of_json("alpha", json.loads(text)) == memory
    assert "very-secret" not in text
    assert memory.pool.size == 0


@pytest.mark.parametrize("known", [{}, {"colour": "red", "folder": "f"}, {"timeout": 3}, {"vms": ["a"], "before": []}])
def test_what_is_missing_has_its_default_and_what_is_unknown_is_ignored(known: dict[str, Any]) -> None:
    memory = estate.of_json("alpha", known)
    assert memory.pool.folder == known.get("folder", "")
    assert memory.pool.timeout == known.get("timeout", 15)


@pytest.mark.parametrize("known", [None, 3, "x", [], {"folder": 1}, {"timeout": "1"}, {"probe_port": True}, {"vms": 1}])
def test_what_is_of_another_type_is_refused(known: Any) -> None:
    with pytest.raises(ValueError, match=r"of its type|not an object|must be lists"):
        estate.of_json("alpha", known)


@pytest.mark.parametrize(
    ("providers", "home"),
    [
        ({"vs": EAST}, "vs"),
        ({"renamed": EAST}, "renamed"),
        ({"other": WEST, "renamed": EAST}, "renamed"),
        ({"other": WEST}, ""),
        ({"vs": Dummy()}, ""),
    ],
)
def test_a_pool_is_drained_by_the_provider_that_has_its_place(providers: dict[str, Vsphere | Dummy], home: str) -> None:
    charge = estate.drained("alpha", remembered(), NAMES, settings(**providers))
    assert charge.provider == home
    assert charge.draining
    assert charge.parts == ()
    assert ("put that provider back" in charge.note) == (home == "")


def test_where_the_server_is_another_only_what_is_listed_there_is_touched() -> None:
    charge = estate.drained("alpha", remembered(), NAMES, settings(vs=WEST))
    assert charge.provider == "vs"
    assert [(part.provider, part.vms) for part in charge.parts] == [("", NAMES)]
    assert "it was east.example.com and is west.example.com now" in charge.note


@pytest.mark.parametrize(("provider", "moves"), [(EAST, True), (Dummy(), False)])
def test_a_pool_moves_to_another_folder_only_where_folders_separate_the_pools(
    provider: Vsphere | Dummy, moves: bool
) -> None:
    known = settings(vs=provider)
    there = attrs.evolve(ALPHA, folder="f/b")
    assert estate.may_have_moved(there, remembered(vs=provider), known) == moves
    with_folder = attrs.evolve(remembered(vs=provider), pool=attrs.evolve(ALPHA, datacenter="DC"))
    assert estate.may_have_moved(there, with_folder, known) == moves
    assert ("f/b" in str(estate.memory_of(there, known))) == moves


@pytest.mark.parametrize("provider", [EAST, Dummy()])
def test_a_pool_of_which_nothing_is_known_is_drained_only_where_its_name_is_enough(provider: Vsphere | Dummy) -> None:
    charge = estate.drained("alpha", None, NAMES, settings(only=provider))
    assert bool(charge.provider) == isinstance(provider, Dummy)
    assert ("size: 0" in charge.note) != isinstance(provider, Dummy)


def test_a_pool_that_did_not_move_has_nothing_elsewhere() -> None:
    same = attrs.evolve(ALPHA, template="t/new", size=9, provider="renamed")
    assert not estate.may_have_moved(same, remembered(), settings(same, renamed=EAST))
    charge = estate.configured(same, remembered(), NAMES, settings(same, renamed=EAST))
    assert (charge.parts, charge.note) == ((), "")


def test_a_pool_that_moves_there_and_back_knows_what_stands_where() -> None:
    there = attrs.evolve(ALPHA, folder="f/b")
    one = estate.configured(there, remembered(), NAMES, settings(there, vs=EAST))
    assert one.memory is not None
    assert [(part.provider, part.pool.folder, part.vms) for part in one.parts] == [("vs", "f/a", NAMES)]
    assert "2 of its VMs stood at provider vs (east.example.com, f/a)" in one.note
    back = estate.configured(ALPHA, one.memory, frozenset({"vm-2", "vm-3"}), settings(ALPHA, vs=EAST))
    assert [(part.pool.folder, part.vms) for part in back.parts] == [("f/b", frozenset({"vm-3"}))]


def test_what_has_left_a_former_place_is_forgotten_there() -> None:
    there = attrs.evolve(ALPHA, folder="f/b")
    charge = estate.configured(there, remembered(), NAMES, settings(there, vs=EAST))
    left = estate.left_at_former_places(charge, frozenset({"vm-2", "other"}))
    assert [part.vms for part in left.parts] == [NAMES]
    assert left.memory is not None
    assert [former.vms for former in left.memory.before] == [frozenset({"vm-2"})]
    gone = estate.left_at_former_places(left, frozenset())
    assert (gone.parts, gone.note) == ((), "")


def test_pools_in_one_folder_are_neighbours_also_those_of_a_former_place() -> None:
    there = attrs.evolve(ALPHA, folder="f/b")
    beta, gamma = (attrs.evolve(ALPHA, name=name, folder=folder) for name, folder in (("beta", "f/a/"), ("gamma", "g")))
    known = settings(there, beta, gamma, vs=EAST)
    charges = [
        estate.configured(there, remembered(), NAMES, known),
        *(estate.configured(pool, None, frozenset(), known) for pool in (beta, gamma)),
    ]
    assert estate.neighbours(charges, known) == {"alpha": ["beta"], "beta": ["alpha"], "gamma": []}
