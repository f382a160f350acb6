"""Which pools the other processes at this Redis are configured with.

During a rolling change of the configuration processes differ for a while. So that is information, said once, until they
agree again. Where it lasts, the process that leads decides: it drains what it has not configured.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from vmpooler.domain.errors import StoreAway
from vmpooler.settings import Pool
from vmpooler.store import keys
from vmpooler.store.commands import Commands
from vmpooler.store.scripts import load

BEAT = 5.0
"""Seconds between two times that a process says what it has."""

FORGOTTEN = 20
"""Seconds after which one that says nothing more is gone."""


@attrs.frozen
class Pools:
    """The pools of a configuration: their names, and a digest of all their settings."""

    names: frozenset[str]
    digest: str

    @classmethod
    def of(cls, pools: Iterable[Pool]) -> "Pools":
        """Those of settings; in which order they stand is no difference."""
        known = sorted((attrs.asdict(pool) for pool in pools), key=lambda each: str(each["name"]))
        text = json.dumps(known, sort_keys=True)
        return cls(frozenset(each["name"] for each in known), hashlib.sha256(text.encode()).hexdigest()[:16])

    @classmethod
    def of_text(cls, text: str) -> "Pools | None":
        """Those that another process told of; None for what this version cannot read."""
        try:
            known = json.loads(text)
            return cls(frozenset(map(str, known["pools"])), str(known["digest"]))
        except (ValueError, TypeError, KeyError, RecursionError):
            return None

    def text(self) -> str:
        """The same for others."""
        return json.dumps({"pools": sorted(self.names), "digest": self.digest})

    def difference(self, other: "Pools") -> str:
        """How those of another process differ from these, for people."""
        more, fewer = sorted(other.names - self.names), sorted(self.names - other.names)
        parts = [f"also {', '.join(more)}" if more else "", f"not {', '.join(fewer)}" if fewer else ""]
        return "; ".join(filter(None, parts)) or "the same pools with other settings"


class Peers:
    """Says what this process, ``who``, has, and learns what others have."""

    log = Logger()

    def __init__(self, connection: Commands, pools: Sequence[Pool], who: str, clock: IReactorTime) -> None:
        self._connection = connection
        self._mine = Pools.of(pools)
        self._who = who
        self._others: dict[str, str] = {}
        self._beating = LoopingCall(lambda: Deferred.fromCoroutine(self._beat()))
        self._beating.clock = clock

    def start(self) -> None:
        """Begin to say it."""
        self._beating.start(BEAT, now=True)

    async def leave(self) -> None:
        """This process ends: others need not wait to know."""
        if not self._beating.running:
            return
        self._beating.stop()
        try:
            await self._connection.call("HDEL", keys.CONFIGURED, self._who)
        except StoreAway:
            self.log.debug("[*] Redis is away: that this process has ended is known in {seconds} s", seconds=FORGOTTEN)

    def state(self) -> Mapping[str, Any]:
        """The processes with other pools, and how those differ; nothing where all agree."""
        return {"other_pools": dict(self._others)} if self._others else {}

    async def _beat(self) -> None:
        try:
            await self.compare()
        except StoreAway:
            return  # which the connection says
        except Exception:
            self.log.failure("[!] what other processes have configured cannot be read")

    async def compare(self) -> None:
        """Say what this process has, learn what the others have, and log what is new of it. Raises StoreAway."""
        args = (self._who, self._mine.text(), FORGOTTEN)
        flat = await self._connection.run(load("peers"), (keys.CONFIGURED,), args)
        told = {who: Pools.of_text(text) for who, text in zip(flat[::2], flat[1::2], strict=True)}
        before, self._others = (
            self._others,
            {
                who: self._mine.difference(pools)
                for who, pools in sorted(told.items())
                if pools is not None and pools != self._mine
            },
        )
        new: dict[str, list[str]] = {}
        for who, difference in self._others.items():
            if before.get(who) != difference:
                new.setdefault(difference, []).append(who)
        for difference, processes in new.items():
            who = ", ".join(processes)
            self.log.info(
                "[*] {who}: configured with other pools than here: {difference}", who=who, difference=difference
            )
        if before and not self._others:
            self.log.info("[*] all processes are configured with the same pools again")
