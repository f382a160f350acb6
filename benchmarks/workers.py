"""Compares several API processes on one port with one. All may use all cores, because no core is reserved."""

from contextlib import ExitStack
from http.client import HTTPConnection

from benchmarks import api, checkout, cores, stock
from benchmarks.api import ApiService
from benchmarks.cores import Usage
from benchmarks.redis import RedisConnection
from benchmarks.rounds import MeasuredServer, Rounds, alternate, cpu, rate, ratio, refused, shown
from benchmarks.row import ResultRow
from benchmarks.scale import Scale
from benchmarks.wrk import RequestLoad
from tests.service.process import Service, processes

ONE = "one"

DEARER = 1.2
"""The target: CPU time of a request, at most this many times that with one process."""


class Crew(ApiService):
    """A service with several API processes, or with one."""

    def __init__(self, config: str, count: int = 0) -> None:
        super().__init__(config, f"--workers={count}")

    @property
    def workers(self) -> list[int]:
        """The ids of the API processes; of the only process if there are no workers."""
        return [pid for pid, line in processes(self.directory).items() if "--worker=" in line] or [self.pid]

    @property
    def pids(self) -> list[int]:
        """The ids of the API processes, and of the process that supervises them."""
        return [*{self.pid, *self.workers}]

    def start(self) -> None:
        """Start it, on all cores."""
        Service.start(self)
        for pid in self.pids:
            cores.release(pid)


def measure(scale: Scale) -> list[ResultRow]:
    """Return a row for each number of processes.

    Each service has its own Redis, so that a service without requests has no work.
    """
    counts = {str(count): count for count in scale.workers}
    load = RequestLoad("POST", f"/api/v1/vm/{stock.POOL}", scale.pools, scale.connections)
    with ExitStack() as there:
        books: dict[str, RedisConnection] = {}
        crews: dict[str, Crew] = {}
        for name, count in {ONE: 0, **counts}.items():
            socket, books[name] = there.enter_context(api.redis())
            crews[name] = there.enter_context(Crew(stock.config(socket, scale.pools), count))
        spreads = {name: spread(crew, scale.connections) for name, crew in crews.items()}
        servers: dict[str, MeasuredServer] = {**crews}
        loads = dict.fromkeys(crews, load)
        ready = checkout.enough(scale)
        rounds = alternate(servers, loads, scale, lambda name: stock.refill(books[name], scale.pools, ready))
    return [row(name, rounds, spreads[name]) for name in counts]


def spread(crew: Crew, connections: int) -> list[int]:
    """Open this number of connections, and return how many of them each process has."""
    workers = [Usage(pid) for pid in crew.workers]
    before = [usage.files for usage in workers]
    with ExitStack() as clients:
        for _ in range(connections):
            client = HTTPConnection("127.0.0.1", crew.port, timeout=30)
            clients.callback(client.close)
            client.request("GET", "/api/v1/vm")
            client.getresponse().read()
        return [usage.files - had for usage, had in zip(workers, before, strict=True)]


def row(name: str, rounds: Rounds, taken: list[int]) -> ResultRow:
    """Return the row of one number of processes."""
    lost = refused({name: rounds[name]})
    of_rate, of_cpu = ratio(rounds, name, ONE, rate), ratio(rounds, name, ONE, cpu)
    return ResultRow(
        f"{name} API processes, beside one",
        f"{shown(rounds[name])}, {lost} refused, connections {' + '.join(map(str, taken))}",
        shown(rounds[ONE]),
        f"rate x {of_rate:.2f}, CPU x {of_cpu:.2f}",
        f"no refusal, all have connections, CPU at most x {DEARER:g}",
        not lost and min(taken) > 0 and of_cpu <= DEARER,
        {"rate": of_rate, "cpu": of_cpu, "refused": lost, "least": min(taken)},
    )
