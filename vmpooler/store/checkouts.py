"""VMs as clients take them and give them back."""

import json
from collections.abc import Collection, Sequence
from functools import cache, lru_cache

import attrs

from vmpooler.domain import times
from vmpooler.domain.admission import Admission
from vmpooler.domain.checkout import Given, Wanted
from vmpooler.domain.errors import PoolEmpty, StoreAway, TokenNeeded
from vmpooler.domain.events import Event, What
from vmpooler.domain.model import NOBODY, Queue
from vmpooler.settings import Settings
from vmpooler.store import keys
from vmpooler.store.admission import admitted
from vmpooler.store.connection import Connection
from vmpooler.store.queues import HASTE, complete
from vmpooler.store.scripts import load
from vmpooler.store.stream import FIRST, newest, order
from vmpooler.store.transition import Transitions

BY = "api"

OF_A_CHECKOUT = ("checkout", "checkout_id", "token:token", "token:user", "lifetime", "lifetime_default")
"""The fields of a record that a checkout writes; a VM that is given back loses them."""

PAGE = 1000
"""Events that one reading of the stream brings."""


@attrs.frozen
class Taken:
    """A VM that a checkout took."""

    pool: str
    vm: str
    checkout_id: str


@attrs.frozen
class Asked:
    """What is asked for as the script wants to have it: the pools, their keys, and the entries."""

    pools: tuple[str, ...]
    places: tuple[str, ...]
    entries: tuple[int, ...]


class Checkouts:
    """ready -> running for a client, back again, or running -> completed at its wish."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self._connection = connection
        self._transitions = Transitions(connection, settings.general.events_max, BY)
        hours = settings.general.vm_lifetime_auth
        self._lifetime = str(hours) if hours > 0 else ""
        self._default_lifetime = settings.general.vm_lifetime

    async def checkout(self, wanted: Sequence[Wanted], checkout_id: str, token: str | None, now: float) -> list[Given]:
        """Every VM wanted, recorded as its owner's; or none, and an unchanged store.

        ``token`` is None where none was sent or none is needed. Raises TokenNeeded for one that is unknown, PoolEmpty
        when too few VMs are ready, StoreAway when they may not be given before they were compared with their provider.
        """
        asked = _asked(tuple(wanted))
        head = (f"{now:.3f}", self._transitions.kept, NOBODY, "", "")
        known = (times.text(now), keys.RECORD, keys.HISTORY, checkout_id)
        owner = (int(token is not None), token or "", self._lifetime if token is not None else "")
        reply = await self._connection.run(
            load("checkout"),
            (keys.EVENTS, keys.token(token or ""), keys.DOUBTED, *asked.places, keys.VERIFIED),
            (*head, *known, *owner, self._default_lifetime, len(asked.pools), *asked.pools, *asked.entries),
        )
        match reply:
            case ["ok", *rows]:
                return [
                    Given(wanted[entry - 1].name, asked.pools[pool - 1], vm)
                    for entry, pool, vm in zip(rows[::3], rows[1::3], rows[2::3], strict=True)
                ]
            case ["token"]:
                raise TokenNeeded("this token is not known")
            case ["doubted", entry]:
                raise StoreAway(
                    f"Redis was restarted or restored: the VMs for {wanted[entry - 1].name} are not given before the "
                    "manager has compared them with their provider"
                )
            case _:
                raise PoolEmpty(f"not enough VMs are ready for {wanted[reply[1] - 1].name}")

    async def hurry(self, pools: Sequence[str], now: float) -> None:
        """Note that clients wait for VMs of these pools: those that are empty come first in the line for a clone."""
        ready = (keys.queue(Queue.READY, pool) for pool in pools)
        touched = (keys.WANTED, keys.LINE, *ready)
        await self._connection.run(load("hurry"), touched, (f"{now:.3f}", int(HASTE), *pools))

    async def taken_by(self, checkout_ids: Collection[str], after: str) -> list[Taken]:
        """The VMs that these checkouts took, by the events that follow the event with the id ``after``; by all events
        where the stream ends before that id, as in a Redis that lost its last events. No clock is compared."""
        taken: list[Taken] = []
        start = f"({after if order(after) <= order(await newest(self._connection)) else FIRST}"
        while page := await self._connection.call("XRANGE", keys.EVENTS, start, "+", "COUNT", PAGE):
            for id, flat in page:
                event = Event.of(id, dict(zip(flat[::2], flat[1::2], strict=True)))
                if event and event.what is What.CHECKOUT and event.more.get("checkout_id") in checkout_ids:
                    taken.append(Taken(event.pool, event.vm, event.more["checkout_id"]))
            start = f"({page[-1][0]}"
        return taken

    async def give_back(self, pool: str, vm: str, checkout_id: str, why: str, now: float) -> bool:
        """running -> ready: the client of this checkout never got the VM. Where its stamp may name that client, the
        manager clears the stamp first. False when it is no longer that client's."""
        places = (keys.queue(Queue.RUNNING, pool), keys.queue(Queue.READY, pool), keys.active(pool), keys.since(pool))
        args = (why, checkout_id, json.dumps(OF_A_CHECKOUT))
        return bool(await self._transitions.run("give_back", pool, vm, now, places, args))

    async def complete(self, pool: str, vm: str, admission: Admission, now: float) -> None:
        """running -> completed, because its client says so.

        Raises TokenNeeded or NotYours where the client is not admitted, NoSuchVm when the VM is not running.
        """
        why = "its client is done with it"
        admitted(await complete(self._transitions, pool, vm, Queue.RUNNING, why, now, admission), vm)


@lru_cache(maxsize=1000)
def _asked(wanted: tuple[Wanted, ...]) -> Asked:
    """Most clients want what others wanted before: to work it out again is a tenth of a checkout."""
    pools = tuple(dict.fromkeys(pool for each in wanted for pool in each.pools))
    number = {pool: place for place, pool in enumerate(pools, 1)}
    entries: list[int] = []
    for each in wanted:
        entries += (each.count, int(each.pools[0] == each.name), len(each.pools))
        entries += (number[pool] for pool in each.pools)
    return Asked(pools, tuple(key for pool in pools for key in _place(pool)), tuple(entries))


@cache
def _place(pool: str) -> tuple[str, str, str, str]:
    """The keys of a pool; of those configured, and kept, since any number of wishes may share them."""
    return keys.queue(Queue.READY, pool), keys.queue(Queue.RUNNING, pool), keys.active(pool), keys.since(pool)
