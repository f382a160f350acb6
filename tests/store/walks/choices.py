"""The values that the steps of a walk choose from."""

from typing import Any

from hypothesis import strategies as st

from tests.store.contents import NOW
from vmpooler.domain.admission import Admission, Need
from vmpooler.domain.change import Change
from vmpooler.domain.guest import Holder
from vmpooler.domain.model import NOBODY, Queue
from vmpooler.domain.tasks import Task
from vmpooler.settings import Pool
from vmpooler.store import keys
from vmpooler.store.commands.checkouts import Catalogue

POOLS = ("debian", "centos", "fedora")
ALIASES = {"debian": ("linux",), "centos": ("rpm", "linux"), "fedora": ("rpm",)}
CATALOGUE = Catalogue(Pool(name=name, size=4, alias=ALIASES[name]) for name in POOLS)
NAMES = tuple(f"{pool}{number}" for pool in POOLS for number in range(6))
OWNERS = {"t-ann": "ann", "t-ann-too": "ann", "t-bob": "bob", "t-unknown": "nobody"}
LIMIT, LIFETIME, TRIES, TAGS = 2, 12, 3, 2
UNLIKE = "a" * 8
PROCESSES = ("one", "two", "three")

pools = st.sampled_from(POOLS)
seconds = st.none() | st.sampled_from([0.0, 12.5, 100.0])
whys = st.sampled_from(["why", "because"])
subjects = st.sampled_from([keys.CLONES, keys.INVENTORY, "debian0", "centos1"])
tokens = st.sampled_from([*OWNERS])
senders = st.sampled_from([None, "t-ann", "t-bob", *OWNERS])
admissions = st.builds(
    Admission,
    token=senders,
    need=st.sampled_from(Need),
    own=st.booleans(),
)
changes = st.builds(
    Change,
    lifetime=st.none() | st.integers(1, 48),
    tags=st.dictionaries(
        st.sampled_from(["team", "job:x", "third"]), st.sampled_from(["a", "b", "ü 1.50"]), max_size=2
    ),
)
wishes = st.dictionaries(st.sampled_from([*POOLS, "linux", "rpm"]), st.sampled_from([1, 1, 2, 0]), max_size=3)
holders = st.builds(
    Holder,
    owner=st.sampled_from(["ann", NOBODY]),
    checkout_id=st.sampled_from(["", "of-a-stamp"]),
    since=st.none() | st.just(NOW),
    until=st.none() | st.sampled_from([NOW + 1800, NOW + 7200]),
)
processes = st.sampled_from(PROCESSES)
arguments = st.sampled_from(["1", "20"])


def standing(*queues: Queue) -> st.SearchStrategy[str]:
    """Generate mostly a VM that is in one of these queues, if any is."""

    def those(machine: Any) -> st.SearchStrategy[str]:
        here = [vm for vm in NAMES if machine.model.queues.get(vm) in queues]
        return st.sampled_from(here * 20 + [*NAMES])

    return st.runner().flatmap(those)


def unknown() -> st.SearchStrategy[str]:
    """Generate mostly the name of a VM without a record, if one exists."""

    def those(machine: Any) -> st.SearchStrategy[str]:
        return st.sampled_from([vm for vm in NAMES if vm not in machine.model.records] * 20 + [*NAMES])

    return st.runner().flatmap(those)


def asked() -> st.SearchStrategy[Task | None]:
    """Generate a task that a client requested, done or not; None if there was none."""
    return st.runner().flatmap(lambda machine: st.sampled_from([*machine.tasks.values()] or [None]))
