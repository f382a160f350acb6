"""Wires to Redis: txredisapi's connections and their pool, where they let us down replaced.

Note [Why not txredisapi as it comes]

- Its handler queues a command while Redis is away and runs it late; here a command is written at once or refused.
- A failed AUTH or SELECT, or a connection lost meanwhile, ends its pool for ever; here that is one more retry.
- It counts a wire as ready before Redis has said a word; here a wire is ready when Redis has answered a PING, so a
  Redis that hangs or still loads its data is away, like one that is down.
- It guesses numbers out of strings (``"007"`` -> 7) and cuts floats to six decimals; here a string stays what it is.
- It spends most of its time on what this service does not use (MULTI, pipelines); the replacement is thrice as fast.
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
"""What a command is made of."""

_pack: Callable[[tuple[Value, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment] # its types know one word

ServerError = txredisapi.ResponseError
"""What Redis answers instead of a result; its text starts with a code, such as ``WRONGTYPE``."""


def told(error: object) -> str:
    """What an error says, without what it quotes of a command that Redis does not know: a password, or a token."""
    return str(error).partition(", with args beginning with")[0]


class Wire(txredisapi.HiredisProtocol):
    """One connection to Redis. Commands go out at once and are answered in their order.

    Replies are None, int, str (what is not UTF-8 in it as surrogate escapes), or lists of these.
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
        """Whether Redis answers here."""
        return bool(self._ready)

    @property
    def lost(self) -> bool:
        """Whether it has ended."""
        return bool(self._end)

    @property
    def load(self) -> int:
        """How many commands wait for their answer."""
        return len(self._unanswered)

    def connectionMade(self) -> None:
        """Greet Redis; the wire is ready when it has answered, and welcomes us."""
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
        self.factory.tell("")
        waiting, self._waiting_for_connect = self._waiting_for_connect, []
        for waiter in waiting:
            waiter.callback(self)

    def _refused(self, failure: Failure) -> None:
        failure.trap(ServerError, VmpoolerError, CancelledError)
        self.cut(told(failure.value))

    def execute_command(self, *args: Value, **_: Any) -> Deferred[Any]:
        """Send a command. Fails with ServerError, with StoreAway (sent) when no answer comes, or with Invalid."""
        return self._execute(args, False)

    def execute_lasting(self, *args: Value) -> Deferred[Any]:
        """The same, and the answer is held back until Redis has written what it answered; fails with StoreAway (sent)
        when it could not. See Note [A disk that is full] in connection.py."""
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
        """See to it that the oldest command does not wait for longer than it may."""
        self._watchdog = None
        if not self._unanswered:
            return
        left = self._unanswered[0][0] - self.factory.clock.seconds()
        if left > 0:
            self._watchdog = self.factory.clock.callLater(left, self._watch)
        else:
            self.factory.hung(self, f"no answer within {self.replyTimeout:g} s")

    def dataReceived(self, data: bytes, unpause: bool = False) -> None:
        """Give each reply to the command that has waited longest."""
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

    def cut(self, why: str) -> None:
        """End this wire now, and tell why."""
        self._ended(why)
        self.transport.abortConnection()

    def connectionLost(self, why: Failure) -> None:
        """The wire is gone: whatever waits for an answer fails."""
        super().connectionLost(why)
        self._ended(why.getErrorMessage())

    def _ended(self, why: str) -> None:
        """The first reason is the one that counts: what follows from it is told to nobody."""
        self._ready = False
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
        if not self._end:
            self._end = why
            self.factory.tell(why)
        unanswered, self._unanswered = self._unanswered, deque()
        for answer in (*self.factory.held_back.taken(self), *(answer for _, answer, _ in unanswered)):
            answer.errback(StoreAway(f"Redis is away: {self._end}", sent=True))
        self._greeting.cancel()


class HeldBack:
    """The answers of all wires that wait until Redis has written what it answered. One question serves all that came by
    then: Redis tries to write before it answers, and refuses PING, on whatever wire, once it could not.

    ``unwritten`` is called with the reason when it could not.
    """

    def __init__(self, clock: IReactorTime, unwritten: Callable[[str], None]) -> None:
        self._clock = clock
        self._unwritten = unwritten
        self._held: list[tuple[Wire, Deferred[Any], Any]] = []
        self._asked: list[tuple[Wire, Deferred[Any], Any]] = []
        self._turn: IDelayedCall | None = None

    def add(self, wire: Wire, answer: Deferred[Any], reply: Any) -> None:
        """Hold an answer back that came on this wire."""
        self._held.append((wire, answer, reply))
        self._ask_next()

    def taken(self, wire: Wire) -> list[Deferred[Any]]:
        """Who waits for an answer that came on this wire, which has ended: they are forgotten here."""
        found = [answer for each, answer, _ in (*self._asked, *self._held) if each is wire]
        self._asked = [held for held in self._asked if held[0] is not wire]
        self._held = [held for held in self._held if held[0] is not wire]
        if self._turn is not None and not self._held:
            self._turn.cancel()
            self._turn = None
        return found

    def _ask_next(self) -> None:
        if self._held and not self._asked and self._turn is None:
            self._turn = self._clock.callLater(0, self._ask)  # what else has come in this turn is asked for with it

    def _ask(self) -> None:
        self._turn = None
        self._asked, self._held = self._held, []
        self._asked[0][0].execute_command("PING").addCallbacks(self._written, self._not_written)

    def _written(self, _: object) -> None:
        asked, self._asked = self._asked, []
        for _, answer, reply in asked:
            answer.callback(reply)
        self._ask_next()

    def _not_written(self, failure: Failure) -> None:
        """Also what was not asked for yet: the next wire may lead to a Redis that lacks it."""
        failed, self._asked, self._held = (*self._asked, *self._held), [], []
        why = told(failure.value)
        if isinstance(failure.value, ServerError):
            self._unwritten(why)
        for _, answer, _ in failed:
            answer.errback(StoreAway(f"whether it was done is not certain: {why}", sent=True))


async def _at_once(wire: Wire) -> None:
    """Nothing else is to be done first."""


class Wires(txredisapi.RedisFactory):
    """Keeps ``size`` wires alive, for ever: it tries again after 0.1 s, doubled up to 2 s, with some jitter.

    ``tell`` is called with the reason whenever a wire ends or cannot be had, and with "" when Redis answers.
    ``welcome`` says of a wire that Redis answers on when other commands may follow; it raises what keeps them away.
    ``unwritten`` is called with the reason when Redis could not write what it had answered.
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
        tell: Callable[[str], None],
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
        self.tell = tell
        self.welcome = welcome
        self.held_back = HeldBack(clock, unwritten)

    def connect(self, endpoint: IStreamClientEndpoint) -> None:
        """Begin."""
        self.startConnecting(_Telling(endpoint, self.tell))

    def ready(self) -> list[Wire]:
        """The wires that a command can be sent on."""
        return [wire for wire in self.pool if wire.ready]

    def hung(self, wire: Wire, why: str) -> None:
        """Cut that wire and all others: one thread of Redis serves them all, they would only hang in their turn."""
        for each in {wire, *self.pool}:
            each.cut(why)

    def cut(self, why: str) -> None:
        """Cut all wires, also those that are not ready yet; they are made anew."""
        for slot in self.slots:
            if slot.protocol is not None:
                slot.protocol.cut(why)

    def close(self) -> Deferred[Any]:
        """End all wires and try no more; fires when they are gone."""
        done: Deferred[Any] = self.disconnect()
        for slot in self.slots:
            if slot.protocol is not None:
                slot.protocol.transport.abortConnection()
        return done


@implementer(IStreamClientEndpoint)
class _Telling:
    """An endpoint that tells why it cannot connect, which is otherwise known to the retry's log line only."""

    def __init__(self, endpoint: IStreamClientEndpoint, tell: Callable[[str], None]) -> None:
        self._endpoint = endpoint
        self._tell = tell

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """Connect as the endpoint does."""
        return self._endpoint.connect(protocolFactory).addErrback(self._failed)

    def _failed(self, failure: Failure) -> Failure:
        self._tell(failure.getErrorMessage())
        return failure


def _packed(args: tuple[Value, ...]) -> bytes:
    """A command as it is sent; what is text and came as other bytes than UTF-8, as those bytes."""
    try:
        return _pack(args)
    except UnicodeEncodeError:
        return _pack(tuple(map(_encoded, args)))


def _encoded(value: Value) -> Value:
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
