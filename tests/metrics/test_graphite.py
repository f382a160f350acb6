"""Metrics sent to Graphite: their names, the single connection, and what happens while the server is unavailable."""

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, formatEvent

from vmpooler.domain.events import Event, What
from vmpooler.metrics.graphite import MAX_QUEUED, GraphiteClient
from vmpooler.metrics.registry import Gauge, MetricsRegistry
from vmpooler.settings import Graphite as Settings

NOW = 1_700_000_000.4

READY = Gauge("ready", series="ready")


class Carbon(Factory):
    """Receives lines on a local port."""

    def __init__(self, port: int = 0) -> None:
        self.text = ""
        self.made = 0
        self.protocols: list[Any] = []
        listening: Any = reactor
        self._port = listening.listenTCP(port, self, interface="127.0.0.1")
        self.port = self._port.getHost().port

    def buildProtocol(self, addr: object) -> Protocol:
        owner = self

        class Line(Protocol):
            def connectionMade(self) -> None:
                owner.made += 1
                owner.protocols.append(self)

            def dataReceived(self, data: bytes) -> None:
                owner.text += data.decode()

        return Line()

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    async def end(self) -> None:
        await self._port.stopListening()
        for each in self.protocols:
            if each.transport is not None:
                each.transport.abortConnection()
        await deferLater(reactor, 0.05)


async def until(condition: Any, seconds: float = 10) -> None:
    end = reactor.seconds() + seconds
    while not condition():
        assert reactor.seconds() < end, "waited in vain"
        await deferLater(reactor, 0.02)


def sender(port: int) -> GraphiteClient:
    made = GraphiteClient(Settings(server="127.0.0.1", port=port, prefix="lab.vmpooler"), reactor)
    made.start()
    return made


async def test_figures_have_the_names_of_the_original_and_go_over_one_connection() -> None:
    carbon = Carbon()
    graphite = sender(carbon.port)
    metrics = MetricsRegistry(graphite)
    metrics.sampled({"debian-12": [4, 7, 2, 1], "ubuntu": [0, 0, 0, 0]}, NOW)
    metrics.on_event(Event("1-0", What.CLONED, "debian-12", "vm", NOW, "manager", more={"seconds": "12.53"}))
    metrics.on_event(Event("2-0", What.DESTROYED, "ubuntu", "vm", NOW, "manager", more={"seconds": "0.5"}))
    metrics.on_event(Event("3-0", What.DESTROYED, "ubuntu", "vm", NOW, "manager", more={"seconds": ""}))
    metrics.on_event(Event("4-0", What.READY, "ubuntu", "vm", NOW, "manager", more={"seconds": "9"}))
    await until(lambda: len(carbon.lines) == 6)
    assert carbon.lines == [
        "lab.vmpooler.ready.debian-12 4 1700000000",
        "lab.vmpooler.running.debian-12 7 1700000000",
        "lab.vmpooler.ready.ubuntu 0 1700000000",
        "lab.vmpooler.running.ubuntu 0 1700000000",
        "lab.vmpooler.clone.debian-12 12.53 1700000000",
        "lab.vmpooler.destroy.ubuntu 0.5 1700000000",
    ]
    assert carbon.made == 1
    await graphite.stop()
    await carbon.end()


async def test_figures_wait_while_the_server_is_away_and_of_too_many_the_oldest_are_dropped(
    logged: list[LogEvent],
) -> None:
    carbon = Carbon()
    port = carbon.port
    await carbon.end()
    graphite = sender(port)
    for number in range(MAX_QUEUED + 500):
        graphite.send(READY, "a", number, NOW)
    await until(lambda: any("is away, metrics wait" in formatEvent(event) for event in logged))
    carbon = Carbon(port)
    await until(lambda: len(carbon.lines) == MAX_QUEUED)
    assert carbon.lines[0] == "lab.vmpooler.ready.a 500 1700000000"
    assert carbon.lines[-1] == f"lab.vmpooler.ready.a {MAX_QUEUED + 499} 1700000000"
    lines = [formatEvent(event) for event in logged if "Graphite" in formatEvent(event)]
    assert len([text for text in lines if "away" in text]) == 1
    assert lines[-1] == f"[*] Graphite at 127.0.0.1:{port} takes metrics again"
    await graphite.stop()
    await carbon.end()


async def test_it_comes_back_after_the_server_was_restarted() -> None:
    carbon = Carbon()
    graphite = sender(carbon.port)
    graphite.send(READY, "before", 1, NOW)
    await until(lambda: carbon.lines)
    await carbon.end()
    await deferLater(reactor, 0.05)
    graphite.send(READY, "meanwhile", 2, NOW)
    carbon = Carbon(carbon.port)
    await until(lambda: carbon.lines)
    assert carbon.lines == ["lab.vmpooler.ready.meanwhile 2 1700000000"]
    await graphite.stop()
    await carbon.end()


async def test_a_server_that_takes_nothing_costs_no_more_than_what_may_wait_and_does_not_hold_up_the_end() -> None:
    carbon = Carbon()
    graphite = sender(carbon.port)
    await until(lambda: carbon.made)
    carbon.protocols[0].transport.pauseProducing()
    for number in range(20):
        for _ in range(20_000):
            graphite.send(READY, "a.long.name.of.a.metric.that.fills.buffers.soon", number, NOW)
        await deferLater(reactor, 0)
    assert MAX_QUEUED / 2 < len(graphite._queued) <= MAX_QUEUED
    began = reactor.seconds()
    ended: Deferred[Any] = graphite.stop()
    await ended
    assert reactor.seconds() - began < 10
    await carbon.end()
