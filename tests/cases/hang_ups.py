"""Kind 5: a client that gives up while the API hangs."""

import signal
import socket
import time

from tests.cases.case import case
from tests.cases.world import POOL, CaseWorld, comes, config, events_of, full, hold, members, on, take
from tests.verification.chaos.redis_reader import RedisReader
from vmpooler.domain.events import What
from vmpooler.domain.model import Queue

RUNS = 10
SENT = 0.15
"""Seconds within which the API has sent its script."""

STOPPED = 2.0
"""Seconds that the API hangs. The client gives up a moment after the hang starts."""


@case(
    "5",
    "the API hangs 2 s before it reads Redis's reply, its client gives up",
    "9 of 10 VMs stay running without a client",
)
def gave_up(world: CaseWorld) -> str:
    redis = world.redis()
    document = config(on(redis), [{"name": POOL, "size": 4}])
    api, manager = (world.service(role, document, f"--role={role}") for role in ("api", "manager"))
    api.start()
    manager.start()
    of = RedisReader(redis.socket)
    full(of, 4)
    kept = {take(api)}  # from then on Redis has the script loaded
    assert api.process is not None
    for _ in range(RUNS):
        comes(lambda: len(members(of, Queue.READY)) == 4, 10)
        redis.freeze()
        with socket.create_connection(("127.0.0.1", api.port)) as client:
            client.sendall(f"POST /api/v1/vm/{POOL} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
            time.sleep(SENT)
            api.process.send_signal(signal.SIGSTOP)
            redis.thaw()
            time.sleep(SENT)
        time.sleep(STOPPED)
        api.process.send_signal(signal.SIGCONT)
    full(of, 4)
    took = comes(lambda: members(of, Queue.RUNNING) == kept, 15)
    vms = {event.vm for event in of.events()} - kept
    given, back = (len(events_of(of, vms, what)) for what in (What.CHECKOUT, What.RETURNED))
    hold(given, "no VM was checked out: this run shows nothing")
    left = len(members(of, Queue.RUNNING) - kept)
    hold(took is not None, f"{left} of {given} run without a client")
    return f"{back} of {given} went back"
