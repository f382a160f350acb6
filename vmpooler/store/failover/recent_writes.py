"""Remembers recent writes that were promised to clients, and replays those that Redis has lost.

The effect of a script follows from its keys and arguments, which its header names, and from its return value.
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
from vmpooler.store.commands.transitions import CLONES, Transitions
from vmpooler.store.queries.vms import Vms
from vmpooler.store.redis.scripts import Argument, RedisCommands, Script, load

REMEMBERED_SECONDS = 60.0
"""Seconds for which a promised write is remembered."""

MAX_SCRIPTS = 50_000
"""Maximum number of remembered scripts."""

BY = "failover"

BY_NOBODY = {"need": "", "own": ""}
"""Arguments with which a script needs no token."""

CHECKOUT = "checkout "
"""Prefix of the names of promised checkouts."""

Again = Callable[[RedisCommands], Awaitable[object]]
"""Replays a promised write over the given connection. It changes nothing if Redis already has the write."""


@attrs.frozen
class Ran:
    """A script that has run: its name, its keys and arguments by name, and its return value."""

    script: str
    values: Mapping[str, Any]
    reply: Any

    def __getitem__(self, name: str) -> Any:
        """Return the value of a key or an argument."""
        return self.values[name]

    async def again(self, over: RedisCommands, /, **changed: Argument) -> Any:
        """Run the script again, without the fence of a manager, and with some values changed."""
        script = load(self.script)
        return await over.run(script, **{name: self.values[name] for name in script.names} | changed)


class RecentWrites:
    """The recent promised writes of this process.

    Scripts are stored as they ran; the replays are derived from them only when they are needed.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._ran: deque[tuple[float, Script, Sequence[Any], Any]] = deque(maxlen=MAX_SCRIPTS)

    def ran(self, script: Script, command: Sequence[Any], reply: Any) -> None:
        """Record a script that has run, if it succeeded and makes a promise or ends one."""
        if script.name == "checkout":
            done, reply = reply[0] == "ok", tuple(reply)  # the garbage collector skips tuples of text
        else:
            done = script.name in KINDS and reply in DONE
        if done:
            now = self._clock.seconds()
            self._ran.append((now, script, command, reply))
            while self._ran[0][0] < now - REMEMBERED_SECONDS:
                self._ran.popleft()

    def all(self) -> dict[str, Again]:
        """Return the replay of each promised write, by name, in the order of the writes."""
        found: dict[str, Again] = {}
        for _, script, command, reply in self._ran:
            for name, again in KINDS[script.name](Ran(script.name, script.values(command), reply)):
                found.pop(name, None)
                if again is not None:
                    found[name] = again
        return found


Named = Iterator[tuple[str, Again | None]]
"""Pairs of a name and a replay. A later pair replaces an earlier one of the same name; None means: no replay."""


def _given(ran: Ran) -> Named:
    for pool, vm in zip(ran.reply[2::3], ran.reply[3::3], strict=True):
        yield _checkout(ran["checkout_id"], vm), partial(_restore, ran, ran["request"][pool], vm)


def _given_back(ran: Ran) -> Named:
    yield _checkout(ran["checkout_id"], ran["vm"]), None


async def _restore(ran: Ran, pool: str, vm: str, over: RedisCommands) -> None:
    """Any queue -> running, for the client that got the VM."""
    answer = await Transitions(over, ran["kept"], BY).run(
        "restore",
        pool,
        vm,
        float(ran["now"]),
        **CLONES,
        running=keys.queue(Queue.RUNNING, pool),
        completed=keys.queue(Queue.COMPLETED, pool),
        active=keys.active(pool),
        since=keys.since(pool),
        confirmed=keys.confirmed(pool),
        others=[keys.queue(queue, pool) for queue in (Queue.READY, Queue.PENDING, Queue.DISCOVERED)],
        checked_out=ran["now_text"],
        checkout_id=ran["checkout_id"],
        token=ran["token"].removeprefix(keys.TOKEN),
        lifetime=ran["lifetime"],
        default_lifetime=ran["default_lifetime"],
    )
    if answer == -1:
        raise GivenTwice(f"{vm} was given to a client before a fail-over, and to another since")


def _completed(ran: Ran) -> Named:
    yield f"complete {ran['vm']}", partial(_complete, ran)


async def _same_client(ran: Ran, over: RedisCommands) -> None:
    """Raise GivenTwice when another client got the VM after this write. No client has a quarantined VM."""
    record = await Vms(over).record(ran["vm"])
    given = times.moment(record.get("checkout", ""))
    if given is not None and given > float(ran["now"]) and "quarantined" not in record:
        raise GivenTwice(
            f"{ran['vm']} was given to another client since: what was done to it before the loss is not redone"
        )


async def _complete(ran: Ran, over: RedisCommands) -> None:
    """Any queue -> completed. The destruction of the VM may already have started."""
    await _same_client(ran, over)
    for queue in (Queue.RUNNING, Queue.READY, Queue.PENDING, Queue.DISCOVERED):
        key = keys.queue(queue, ran["pool"])
        await ran.again(over, **BY_NOBODY, queue=key, queue_name=queue, terms=())


def _changed(ran: Ran) -> Named:
    if ran["text"]:
        yield f"change {ran['vm']} {ran['now']} {ran['text']}", partial(_change, ran)


async def _change(ran: Ran, over: RedisCommands) -> None:
    known = [(event.what, event.why, event.when) for event in await Vms(over).timeline(ran["vm"])]
    if (What.CHANGED, ran["text"], float(ran["now"])) not in known:
        await _same_client(ran, over)
        await ran.again(over, **BY_NOBODY)


def _requested(ran: Ran) -> Named:
    yield f"request {ran['suffix']}", partial(_request, ran)


async def _request(ran: Ran, over: RedisCommands) -> None:
    end = f"-{ran['suffix']}"
    if not any(event.more.get("task", "").endswith(end) for event in await Vms(over).timeline(ran["vm"])):
        await _same_client(ran, over)
        await ran.again(over, **BY_NOBODY, field="")


def _token(ran: Ran) -> Named:
    yield f"token {ran['token']}", ran.again


def _checkout(checkout_id: str, vm: str) -> str:
    return f"{CHECKOUT}{checkout_id} {vm}"


KINDS: Mapping[str, Callable[[Ran], Named]] = {
    "checkout": _given,
    "give_back": _given_back,
    "complete": _completed,
    "change": _changed,
    "request": _requested,
    "add_token": _token,
    "drop_token": _token,
}
"""The promised writes of each script that succeeded, by the script's name."""

DONE = (1, 2)
"""Return values that mean success, for all scripts except checkout."""
