"""Kind 2: writes that Redis lost after it had answered, other than by a failover of a sentinel."""

import os
import resource
import signal
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from tests.cases.case import case
from tests.cases.evidence import no_client_gets, still_had
from tests.cases.world import (
    AFTER_GRACE,
    EMBEDDED,
    GRACE,
    POOL,
    CaseWorld,
    books,
    config,
    full,
    hold,
    log_in,
    on,
    take,
    taken,
)
from tests.redis_server import RedisServer
from tests.service.process import Service, processes, until
from tests.verification.chaos.redis_reader import RedisReader

RUNS = 2


def redis_of(service: Service) -> int:
    """Return the process id of an embedded Redis."""
    (pid,) = [pid for pid, line in processes(service.directory).items() if "redis-server" in line]
    return pid


def written(service: Service) -> int:
    """Return the size of the largest file that Redis writes: its append-only file."""
    files = [path for path in (service.directory / ".vmpooler").rglob("*") if path.is_file() and ".aof" in path.name]
    return max((path.stat().st_size for path in files), default=0)


def fill(service: Service) -> None:
    """From now on, keep the files of Redis from growing, as on a full disk. A write fails with EFBIG instead of
    ENOSPC."""
    pid, size = redis_of(service), written(service)
    _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, most))


@case("2a", "embedded Redis: the disk fills, the process is killed", "2 of 2 checkouts are given to a second client")
def a_full_disk(world: CaseWorld) -> str:
    answered = 0
    for number in range(RUNS):
        service = world.service(f"all-{number}", config(EMBEDDED, [{"name": POOL, "size": 2}]))
        service.start()
        full(books(service), 2)
        token = log_in(service)
        time.sleep(1)
        fill(service)
        held = [vm for vm in [taken(service, token)] if vm]
        answered += len(held)
        with suppress(ValueError):  # Redis may have ended by itself, because it could not write
            os.kill(redis_of(service), signal.SIGKILL)
        until(partial(books_answer, service), "Redis is started again", 30)
        no_client_gets(service, held, 12, tries=2)
        still_had(service, books(service), held)
        service.kill()
    return f"{answered} of {RUNS} were answered 200, and none was given twice"


def books_answer(service: Service) -> bool:
    """Whether the Redis of a service answers."""
    try:
        return bool(books(service).ask(("PING",)))
    except OSError:
        return False


def started_again(redis: RedisServer, *, empty: bool) -> None:
    """Kill Redis and start it with its last save, or empty."""
    redis.kill()
    if empty:
        (Path(redis.socket).parent / "dump.rdb").unlink()
    redis.start()


@case("2b", "a Redis without append-only file is killed and starts again", "3 of 3 are given to a second client")
def without_file(world: CaseWorld) -> str:
    return _forgotten(world, empty=False)


@case("2b-empty", "a Redis that kept nothing is killed and starts empty", "the VMs in use are destroyed, or flagged")
def without_anything(world: CaseWorld) -> str:
    return _forgotten(world, empty=True)


def _forgotten(world: CaseWorld, *, empty: bool) -> str:
    redis = world.redis()
    service = world.service("all", config(on(redis), [{"name": POOL, "size": 3}]))
    service.start()
    of = RedisReader(redis.socket)
    full(of, 3)
    token = log_in(service)
    of.ask(("SAVE",))
    held = [take(service, token) for _ in range(3)]
    started_again(redis, empty=empty)
    given = no_client_gets(service, held, 10, tries=4)
    time.sleep(GRACE * 60 + AFTER_GRACE)
    still_had(service, of, held)
    hold(given or empty, "nothing was given for ten seconds")
    return f"3 of 3 kept, {given} others were given"
