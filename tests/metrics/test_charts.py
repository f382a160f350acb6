"""History from Graphite, read over HTTP from a server that imitates Graphite."""

from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import LogEvent, formatEvent
from twisted.web.http import Request
from twisted.web.server import NOT_DONE_YET

from tests.metrics.render import Answering, Render
from vmpooler.domain.graphite import NOTHING
from vmpooler.metrics.charts import CACHE_SECONDS, LARGEST, TIMEOUT, Charts
from vmpooler.settings import Graphs

FOUND = {"ready": {"debian": [[4.0, 60], [None, 120]]}, "running": {}}


class Later:
    """The reactor, with a clock that a test can set ahead by ``ahead`` seconds."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def seconds(self) -> float:
        return float(reactor.seconds()) + self.ahead

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)


def lines(logged: list[LogEvent]) -> list[str]:
    return [text for event in logged if "Graphite" in (text := formatEvent(event))]


async def test_graphite_is_asked_once_a_minute_for_each_range(render: Render) -> None:
    clock = Later()
    memory = render.charts(clock)
    assert await memory.read("24h", 96) == FOUND
    assert await memory.read("24h", 96) == FOUND
    assert render.asked == [
        {
            b"target": [b"lab.ready.*", b"lab.ready.*.*", b"lab.running.*", b"lab.running.*.*"],
            b"from": [b"-24h"],
            b"format": [b"json"],
            b"maxDataPoints": [b"192"],
        }
    ]
    await memory.read("24h", 1440, "debian")
    assert render.asked[-1][b"target"] == [b"lab.ready.debian", b"lab.running.debian"]
    await memory.read("1h", 60)
    clock.ahead = CACHE_SECONDS
    await memory.read("24h", 96)
    assert len(render.asked) == 4


def broken(request: Request) -> bytes:
    request.setResponseCode(500)
    return b"Traceback"


def huge(request: Request) -> bytes:
    return b"[" + b" " * (LARGEST + 1) + b"]"


def slow(request: Request) -> int:
    request.write(b"[")
    return NOT_DONE_YET


def cut(request: Request) -> int:
    request.setHeader("Content-Length", "100")
    request.write(b"[")
    request.loseConnection()
    return NOT_DONE_YET


@pytest.mark.parametrize(
    ("answering", "why"),
    [
        (broken, "it answered 500"),
        (huge, f"its answer is larger than {LARGEST} bytes"),
        (slow, "it took longer than 3 s"),
        (lambda request: NOT_DONE_YET, "it took longer than 3 s"),
        (cut, "its answer was cut off"),
        (lambda request: b"<html>", "Expecting value: line 1 column 1 (char 0)"),
    ],
)
async def test_trouble_there_is_logged_once_and_costs_no_more_than_a_moment_of_a_minute(
    render: Render, logged: list[LogEvent], answering: Answering, why: str
) -> None:
    clock = Later()
    well, render.answering = render.answering, answering
    memory = render.charts(clock)
    began = reactor.seconds()
    assert await memory.read("1h", 60) == NOTHING
    assert await memory.read("24h", 96) == NOTHING
    assert reactor.seconds() - began < TIMEOUT + 1
    assert len(render.asked) == 1
    clock.ahead = CACHE_SECONDS
    render.answering = well
    assert await memory.read("1h", 60) == FOUND
    where = f"Graphite at http://127.0.0.1:{render.port} returns"
    assert lines(logged) == [
        f"[!] {where} no history, charts show only our own: {why}",
        f"[*] {where} its history again",
    ]


async def test_a_client_that_hangs_up_says_nothing_of_graphite(render: Render, logged: list[LogEvent]) -> None:
    memory = render.charts()
    read = Deferred.fromCoroutine(memory.read("1h", 60))
    read.cancel()
    with pytest.raises(CancelledError):
        await read
    assert await memory.read("1h", 60) == FOUND
    assert lines(logged) == []


async def test_where_nobody_listens_there_is_no_history(logged: list[LogEvent]) -> None:
    memory = Charts(Graphs(server="127.0.0.1:1"), ["debian"], reactor)
    assert await memory.read("1h", 60) == NOTHING
    assert len(lines(logged)) == 1


@pytest.mark.parametrize("settings", [None, Graphs()])
async def test_without_a_server_nobody_is_asked(settings: Graphs | None, logged: list[LogEvent]) -> None:
    assert await Charts(settings, ["debian"], reactor).read("1h", 60) == NOTHING
    assert lines(logged) == []
