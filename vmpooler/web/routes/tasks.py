"""Routes for tasks on VMs: extra disks, snapshots, reverts. Requests are accepted here; a manager performs them."""

from collections.abc import Callable

from vmpooler.domain.admission import Need
from vmpooler.domain.errors import NoSuchVm
from vmpooler.domain.names import Choice, random_name, short
from vmpooler.domain.tasks import Kind, gigabytes
from vmpooler.store.commands.tasks import Tasks
from vmpooler.web.http.credentials import Admissions
from vmpooler.web.http.json import Json
from vmpooler.web.http.server import Request

SNAPSHOT_LENGTH = 32
"""Characters of a snapshot's name. Source: docs/compatibility.md#ids."""


class TaskRoutes:
    """The routes below ``/vm/<host>`` whose work is done after the reply."""

    def __init__(self, admissions: Admissions, tasks: Tasks, wall: Callable[[], float], choice: Choice) -> None:
        self._admissions = admissions
        self._tasks = tasks
        self._wall = wall
        self._choice = choice

    async def disk(self, request: Request, host: str, size: str) -> Json:
        """Request one more disk of ``size`` GB."""
        more = gigabytes(size)
        await self._ask(request, host, Kind.DISK, str(more) if more else None)
        return {"ok": True, short(host): {"disk": f"+{more}gb"}}

    async def snapshot(self, request: Request, host: str) -> Json:
        """Request a snapshot, whose name is chosen here."""
        name = random_name(self._choice, SNAPSHOT_LENGTH)
        await self._ask(request, host, Kind.SNAPSHOT, name)
        return {"ok": True, short(host): {"snapshot": name}}

    async def revert(self, request: Request, host: str, snapshot: str) -> Json:
        """Request a revert to an existing snapshot."""
        await self._ask(request, host, Kind.REVERT, snapshot)
        return {"ok": True}

    async def _ask(self, request: Request, host: str, kind: Kind, argument: str | None) -> None:
        """Record a task. ``argument`` is None when it is invalid: a missing token is still reported first."""
        vm, admission = short(host), self._admissions.of(request, Need.ALWAYS)
        if not vm or ":" in vm:
            argument = None
        await self._tasks.request(vm, kind, argument, admission, self._wall())
        if argument is None:
            raise NoSuchVm(f"{kind}: invalid argument for {vm}")
