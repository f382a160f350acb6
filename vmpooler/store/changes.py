"""What clients set of their VMs."""

from collections.abc import Sequence

from vmpooler.domain import times
from vmpooler.domain.admission import FREE, Admission
from vmpooler.domain.change import Change
from vmpooler.domain.events import What
from vmpooler.settings import Settings
from vmpooler.store import keys
from vmpooler.store.admission import admitted, shown
from vmpooler.store.connection import Caller, Connection
from vmpooler.store.transition import Transitions
from vmpooler.store.vms import Vms

BY = "api"


class Changes:
    """Lifetimes and tags, as records and summaries have them."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self._connection = connection
        self._transitions = Transitions(connection, settings.general.events_max, BY)
        self._keep = settings.general.daily_retention * times.DAY

    async def make(self, vm: str, change: Change, admission: Admission, now: float) -> None:
        """Set what there is to set, if anything.

        Raises NoSuchVm when there is no such VM, TokenNeeded or NotYours where the client is not admitted.
        """
        touched, args = self._asked(change, admission, now)
        admitted(await self._transitions.run("change", "", vm, now, touched, args, lasting=True), vm)
        if str(change):
            self._connection.promised(f"change {vm} {now} {change}", lambda over: self._again(over, vm, change, now))

    async def _again(self, over: Caller, vm: str, change: Change, now: float) -> None:
        """Set it where a fail-over lost that."""
        known = [(event.what, event.why, event.when) for event in await Vms(over).timeline(vm)]
        if (What.CHANGED, str(change), round(now, 3)) not in known:
            touched, args = self._asked(change, FREE, now)
            await self._transitions.over(over).run("change", "", vm, now, touched, args)

    def _asked(
        self, change: Change, admission: Admission, now: float
    ) -> tuple[Sequence[str], Sequence[str | int | float]]:
        """What the script is given."""
        hours = "" if change.lifetime is None else change.lifetime
        tags = (part for tag in change.tags.items() for part in tag)
        args = (times.text(now), *shown(admission), hours, str(change), self._keep, *tags)
        return (keys.token(admission.token or ""), keys.tag_values(times.day(now))), args
