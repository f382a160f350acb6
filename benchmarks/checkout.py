"""Measures a checkout of one VM over HTTP, and compares it with minimal servers.

Note [What is ready]

A round takes tens of thousands of VMs, and no request may be refused, because a refusal is quicker than a checkout.
Before each round, Redis is therefore emptied, and the ready queues of many pools are filled again. Many pools are used
because Redis searches a set for a member from one end. A single large set that is emptied from that end costs Redis
more than a pool that is refilled.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import attrs

from benchmarks import api, floor, redis, stock
from benchmarks.api import ApiService
from benchmarks.floor import Floor
from benchmarks.redis import RedisConnection
from benchmarks.rounds import MeasuredServer, Rounds, alternate, compared, middle, rate, ratio
from benchmarks.row import ResultRow, absent
from benchmarks.scale import Scale
from benchmarks.wrk import RequestLoad

FASTEST = 16_000
"""The highest rate, in checkouts a second, for which a round has enough VMs."""

WHAT, LATENCY = "checkout of one VM", "its latency at half that load (p99)"

OF_BARE, OF_KLEIN, OF_LATENCY = 0.5, 2.5, 5.0


@attrs.frozen
class CheckoutServers:
    """The three servers, and the command that the service sends to Redis for a checkout from the first pool."""

    ours: ApiService
    bare: Floor
    klein: Floor
    command: Sequence[bytes]
    socket: str
    redis: RedisConnection
    pools: int
    ready: int

    def refill(self, name: str = "") -> None:
        """Fill every pool with ready VMs, and remove all other VMs."""
        stock.refill(self.redis, self.pools, self.ready)


@contextmanager
def running(scale: Scale) -> Iterator[CheckoutServers]:
    """Run the service, the servers that it is compared with, and their Redis."""
    ready = enough(scale)
    with api.redis() as (socket, connection), ApiService(stock.config(socket, scale.pools)) as ours:
        stock.refill(connection, scale.pools, ready)
        answer = ours.asked("POST", f"/api/v1/vm/{stock.pool(0)}")
        command = captured(socket, ours)
        sha, count = command[1].decode(), int(command[2])
        words = [each.decode() for each in command[3:]]
        script = {"path": socket, "sha": sha, "keys": words[:count], "args": words[count:], "pool": stock.pool(0)}
        with floor.bare(answer.body, answer.headers) as bare, Floor("klein", script) as klein:
            yield CheckoutServers(ours, bare, klein, command, socket, connection, scale.pools, ready)


def enough(scale: Scale) -> int:
    """Return how many VMs of each pool are enough for one round."""
    return max(20, scale.seconds * FASTEST // scale.pools)


def captured(socket: str, ours: ApiService) -> list[bytes]:
    """Return the one command that the service sends to Redis for a checkout."""
    pool = stock.pool(0).encode()
    with RedisConnection(socket) as listening:
        commands = map(redis.words, listening.watch())
        ours.asked("POST", f"/api/v1/vm/{stock.pool(0)}")
        return next(each for each in commands if each[0].upper() == b"EVALSHA" and any(pool in word for word in each))


def measure(scale: Scale) -> list[ResultRow]:
    """Return the rows of the table."""
    load = RequestLoad("POST", f"/api/v1/vm/{stock.POOL}", scale.pools, scale.connections)
    with running(scale) as there:
        servers: dict[str, MeasuredServer] = {"ours": there.ours, "bare": there.bare, "klein": there.klein}
        rounds = alternate(servers, dict.fromkeys(servers, load), scale, there.refill)
        calm = alternate(servers, at_half(rounds, load), scale, there.refill)
        return [
            compared(rounds, "bare", f"{WHAT}, beside a bare resource", OF_BARE),
            compared(rounds, "klein", f"{WHAT}, beside a plain klein route", OF_KLEIN),
            script(there, scale),
            latency(calm),
        ]


def at_half(rounds: Rounds, load: RequestLoad) -> dict[str, RequestLoad]:
    """Return loads under which the service and the bare resource answer at half the highest rate of the service."""
    cycle = 2000 * load.connections / middle(rounds["ours"], rate)
    busy = middle(rounds["ours"], lambda run: run.p50) / 4
    return {
        "ours": attrs.evolve(load, pause=max(1, round(cycle - busy))),
        "bare": attrs.evolve(load, pause=round(cycle)),
    }


def script(there: CheckoutServers, scale: Scale) -> ResultRow:
    """Measure how many checkout scripts a second Redis can run."""
    what = f"{WHAT}: its script alone"
    if not redis.has_tool():
        return absent(what, "", f"needs {redis.TOOL}")
    there.refill()
    first = stock.pool(0).encode()
    random = first.replace(b"%012d" % 0, b"__rand_int__")
    command = [word.replace(first, random) for word in there.command]
    found = redis.rate(there.socket, command, there.pools * there.ready // 2, scale.connections, scale.pools)
    return ResultRow(what, "", f"{found:,.0f}/s", figures={"a second": found})


def latency(calm: Rounds) -> ResultRow:
    """Return the row for the latency of a checkout at half load."""
    of_p99 = ratio(calm, "ours", "bare", lambda run: run.p99)

    def latencies(name: str) -> str:
        p50, p99 = middle(calm[name], lambda run: run.p50), middle(calm[name], lambda run: run.p99)
        return f"{p99:.1f} ms (p50 {p50:.1f}) at {middle(calm[name], rate):,.0f}/s"

    asked = f"below x {OF_LATENCY:g}"
    return ResultRow(
        LATENCY, latencies("ours"), latencies("bare"), f"x {of_p99:.1f}", asked, of_p99 < OF_LATENCY, {"p99": of_p99}
    )
