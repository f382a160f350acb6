"""Updates of VMs by people: clients set lifetimes and tags, operators give up what the mass guard protects."""

from vmpooler.domain import times
from vmpooler.domain.admission import Admission
from vmpooler.domain.change import Change
from vmpooler.domain.errors import Unfit
from vmpooler.domain.model import Queue
from vmpooler.settings import Settings
from vmpooler.store import keys
from vmpooler.store.commands.transitions import Transitions, admitted, shown
from vmpooler.store.redis.client import Connection

BY = "api"

TOO_MANY = -3
"""Return code of change.lua when the VM would exceed the limit of tags."""


class Changes:
    """Writes lifetimes and tags to the VM records, and tags to the hash of the day that the tag summaries read."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self._transitions = Transitions(connection, settings.general.events_max, BY)
        self._keep = settings.general.daily_retention * times.DAY
        self._most = settings.limits.tags

    async def make(self, vm: str, change: Change, admission: Admission, now: float) -> None:
        """Set the lifetime (hours) and the tags that the change contains; either may be absent.

        Raises NoSuchVm when the VM does not exist, TokenNeeded or NotYours when the client is not authorized, Unfit
        when the VM would exceed the limit of tags.
        """
        made = await self._transitions.run(
            "change",
            "",
            vm,
            now,
            **shown(admission),
            tag_values=keys.tag_values(times.day(now)),
            now_text=times.text(now),
            hours="" if change.lifetime is None else change.lifetime,
            text=str(change),
            keep=self._keep,
            most=self._most,
            tags=[part for tag in change.tags.items() for part in tag],
        )
        if made == TOO_MANY:
            raise Unfit([f"tags: a VM can have at most {self._most}"])
        admitted(made, vm)


async def unknown(connection: Connection, pool: str) -> list[str]:
    """Return the VMs that are in a pool's folder and in none of its other queues: the discovered ones."""
    return sorted(await connection.call("SMEMBERS", keys.queue(Queue.DISCOVERED, pool)))


async def confirm(connection: Connection, pool: str) -> list[str]:
    """Release the pool's discovered VMs from the guard, and return them.

    The guard no longer counts them, so those that this service made are destroyed.
    """
    names = await unknown(connection, pool)
    if names:
        await connection.call("SADD", keys.confirmed(pool), *names)
    return names
