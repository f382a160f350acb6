"""Runs blocking calls in threads, and vCenter tasks, which use no thread while they run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from threading import Thread
from typing import Any, TypeVar

from pyVmomi import vim
from twisted.internet.defer import CancelledError
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from vmpooler.deferreds import Slots
from vmpooler.providers.base import ProviderError
from vmpooler.providers.vsphere.errors import Away, Doubtful, Refused, failure
from vmpooler.providers.vsphere.inventory_cache import InventoryCache
from vmpooler.providers.vsphere.messages import Connected
from vmpooler.providers.vsphere.session import Ref, Session

T = TypeVar("T")

LOGIN_TIMEOUT = 15.0
"""Seconds that an operation waits for a new login after the old one has ended."""

SEND_RETRY_DELAY = 0.1
"""Seconds until the next attempt to send an order that may not be sent now."""

READS = 3
"""How often a call that only reads is tried."""


class _Held(Exception):
    """An order was not sent, because this process may not send orders now."""


class Executor:
    """All requests to a vCenter except the wait for its updates.

    An order (a call that changes something) waits while ``may_order`` returns False. ``may_order`` is called in the
    thread, immediately before the order is sent.
    """

    def __init__(
        self, cache: InventoryCache, threads: int, reactor: Any, may_order: Callable[[], bool] = lambda: True
    ) -> None:
        self._cache = cache
        self._reactor = reactor
        self._may_order = may_order
        self._threads = ThreadPool(0, threads, f"vCenter {cache.server}")
        self._threads.threadFactory = partial(Thread, daemon=True)  # type: ignore[assignment]  # declared as a class
        self._opening = Slots()
        self._to_open: list[tuple[Ref, Connected]] = []
        self._over: list[Ref] = []

    def start(self) -> None:
        """Start accepting calls."""
        self._threads.start()

    def stop(self) -> None:
        """Accept no more calls; the cache is stopped before.

        The calls in progress end with the connection; no caller waits for their threads.
        """
        Thread(target=self._threads.stop, daemon=True).start()

    async def do(self, what: str, call: Callable[[Session], T]) -> T:
        """Send a call once and return its result.

        Raises ProviderError; its class depends on whether the call was carried out.
        """
        return await self._within(self._cache.now, what, call)

    async def read(self, what: str, call: Callable[[Session], T]) -> T:
        """Return the result of a call that only reads and may be sent again.

        Does not raise Doubtful: the call has changed nothing, so an order that follows it was not sent.
        """
        for _ in range(READS - 1):
            try:
                return await self.do(what, call)
            except (Doubtful, Refused):
                await self._cache.connected(LOGIN_TIMEOUT)
        try:
            return await self.do(what, call)
        except Doubtful as error:
            raise Away(str(error)) from error

    async def task(self, what: str, order: Callable[[Session], Ref]) -> Any:
        """Start a vCenter task with ``order``, and return its result when the task is over. Raises ProviderError."""
        connected = self._cache.now
        task = await self._order(connected, what, order)
        await self._open(task, connected, what)
        if not self._cache.is_on(connected.session):
            raise Doubtful(f"{what}: the connection was lost")
        try:
            return await self._cache.end(task, what)
        finally:
            self._over.append(task)

    async def steadily(self, work: Callable[[], Awaitable[T]]) -> T:
        """Return the result of ``work``, and call it once more if the first attempt raises Refused.

        Such an attempt changed nothing, because its session had ended or an object was gone. ``work`` must look up
        everything that it needs.
        """
        try:
            return await work()
        except Refused:
            await self._cache.connected(LOGIN_TIMEOUT)
            return await work()

    async def _order(self, connected: Connected, what: str, order: Callable[[Session], Ref]) -> Ref:
        """Send an order once, as soon as ``may_order`` returns True. Raises Away when the cache is stopped before."""

        def send(session: Session) -> Ref:
            if not self._may_order():
                raise _Held
            return order(session)

        while True:
            try:
                return await self._within(connected, what, send)
            except _Held:
                if await self._cache.until(lambda: self._cache.is_stopped, SEND_RETRY_DELAY):
                    raise Away(f"{what}: another process gives the orders") from None

    async def _within(self, connected: Connected, what: str, call: Callable[[Session], T]) -> T:
        if self._cache.is_stopped:  # a stopped thread pool drops a call, and its Deferred would never fire
            raise Away(f"{what}: vCenter {self._cache.server} is no longer used")
        try:
            return await deferToThreadPool(self._reactor, self._threads, call, connected.session)
        except (_Held, CancelledError):
            raise
        except Exception as error:
            if isinstance(error, vim.fault.NotAuthenticated):
                self._cache.drop(connected.session, error)
            raise failure(error, what) from error

    async def _open(self, task: Ref, connected: Connected, what: str) -> None:
        """Watch a vCenter task.

        Tasks that arrive while a call is in progress are added by the next call, which also removes the tasks that are
        over.
        """
        self._to_open.append((task, connected))
        async with self._opening:
            if (task, connected) in self._to_open:
                await self._open_batch(connected, what)

    async def _open_batch(self, connected: Connected, what: str) -> None:
        batch = [each for each, of in self._to_open if of is connected]
        self._to_open = [(each, of) for each, of in self._to_open if of is not connected]
        over, self._over = self._over, []
        gone = [each for each in over if connected.session.owns(each)]
        view: Any = connected.open_tasks
        for remove in (gone, [], []):
            try:
                await self._within(connected, what, partial(_modify, view, batch, remove))
                return
            except ProviderError as error:  # in any case the tasks were ordered: none may count as refused
                why = error.__cause__
        self._cache.drop(connected.session, why if isinstance(why, Exception) else Doubtful("a task cannot be watched"))


def _modify(view: Any, add: list[Ref], remove: list[Ref], _: Session) -> None:
    view.ModifyListView(add, remove)
