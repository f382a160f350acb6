"""A connection that finds the primary through sentinels."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import pytest
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.redis_group import NAME, GroupServer, RedisGroup
from vmpooler.domain.errors import StoreAway
from vmpooler.settings import Redis
from vmpooler.store.redis.client import Connection

clock: Any = reactor


@pytest.fixture(scope="module")
def disunited() -> Iterator[list[GroupServer]]:
    """Two primaries, each with a sentinel that names it. The second sentinel has the newer configuration."""
    home = Path(tempfile.mkdtemp(prefix="vmpooler-test-"))
    primaries = [GroupServer(home), GroupServer(home)]
    sentinels = [GroupServer(home, "--sentinel"), GroupServer(home, "--sentinel")]
    try:
        for epoch, (primary, sentinel) in enumerate(zip(primaries, sentinels, strict=True), start=3):
            primary.start()
            named = f"sentinel monitor {NAME} 127.0.0.1 {primary.port} 1\nsentinel config-epoch {NAME} {epoch}\n"
            sentinel.start(named)
        yield [*primaries, *sentinels]
    finally:
        for server in (*primaries, *sentinels):
            server.kill()
        shutil.rmtree(home)


def watched_by(*sentinels: GroupServer, **settings: Any) -> Redis:
    places = tuple(f"127.0.0.1:{sentinel.port}" for sentinel in sentinels)
    return Redis(**{"sentinels": places, "sentinel_master": NAME, **settings})


def clients_of(server: GroupServer) -> int:
    """Return the number of connections that the server has."""
    return len(str(server.says("CLIENT", "LIST")).splitlines())


async def port(connection: Connection) -> int:
    _, port = await connection.call("CONFIG", "GET", "port")
    return int(port)


async def leads_to(server: GroupServer, settings: Redis) -> None:
    """Return when the sentinels have led a connection to this server."""
    connection = Connection(settings, reactor, size=1, quiet=True)
    connection.start()
    found = 0
    while found != server.port:
        await deferLater(clock, 0.01)
        with suppress(StoreAway):
            found = await port(connection)
    await connection.close()


async def test_the_newest_of_several_answers_is_believed(disunited: list[GroupServer]) -> None:
    old, new, one, other = disunited
    await leads_to(old, watched_by(one))
    await leads_to(new, watched_by(one, other))
    await leads_to(new, watched_by(other, one))


async def test_a_sentinel_that_is_away_is_done_without(disunited: list[GroupServer]) -> None:
    old, _, one, _ = disunited
    nowhere = ("127.0.0.1:1", *watched_by(one).sentinels)
    await leads_to(old, attrs.evolve(watched_by(one), sentinels=nowhere))


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"sentinel_master": "other"}, "other .*No such master"),
        ({"sentinels": ("127.0.0.1:1",)}, "pooler .*127.0.0.1:1: .*refused"),
        ({"sentinel_password": "wrong"}, "pooler .*AUTH <password>"),
    ],
)
async def test_why_no_sentinel_answers_is_reported(
    disunited: list[GroupServer], settings: dict[str, Any], why: str
) -> None:
    connection = Connection(watched_by(disunited[2], **settings), reactor, quiet=True)
    connection.start()
    with pytest.raises(StoreAway, match=f"no sentinel returns the address of {why}"):
        await connection.wait_ready(1)
    await connection.close()


async def test_a_connection_that_is_closed_while_sentinels_are_asked_stays_closed(disunited: list[GroupServer]) -> None:
    """One sentinel has answered and the other has not: the attempt ends though it knows a primary."""
    old, _, one, other = disunited
    before = clients_of(old)
    connection = Connection(watched_by(one, other), reactor, quiet=True)
    connection.start()
    await connection.wait_ready(10)
    other.freeze()
    for wire in list(connection._wires.pool):
        wire.cut("to connect again")
    await deferLater(clock, 0.5)  # the wires connect again after 0.1 s, and wait for the second sentinel
    await connection.close()
    other.thaw()
    await deferLater(clock, 0.1)
    assert clients_of(old) == before


async def test_a_server_that_is_no_primary_is_not_spoken_to(disunited: list[GroupServer]) -> None:
    old, _, one, _ = disunited
    old.says("REPLICAOF", "127.0.0.1", "1")
    connection = Connection(watched_by(one), reactor, quiet=True)
    connection.start()
    with pytest.raises(StoreAway, match="it is a replica"):
        await connection.wait_ready(1)
    old.says("REPLICAOF", "NO", "ONE")
    await connection.wait_ready(10)
    await connection.close()


async def test_connections_leave_a_primary_that_lives_when_a_newer_one_is_known(disunited: list[GroupServer]) -> None:
    old, new, one, other = disunited
    other.freeze()
    connection = Connection(watched_by(one, other), reactor, quiet=True)
    connection.start()
    await connection.wait_ready(10)
    assert await port(connection) == old.port
    other.thaw()
    await leads_to(new, watched_by(one, other))
    found = 0
    for _ in range(500):
        with suppress(StoreAway):
            found = await port(connection)
        if found == new.port:
            break
        await deferLater(clock, 0.01)
    assert found == new.port
    await connection.close()


@pytest.mark.limit(60)
async def test_all_wires_follow_when_the_primary_changes_though_the_old_one_lives() -> None:
    group = RedisGroup()
    try:
        await deferToThread(group.start)
        connection = Connection(group.settings, reactor, quiet=True)
        connection.start()
        await connection.wait_ready(10)
        assert await port(connection) == group.primary.port
        group.sentinels[0].says("SENTINEL", "FAILOVER", NAME)
        found = group.primary.port
        while found == group.primary.port:
            await deferLater(clock, 0.05)
            with suppress(StoreAway):
                found = await port(connection)
        assert found == group.replica.port
        await connection.wait_ready(10)
        assert {await port(connection) for _ in range(9)} == {found}
        await connection.close()
    finally:
        group.remove()
