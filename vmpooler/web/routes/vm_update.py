"""Lifetimes and tags that clients set for their VMs."""

from collections.abc import Callable

from vmpooler.domain.admission import Need
from vmpooler.domain.change import Change, ChangeRules, change_of
from vmpooler.domain.errors import Invalid, Unfit
from vmpooler.domain.names import short
from vmpooler.store.commands.vm_updates import Changes
from vmpooler.web.http import json
from vmpooler.web.http.credentials import Admissions
from vmpooler.web.http.json import Json
from vmpooler.web.http.server import Request


class ChangeRoutes:
    """The PUT route below ``/vm``."""

    def __init__(self, rules: ChangeRules, admissions: Admissions, changes: Changes, wall: Callable[[], float]) -> None:
        self._rules = rules
        self._admissions = admissions
        self._changes = changes
        self._wall = wall

    async def change(self, request: Request, host: str) -> Json:
        """Set the lifetime and tags of a VM: either all that is requested, or nothing."""
        try:
            change = self._asked(request.body)
        except Unfit as unfit:
            await self._make(request, host, Change(), unfit.lifetime)  # an unknown VM or token is reported first
            raise
        await self._make(request, host, change, change.lifetime is not None)
        return {"ok": True}

    def _asked(self, body: bytes) -> Change:
        try:
            asked = json.parsed(body)
        except Invalid:
            raise Unfit from None  # clients know only one answer. Source: docs/compatibility.md#vm-changes
        return change_of(asked, self._rules)

    async def _make(self, request: Request, host: str, change: Change, lifetime: bool) -> None:
        need = Need.ALWAYS if lifetime else Need.NEVER
        await self._changes.make(short(host), change, self._admissions.of(request, need), self._wall())
