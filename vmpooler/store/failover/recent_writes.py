"""Remembers recent writes that were promised to clients, and replays those that Redis has lost.

The effect of a script follows from its arguments, which the head of each script documents, and from its return value.
So the code that runs a script does not need to know about failovers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import attrs
from twisted.internet.interfaces import IReactorTime

from vmpooler.domain import times
from vmpooler.domain.errors import GivenTwice
from vmpooler.domain.events import What
from vmpooler.domain.model import Queue
from vmpooler.store import keys
from vmpooler.store.queries.vms import Vms
from vmpooler.store.redis.client import Caller
from vmpooler.store.redis.protocol import Value
from vmpooler.store.redis.scripts import Script, load

REMEMBERED_SECONDS = 60.0
"""Seconds for which a promised write is remembered."""

MAX_SCRIPTS = 50_000
"""Maximum number of remembered scripts."""

BY = "failover"

CHECKOUT = "checkout "
"""Prefix of the names of promised checkouts."""

Again = Callable[[Caller], Awaitable[object]]
"""Replays a promised write over the given connection. It changes nothing if Redis already has the write."""


@attrs.frozen
class Ran:
    """A script that has run: its keys, its arguments and its return value."""

    keys: Sequence[str]
    args: Sequence[Any]
    reply: Any

    @property
    def vm(self) -> str:
        """The VM. Only for scripts that use the prelude."""
        return str(self.args[4])

    def by_nobody(self) -> list[Any]:
        """Return the arguments changed so that no token is needed. Only for scripts that call ``refusal``."""
        return [*self.args[:6], "", "", *self.args[8:]]


class RecentWrites:
    """The recent promised writes of this process.

    Scripts are stored as they ran; the replays are derived from them only when they are needed.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._ran: deque[tuple[float, str, Sequence[str], Sequence[Any], Any]] = deque(maxlen=MAX_SCRIPTS)

    def ran(self, script: Script, touched: Sequence[str], args: Sequence[Value], reply: Any) -> None:
        """Record a script that has run, if it succeeded and makes a promise or ends one."""
        if script.name == "checkout":
            done, reply = reply[0] == "ok", tuple(reply)  # the garbage collector skips tuples of text
        else:
            done = script.name in KINDS and reply in DONE
        if done:
            now = self._clock.seconds()
            self._ran.append((now, script.name, touched, args, reply))
            while self._ran[0][0] < now - REMEMBERED_SECONDS:
                self._ran.popleft()

    def all(self) -> dict[str, Again]:
        """Return the replay of each promised write, by name, in the order of the writes."""
        found: dict[str, Again] = {}
        for _, script, touched, args, reply in self._ran:
            for name, again in KINDS[script](Ran(touched, args, reply)):
                found.pop(name, None)
                if again is not None:
                    found[name] = again
        return found


Named = Iterator[tuple[str, Again | None]]
"""Pairs of a name and a replay. A later pair replaces an earlier one of the same name; None means: no replay."""


def _given(ran: Ran) -> Named:
    for pool, vm in zip(ran.reply[2::3], ran.reply[3::3], strict=True):
        yield _checkout(ran.args[8], vm), partial(_restore, ran.args, ran.args[13 + pool], vm)


def _given_back(ran: Ran) -> Named:
    yield _checkout(ran.args[6], ran.vm), None


async def _restore(given: Sequence[Any], pool: str, vm: str, over: Caller) -> None:
    """Any queue -> running, for the client that got the VM."""
    now, kept, text, checkout_id, token, hours, default = (given[place] for place in (0, 1, 5, 8, 10, 11, 12))
    stands = (keys.queue(Queue.RUNNING, pool), keys.queue(Queue.COMPLETED, pool), keys.active(pool))
    others = (keys.queue(queue, pool) for queue in (Queue.READY, Queue.PENDING, Queue.DISCOVERED))
    books = (keys.since(pool), keys.CLONING, keys.TASKS_CLONE, keys.confirmed(pool))
    head = (keys.EVENTS, keys.record(vm), keys.history(vm))
    args = (now, kept, BY, pool, vm, text, checkout_id, token, hours, default)
    if await over.run(load("restore"), (*head, *stands, *books, *others), args) == -1:
        raise GivenTwice(f"{vm} was given to a client before a fail-over, and to another since")


def _completed(ran: Ran) -> Named:
    yield f"complete {ran.vm}", partial(_complete, ran)


async def _same_client(ran: Ran, over: Caller) -> None:
    """Raise GivenTwice when another client got the VM after this write. No client has a quarantined VM."""
    record = await Vms(over).record(ran.vm)
    given = times.moment(record.get("checkout", ""))
    if given is not None and given > float(ran.args[0]) and "quarantined" not in record:
        raise GivenTwice(
            f"{ran.vm} was given to another client since: what was done to it before the loss is not redone"
        )


async def _complete(ran: Ran, over: Caller) -> None:
    """Any queue -> completed. The destruction of the VM may already have started."""
    await _same_client(ran, over)
    pool = ran.args[3]
    for queue in (Queue.RUNNING, Queue.READY, Queue.PENDING, Queue.DISCOVERED):
        touched = [*ran.keys[:4], keys.queue(queue, pool), *ran.keys[5:10]]
        await over.run(load("complete"), touched, [*ran.by_nobody()[:8], queue, ran.args[9]])


def _changed(ran: Ran) -> Named:
    now, told = ran.args[0], ran.args[9]
    if told:
        yield f"change {ran.vm} {now} {told}", partial(_change, ran)


async def _change(ran: Ran, over: Caller) -> None:
    now, told = ran.args[0], ran.args[9]
    known = [(event.what, event.why, event.when) for event in await Vms(over).timeline(ran.vm)]
    if (What.CHANGED, told, float(now)) not in known:
        await _same_client(ran, over)
        await over.run(load("change"), ran.keys, ran.by_nobody())


def _requested(ran: Ran) -> Named:
    yield f"request {ran.args[10]}", partial(_request, ran)


async def _request(ran: Ran, over: Caller) -> None:
    id = ran.args[10]
    if not any(event.more.get("task", "").endswith(f"-{id}") for event in await Vms(over).timeline(ran.vm)):
        await _same_client(ran, over)
        await over.run(load("request"), ran.keys, [*ran.by_nobody()[:-1], ""])


def _token(script: str, ran: Ran) -> Named:
    yield f"token {ran.keys[0]}", lambda over: over.run(load(script), ran.keys, ran.args)


def _checkout(checkout_id: str, vm: str) -> str:
    return f"{CHECKOUT}{checkout_id} {vm}"


KINDS: Mapping[str, Callable[[Ran], Named]] = {
    "checkout": _given,
    "give_back": _given_back,
    "complete": _completed,
    "change": _changed,
    "request": _requested,
    "add_token": partial(_token, "add_token"),
    "drop_token": partial(_token, "drop_token"),
}
"""The promised writes of each script that succeeded, by the script's name."""

DONE = (1, 2)
"""Return values that mean success, for all scripts except checkout."""
