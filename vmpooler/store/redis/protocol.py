"""Wires (single connections) to Redis: txredisapi's connections and pool, with replacements for unsuitable parts.

Note [Why not txredisapi as it comes]

- Its handler queues a command while Redis is unavailable and runs it late. Here a command is sent or fails immediately.
- A failed AUTH or SELECT, or a connection that is lost during it, ends its pool permanently. Here that causes a retry.
- It counts a wire as ready before Redis has sent anything. Here a wire is ready after Redis has answered a PING, so a
  Redis that hangs or still loads its data is unavailable, like one that is down.
- It converts strings to numbers (``"007"`` -> 7) and cuts floats to six decimals. Here a string stays unchanged.
- It spends most of its time on features that this service does not use (MULTI, pipelines). The replacement is three
  times as fast.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import hiredis
import txredisapi
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from vmpooler.domain.errors import Invalid, StoreAway, VmpoolerError
from vmpooler.settings import Redis

Value = str | bytes | int | float
"""A part of a command."""

_pack: Callable[[tuple[Value, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]  # declared for a tuple of one part

ServerError = txredisapi.ResponseError
"""An error reply from Redis; its text starts with a code, such as ``WRONGTYPE``."""


def message_of(error: object) -> str:
    """Return the text of an error, without the quoted arguments of an unknown command: passwords or tokens."""
    return str(error).partition(", with args beginning with")[0]


class Wire(txredisapi.HiredisProtocol):
    """One connection to Redis. Commands are sent immediately and answered in order.

    Replies are None, int, str (bytes that are not UTF-8 become surrogate escapes), or lists of these.

    Three private names of txredisapi, seen in 1.6.0, are used here and nowhere else: ``_reader`` parses replies; the
    pool waits for a wire through ``_ready`` and ``_waiting_for_connect``.
    """

    factory: Wires
    _waiting_for_connect: list[Deferred[Any]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._reader = hiredis.Reader(
            protocolError=txredisapi.InvalidData, replyError=ServerError, encoding="utf-8", errors="surrogateescape"
        )
        self._unanswered: deque[tuple[float, Deferred[Any], bool]] = deque()
        self._watchdog: IDelayedCall | None = None
        self._greeting: Deferred[None] = succeed(None)
        self._end = ""

    @property
    def ready(self) -> bool:
        """Whether Redis answers on this wire, and the wire is released for use."""
        return bool(self._ready)

    @property
    def lost(self) -> bool:
        """Whether this wire has ended."""
        return bool(self._end)

    @property
    def load(self) -> int:
        """Number of commands that wait for their reply."""
        return len(self._unanswered)

    def connectionMade(self) -> None:
        """Prepare the wire: AUTH, SELECT, PING, then the factory's ``welcome``. Then the wire is ready."""
        self._greeting = Deferred.fromCoroutine(self._greet())
        self._greeting.addErrback(self._refused)

    async def _greet(self) -> None:
        if self.password is not None:
            await self.auth(self.password, self.username)
        if self.dbid is not None:
            await self.select(self.dbid)
        await self.execute_command("PING")
        await self.factory.welcome(self)
        self._ready = True
        self.factory.notify("")
        waiting, self._waiting_for_connect = self._waiting_for_connect, []
        for waiter in waiting:
            waiter.callback(self)

    def _refused(self, failure: Failure) -> None:
        failure.trap(ServerError, VmpoolerError, CancelledError)
        self.cut(message_of(failure.value))

    def execute_command(self, *args: Value, **_: Any) -> Deferred[Any]:
        """Send a command.

        Fails with ServerError, with StoreAway (sent) when no reply arrives, or with Invalid for text that is not valid
        Unicode.
        """
        return self._execute(args, False)

    def execute_lasting(self, *args: Value) -> Deferred[Any]:
        """Send a command, and hold its reply back until Redis has written the change to its file.

        Fails like ``execute_command``, and with StoreAway (sent) when Redis could not write the change. See Note [A
        disk that is full] in client.py.
        """
        return self._execute(args, True)

    def _execute(self, args: tuple[Value, ...], lasting: bool) -> Deferred[Any]:
        try:
            self.transport.write(_packed(args))
        except UnicodeEncodeError:
            return fail(Invalid("text that is not valid Unicode"))
        answer: Deferred[Any] = Deferred()
        self._unanswered.append((self.factory.clock.seconds() + self.replyTimeout, answer, lasting))
        if self._watchdog is None:
            self._watch()
        return answer

    def _watch(self) -> None:
        """Enforce the reply timeout of the oldest command."""
        self._watchdog = None
        if not self._unanswered:
            return
        left = self._unanswered[0][0] - self.factory.clock.seconds()
        if left > 0:
            self._watchdog = self.factory.clock.callLater(left, self._watch)
        else:
            self.factory.hung(self, f"no answer within {self.replyTimeout:g} s")

    def dataReceived(self, data: bytes, unpause: bool = False) -> None:
        """Pass each reply to the command that has waited longest."""
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not False:
                _, answer, lasting = self._unanswered.popleft()
                if isinstance(reply, Exception):
                    answer.errback(reply)
                elif lasting:
                    self.factory.held_back.add(self, answer, reply)
                else:
                    answer.callback(reply)
        except (txredisapi.InvalidData, IndexError):
            self.cut("what answers there is not Redis")
        self.factory.held_back.ask()

    def cut(self, why: str) -> None:
        """Abort this wire immediately, and report the reason to the factory."""
        self._ended(why)
        self.transport.abortConnection()

    def connectionLost(self, why: Failure) -> None:
        """Fail all commands that wait for a reply, because the connection is lost."""
        super().connectionLost(why)
        self._ended(why.getErrorMessage())

    def _ended(self, why: str) -> None:
        """End the wire: report the first reason, ignore later ones, and fail all waiting commands."""
        self._ready = False
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
        if not self._end:
            self._end = why
            self.factory.notify(why)
        unanswered, self._unanswered = self._unanswered, deque()
        for answer in (*self.factory.held_back.taken(self), *(answer for _, answer, _ in unanswered)):
            answer.errback(StoreAway(f"Redis is away: {self._end}", sent=True))
        self._greeting.cancel()


class HeldBack:
    """The replies of all wires that are held back until Redis has written the changes to its file.

    One PING serves all replies that arrived before it was sent: Redis tries to write before it answers, and after a
    failed write it rejects PING on every wire. ``unwritten`` is called with the reason when Redis could not write.
    """

    def __init__(self, unwritten: Callable[[str], None]) -> None:
        self._unwritten = unwritten
        self._held: list[tuple[Wire, Deferred[Any], Any]] = []
        self._asked: list[tuple[Wire, Deferred[Any], Any]] = []

    def add(self, wire: Wire, answer: Deferred[Any], reply: Any) -> None:
        """Hold back a reply that arrived on this wire. The caller calls ``ask`` when it has passed on all its data."""
        self._held.append((wire, answer, reply))

    def taken(self, wire: Wire) -> list[Deferred[Any]]:
        """Remove and return the Deferreds of the replies that arrived on this wire, which has ended."""
        found = [answer for each, answer, _ in (*self._asked, *self._held) if each is wire]
        self._asked = [held for held in self._asked if held[0] is not wire]
        self._held = [held for held in self._held if held[0] is not wire]
        return found

    def ask(self) -> None:
        """Send a PING for the replies that are held back, if none is on its way. Called after each piece of data."""
        if self._held and not self._asked:
            self._asked, self._held = self._held, []
            self._asked[0][0].execute_command("PING").addCallbacks(self._written, self._not_written)

    def _written(self, _: object) -> None:
        asked, self._asked = self._asked, []
        for _, answer, reply in asked:
            answer.callback(reply)

    def _not_written(self, failure: Failure) -> None:
        """Fail all held replies, also those after the PING: the next wire may reach a Redis that lacks the changes."""
        failed, self._asked, self._held = (*self._asked, *self._held), [], []
        why = message_of(failure.value)
        if isinstance(failure.value, ServerError):
            self._unwritten(why)
        for _, answer, _ in failed:
            answer.errback(StoreAway(f"whether it was done is not certain: {why}", sent=True))


async def _at_once(wire: Wire) -> None:
    """The default ``welcome``: the wire needs no further preparation."""


class Wires(txredisapi.RedisFactory):
    """Keeps ``size`` wires connected permanently: retries after 0.1 s, doubled up to 2 s, with some jitter.

    ``notify`` is called with the reason whenever a wire ends or cannot connect, and with "" when Redis answers.
    ``welcome`` prepares a wire after its first PING: it returns when other commands may follow, and raises the reason
    when the wire must not be used. ``unwritten`` is called with the reason when Redis could not write a change that it
    had confirmed.
    """

    protocol = Wire
    initialDelay = 0.1
    factor = 2
    maxDelay = 2

    def __init__(
        self,
        settings: Redis,
        size: int,
        reply_timeout: float,
        clock: IReactorTime,
        notify: Callable[[str], None],
        welcome: Callable[[Wire], Awaitable[None]] = _at_once,
        unwritten: Callable[[str], None] = lambda why: None,
    ) -> None:
        super().__init__(
            "vmpooler",
            settings.database or None,
            size,
            isLazy=True,
            username=settings.username or None,
            password=settings.password or None,
            replyTimeout=reply_timeout,
            convertNumbers=False,
        )
        self.clock = clock
        self.notify = notify
        self.welcome = welcome
        self.held_back = HeldBack(unwritten)

    def connect(self, endpoint: IStreamClientEndpoint) -> None:
        """Start to connect, and keep the wires connected."""
        self.startConnecting(_Reporting(endpoint, self.notify))

    def ready(self) -> list[Wire]:
        """Return the wires on which a command can be sent."""
        return [wire for wire in self.pool if wire.ready]

    def hung(self, wire: Wire, why: str) -> None:
        """Abort this wire and all others: one thread of Redis serves them all, so the others would hang too."""
        for each in {wire, *self.pool}:
            each.cut(why)

    def cut(self, why: str) -> None:
        """Abort all wires, also those that are not ready yet; they reconnect."""
        for slot in self.slots:
            if slot.protocol is not None:
                slot.protocol.cut(why)

    def close(self) -> Deferred[Any]:
        """Close all wires permanently; the Deferred fires when they are closed."""
        done: Deferred[Any] = self.disconnect()
        for slot in self.slots:
            if slot.protocol is not None:
                slot.protocol.transport.abortConnection()
        return done


@implementer(IStreamClientEndpoint)
class _Reporting:
    """An endpoint wrapper that reports why it cannot connect; otherwise only the retry's log line has the reason."""

    def __init__(self, endpoint: IStreamClientEndpoint, notify: Callable[[str], None]) -> None:
        self._endpoint = endpoint
        self._notify = notify

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """Connect to the wrapped endpoint; report a failure and pass it on."""
        return self._endpoint.connect(protocolFactory).addErrback(self._failed)

    def _failed(self, failure: Failure) -> Failure:
        self._notify(failure.getErrorMessage())
        return failure


def _packed(args: tuple[Value, ...]) -> bytes:
    """Encode a command. Surrogate escapes in text become the original bytes again."""
    try:
        return _pack(args)
    except UnicodeEncodeError:
        return _pack(tuple(map(_encoded, args)))


def _encoded(value: Value) -> Value:
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
