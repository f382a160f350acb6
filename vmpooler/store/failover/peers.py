"""Compares the configured pools of all processes that share this Redis.

During a rolling change of the configuration, processes differ for a while. So a difference is logged once, as
information, and the return to agreement is logged too. When a difference persists, the leader decides: it drains the
pools that it has not configured.
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
from vmpooler.store.redis.scripts import RedisCommands, load
from vmpooler.store.stored import paired

REPORT_INTERVAL = 5.0
"""Seconds between two reports of a process."""

REPORT_TIMEOUT = 20
"""Seconds without a report after which a process counts as ended."""


@attrs.frozen
class Pools:
    """The pools of a configuration: their names, and a digest of all their settings."""

    names: frozenset[str]
    digest: str

    @classmethod
    def of(cls, pools: Iterable[Pool]) -> "Pools":
        """Return the pools of a configuration. Their order makes no difference."""
        known = sorted((attrs.asdict(pool) for pool in pools), key=lambda each: str(each["name"]))
        text = json.dumps(known, sort_keys=True)
        return cls(frozenset(each["name"] for each in known), hashlib.sha256(text.encode()).hexdigest()[:16])

    @classmethod
    def of_text(cls, text: str) -> "Pools | None":
        """Return the pools that another process reported; None when this version cannot read the text."""
        try:
            known = json.loads(text)
            return cls(frozenset(map(str, known["pools"])), str(known["digest"]))
        except (ValueError, TypeError, KeyError, RecursionError):
            return None

    def text(self) -> str:
        """Return the JSON text that other processes read with ``of_text``."""
        return json.dumps({"pools": sorted(self.names), "digest": self.digest})

    def difference(self, other: "Pools") -> str:
        """Describe for people how the pools of another process differ from these."""
        more, fewer = sorted(other.names - self.names), sorted(self.names - other.names)
        parts = [f"also {', '.join(more)}" if more else "", f"not {', '.join(fewer)}" if fewer else ""]
        return "; ".join(filter(None, parts)) or "the same pools with other settings"


class Peers:
    """Reports the pools of this process, named ``who``, and reads the reports of the others."""

    log = Logger()

    def __init__(self, connection: RedisCommands, pools: Sequence[Pool], who: str, clock: IReactorTime) -> None:
        self._connection = connection
        self._mine = Pools.of(pools)
        self._who = who
        self._others: dict[str, str] = {}
        self._beating = LoopingCall(lambda: Deferred.fromCoroutine(self._beat()))
        self._beating.clock = clock

    def start(self) -> None:
        """Start the regular reports."""
        self._beating.start(REPORT_INTERVAL, now=True)

    async def leave(self) -> None:
        """Stop the reports and remove this process's own, so that other processes drop it immediately."""
        if not self._beating.running:
            return
        self._beating.stop()
        try:
            await self._connection.call("HDEL", keys.CONFIGURED, self._who)
        except StoreAway:
            self.log.debug(
                "[*] Redis is away: that this process has ended is known in {seconds} s", seconds=REPORT_TIMEOUT
            )

    def state(self) -> Mapping[str, Any]:
        """Return, as ``other_pools``, the processes with different pools and the differences; empty if all agree."""
        return {"other_pools": dict(self._others)} if self._others else {}

    async def _beat(self) -> None:
        try:
            await self.compare()
        except StoreAway:
            return  # the connection logs it
        except Exception:
            self.log.failure("[!] what other processes have configured cannot be read")

    async def compare(self) -> None:
        """Report the pools of this process, read those of the others, and log new differences. Raises StoreAway."""
        flat = await self._connection.run(
            load("peers"),
            configured=keys.CONFIGURED,
            who=self._who,
            text=self._mine.text(),
            forgotten_after=REPORT_TIMEOUT,
        )
        reports = {who: Pools.of_text(text) for who, text in paired(flat).items()}
        before, self._others = (
            self._others,
            {
                who: self._mine.difference(pools)
                for who, pools in sorted(reports.items())
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
