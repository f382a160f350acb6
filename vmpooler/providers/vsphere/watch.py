"""What is known of a vCenter, kept on the reactor's thread from what the waiter tells.

Note [What the inventory is exact of]: an inventory is that of the last answer to WaitForUpdatesEx. A vCenter answers
at once when something changed, and after LONGEST_WAIT seconds when nothing did; no answer within the setting
``timeout`` ends the login, and then there is no inventory but an error. So it is the state of the moment of the call,
but for changes that are on their way and, when the vCenter hangs, those of the last ``timeout`` seconds. That is
enough for the order of a manager's look (work in flight, then the inventory, then the queues), because what this
service itself does is never missing from it: a clone is listed from its order on, ends only once its VM is listed,
and a destruction ends only once its VM is not. A VM that is neither in flight nor listed is therefore really gone,
and one that is listed and unknown is only noted until it has been so for minutes.
"""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from pyVmomi import vim
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferTimeout
from twisted.logger import Logger

from vmpooler.providers.base import ProviderError
from vmpooler.providers.vsphere.faults import Away, Doubtful, Failed, failure, reason
from vmpooler.providers.vsphere.news import Begun, Lost, News, Seen, TaskEnd, Vm
from vmpooler.providers.vsphere.places import Place
from vmpooler.providers.vsphere.session import Ref, Session
from vmpooler.providers.vsphere.waiter import Waiter
from vmpooler.settings import Vsphere

log = Logger()


class Watch:
    """The VMs of some folders, and tasks that are waited for. ``changed`` is told each place whose VMs changed."""

    def __init__(
        self,
        settings: Vsphere,
        places: Collection[Place],
        reactor: Any,
        chance: random.Random,
        changed: Callable[[Place], None],
    ) -> None:
        self.server = settings.server
        self._reactor = reactor
        self._changed = changed
        self._waiter = Waiter(settings, places, lambda news: reactor.callFromThread(self._take, news), chance)
        self._begun: Begun | None = None
        self._error: Exception | None = None
        self.is_stopped = False
        self.is_starting = True  # somebody waits, and is told of what is hopeless
        self._troubles: dict[Place, str] = {}
        self._vms: dict[Place, dict[Ref, Vm]] = {}
        self._ended: dict[Ref, TaskEnd] = {}
        self._tasks: dict[Ref, Deferred[TaskEnd]] = {}
        self._conditions: list[tuple[Callable[[], bool], Deferred[None]]] = []

    def start(self) -> None:
        """Begin to watch."""
        self._waiter.start()

    def stop(self) -> None:
        """Know nothing any more; all who wait get ProviderError."""
        self.is_stopped = True
        self._waiter.stop()
        self._forget(Away(f"vCenter {self.server}: is no longer used"))
        self._check()

    @property
    def trouble(self) -> Exception | None:
        """Why there is no connection, if there is none."""
        return None if self._begun else self._error

    @property
    def is_begun(self) -> bool:
        """Whether there is a connection."""
        return self._begun is not None

    def is_on(self, session: Session) -> bool:
        """Whether this login is still in use."""
        return self._begun is not None and self._begun.session is session

    @property
    def is_hopeless(self) -> bool:
        """Whether there is none for a reason that only another setting changes."""
        return isinstance(self.trouble, vim.fault.InvalidLogin | ssl.SSLCertVerificationError)

    @property
    def now(self) -> Begun:
        """The login of now. Raises Away."""
        if self._begun is None:
            why = f": {reason(self._error)}" if self._error else ""
            raise Away(f"vCenter {self.server}: there is no connection{why}")
        return self._begun

    def is_known(self, place: Place) -> bool:
        """Whether the VMs in a folder are known, all of them. Raises Away."""
        return place in self.now.folders and place not in self._troubles

    def folder(self, place: Place) -> Ref:
        """The folder at a place. Raises ProviderError when it or its VMs are not known."""
        if not self.is_known(place):
            raise ProviderError(f"vCenter {self.server}: {self._troubles.get(place, 'this folder is not watched')}")
        return self.now.folders[place]

    def vms(self, place: Place) -> Iterable[Vm]:
        """The VMs in a folder. Raises ProviderError when they are not known, or not all."""
        self.folder(place)
        return self._vms[place].values()

    def vm(self, name: str, place: Place | None = None) -> Vm | None:
        """The VM of that name in this folder, or in any that is watched. Raises Away."""
        places = list(self.now.folders) if place is None else [place]
        known = (vm for each in places for vm in self._vms.get(each, {}).values())
        return next((vm for vm in known if vm.guest.name == name), None)

    def has(self, ref: Ref) -> bool:
        """Whether that VM is in a folder that is watched. Raises Away."""
        return self.now is not None and any(ref in vms for vms in self._vms.values())

    def refresh(self) -> None:
        """Have all folders looked up anew. Blocks."""
        self._waiter.refresh()

    def is_open(self, task: Ref) -> bool:
        """Whether somebody waits for that task."""
        return task in self._tasks

    async def end(self, task: Ref, what: str) -> Any:
        """The result of a task that was added to ``open_tasks``, when it is over. Raises Failed when it failed,
        Doubtful when the connection was lost."""
        if task not in self._ended:
            self._tasks[task] = Deferred()
            try:
                self._ended[task] = await self._tasks[task]
            finally:
                self._tasks.pop(task, None)
        end = self._ended.pop(task)
        if isinstance(end.fault, Doubtful):
            raise Doubtful(f"{what}: {end.fault}")
        if end.fault is not None:
            raise Failed(f"{what}: {reason(end.fault)}", end.fault)
        return end.result

    async def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Whether ``condition`` came true within so many seconds. Raises Away when the connection is lost."""
        if condition():
            return True
        wait: Deferred[None] = Deferred()
        entry = (condition, wait)
        self._conditions.append(entry)
        try:
            await wait.addTimeout(seconds, self._reactor)
        except DeferTimeout:
            return False
        finally:
            if entry in self._conditions:
                self._conditions.remove(entry)
        return True

    async def begun(self, seconds: float) -> Begun:
        """The login, waited for if there is none. Raises Away after so many seconds."""
        await self.until(lambda: self.is_stopped or self._begun is not None, seconds)
        return self.now

    def lost(self, session: Session, error: Exception) -> None:
        """This login turned out to be over: have the waiter make another."""
        if self.is_on(session):
            self._lose(error)
            session.end()
            self._check()

    def _take(self, news: News) -> None:
        if self.is_stopped:
            return
        match news:
            case Begun():
                self._begin(news)
            case Seen():
                self._note(news)
            case Lost(error):
                self._lose(error)
        self._check()

    def _begin(self, news: Begun) -> None:
        if not self.is_on(news.session):
            log.info("[*] vCenter {server}: connected", server=self.server)
        self._begun, self._error = news, None
        self._troubles = dict(news.troubles)
        self._vms = {place: dict(vms) for place, vms in news.vms.items()}
        self._ended = {}
        self._finish(news.tasks)
        for place in (*news.folders, *news.troubles):
            self._changed(place)

    def _note(self, news: Seen) -> None:
        self._troubles.update(news.troubles)
        for place, vms in news.vms.items():
            known = self._vms.setdefault(place, {})
            before = {ref: known.get(ref) for ref in vms}
            for ref, vm in vms.items():
                if vm is None:
                    known.pop(ref, None)
                else:
                    known[ref] = vm
            if any(_guest(before[ref]) != _guest(vm) for ref, vm in vms.items()):
                self._changed(place)
        self._finish(news.tasks)

    def _finish(self, tasks: Mapping[Ref, TaskEnd]) -> None:
        for task, end in tasks.items():
            if task in self._tasks:
                self._tasks.pop(task).callback(end)
            else:
                self._ended[task] = end

    def _lose(self, error: Exception) -> None:
        is_news = self._begun is not None or self._error is None or reason(self._error) != reason(error)
        self._error = error
        self._forget(failure(error, f"vCenter {self.server}"))
        if is_news and not (self.is_starting and self.is_hopeless):
            log.warn("[!] vCenter {server}: {why}; tries again", server=self.server, why=reason(error))

    def _forget(self, error: ProviderError) -> None:
        self._begun = None
        self._vms, self._troubles, self._ended = {}, {}, {}
        tasks, self._tasks = self._tasks, {}
        for task in tasks.values():
            task.errback(Doubtful(str(error)))

    def _check(self) -> None:
        """Let go who waits for what has come true. To ask is to fail where there is no connection: that too ends it."""
        for entry in list(self._conditions):
            condition, wait = entry
            try:
                if not condition():
                    continue
            except ProviderError as error:
                self._conditions.remove(entry)
                wait.errback(error)
                continue
            self._conditions.remove(entry)
            wait.callback(None)


def _guest(vm: Vm | None) -> object:
    return vm and vm.guest
