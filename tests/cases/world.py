"""The processes of one case, in a folder that is removed at the end."""

import json
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.host_clock import HostClock
from tests.ports import free_port
from tests.redis_server import RedisServer
from tests.service.process import TWISTD, Answer, Service, until
from tests.vcsim.listener import Listener
from tests.vcsim.simulator import PASSWORD, USER, Simulator, binary
from tests.vcsim.vcenter import Vcenter
from tests.verification.chaos.reaper import Reaper
from tests.verification.chaos.redis_reader import RedisReader
from vmpooler.domain.events import Event, What
from vmpooler.domain.model import Queue
from vmpooler.store import keys

POOL = "debian-12"
"""The pool of a case that needs only one."""

GRACE = 0.05
"""Minutes after which an unknown or missing VM is acted on: three seconds."""

AFTER_GRACE = 9.0
"""Seconds within which a round runs after the grace is over."""

TEMPLATE = "templates/base"
ID_STEP = 20
"""Distance between the ids of two VMs that come back: more than the ids that a clone uses."""

FULL = 40.0
"""Seconds that a pool may take to be full."""


class CaseWorld:
    """The processes of one case. ``twistd`` is the program of the service."""

    def __init__(self, twistd: Path = TWISTD) -> None:
        self.twistd = twistd
        self.home = Path(tempfile.mkdtemp(prefix="vmpooler-case-")).resolve()
        self._ends = ExitStack()
        self._ends.callback(Reaper(self.home).end)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._ends.close()

    def clock(self, name: str, ahead: int = 0) -> HostClock:
        """Return a clock for some of the processes, this many seconds ahead of the machine's clock.

        These processes cannot have an embedded Redis, because it waits with ``time.sleep``: libfaketime 0.9.10 shifts
        the end of such a wait, and it fails.
        """
        home = self.home / f"clock-of-{name}"
        home.mkdir()
        clock = HostClock(home)
        clock.set(ahead)
        return clock

    def redis(self, *options: str, clock: HostClock | None = None, started: bool = True) -> RedisServer:
        """Return a separate Redis."""
        home = self.home / "redis"
        home.mkdir()
        server = RedisServer(*options, home=home, environ=clock.environ if clock else None)
        if started:
            server.start()
        return server

    def service(self, name: str, config: str, *options: str, clock: HostClock | None = None) -> Service:
        """Return a service in the folder of that name, not yet started."""
        environ = clock.environ if clock else None
        return Service(config, *options, directory=self.home / name, twistd=self.twistd, environ=environ)

    def listener(self, port: int) -> Listener:
        """Return the listener that answers probes on a port of every guest. It ends with the case, or before."""
        return self._ends.enter_context(Listener(port))

    def vcenter(self, *folders: str, boot: str = "200ms") -> Simulator:
        """Start a simulated vCenter with a template and these folders. It saves its VMs."""
        binary()
        kept = self.home / "vcenter"
        kept.mkdir()
        simulator = Simulator(boot=boot, kept=kept)
        simulator.start()
        self._ends.callback(simulator.remove)
        with closing(Vcenter(simulator)) as vcenter:
            vcenter.prepare(TEMPLATE, *folders)
        return simulator


def config(
    redis: Mapping[str, Any],
    pools: Sequence[Mapping[str, Any]],
    *,
    hypervisor: Mapping[str, Any] | None = None,
    **general: Any,
) -> str:
    """Return a configuration with the simulated hypervisor, whose VMs are in the file ``vms``. ``hypervisor`` adds
    settings to the hypervisor, ``general`` to the section ``config``."""
    sections = {
        "config": {"prefix": "vm-", "discovered_grace": GRACE, **general},
        "auth": {"provider": "dummy"},
        "redis": redis,
        "providers": {"dummy": {"filename": "vms", **(hypervisor or {})}},
        "pools": pools,
    }
    return json.dumps(sections)


EMBEDDED: Mapping[str, Any] = {"server": "embedded"}


def on(redis: RedisServer) -> Mapping[str, Any]:
    """Return the section ``redis`` for a separate Redis."""
    return {"socket": redis.socket}


def on_vcenter(url: str, pools: Sequence[Mapping[str, Any]], probe_port: int, **general: Any) -> str:
    """Return a configuration with a simulated vCenter and an embedded Redis."""
    server = {"provider_class": "vsphere", "server": url, "username": USER, "password": PASSWORD, "timeout": 5}
    own = {"provider": "vcenter", "template": TEMPLATE, "probe_port": probe_port, "create_linked_clone": False}
    known = json.loads(config(EMBEDDED, [{**own, **pool} for pool in pools], clone_target="DC0_C0", **general))
    return json.dumps({**known, "providers": {"vcenter": server}})


def served_by_vcenter(
    world: CaseWorld, size: int, boot: str = "200ms", **general: Any
) -> tuple[Service, Simulator, int]:
    """Start a service with a pool of that size on a simulated vCenter. Returns the service, the vCenter and the probed
    port."""
    port = probe_port()
    world.listener(port)
    vcenter = world.vcenter(f"pools/{POOL}", boot=boot)
    service = world.service("all", on_vcenter(vcenter.url, [pool_on_vcenter(size)], port, **general))
    service.start()
    return service, vcenter, port


def pool_on_vcenter(size: int) -> dict[str, Any]:
    """Return that pool's configuration."""
    return {"name": POOL, "size": size, "folder": f"pools/{POOL}"}


def ask(service: Service, method: str, path: str, body: Any = None, token: str = "", seconds: float = 20.0) -> Answer:
    """Send one request to the API. Raises OSError when no process listens, or no response arrives in time."""
    headers = {"X-AUTH-TOKEN": token} if token else {}
    with closing(HTTPConnection("127.0.0.1", service.port, timeout=seconds)) as connection:
        connection.request(method, f"/api/v1{path}", json.dumps(body).encode() if body else b"", headers)
        reply = connection.getresponse()
        return Answer(reply.status, json.loads(reply.read()))


def log_in(service: Service, user: str = "ann") -> str:
    """Return a token of that user."""
    with closing(HTTPConnection("127.0.0.1", service.port, timeout=20)) as connection:
        known = b64encode(f"{user}:secret".encode()).decode()
        connection.request("POST", "/api/v1/token", headers={"Authorization": f"Basic {known}"})
        return str(json.loads(connection.getresponse().read())["token"])


def take(service: Service, token: str = "", pool: str = POOL) -> str:
    """Return a VM. Retries until one is given."""
    return until(lambda: taken(service, token, pool), f"a VM of {pool} is given", FULL)


def taken(service: Service, token: str = "", pool: str = POOL) -> str:
    """Request a VM. Returns the empty string when none is given."""
    try:
        answer = ask(service, "POST", f"/vm/{pool}", token=token)
    except OSError:
        return ""
    return str(answer.body[pool]["hostname"]) if answer.status == 200 else ""


def books(service: Service) -> RedisReader:
    """Return a reader of the service's embedded Redis."""
    return RedisReader(str(service.redis_socket))


def members(of: RedisReader, queue: Queue, pool: str = POOL) -> set[str]:
    """Return the VMs of a queue; none while Redis is away."""
    try:
        return set(of.ask(("SMEMBERS", keys.queue(queue, pool)))[0])
    except OSError:
        return set()


def full(of: RedisReader, size: int, pool: str = POOL) -> set[str]:
    """Wait until this many VMs are ready and none is pending. Returns the ready VMs."""

    def ready() -> set[str] | None:
        found = members(of, Queue.READY, pool)
        return found if len(found) == size and not members(of, Queue.PENDING, pool) else None

    return until(ready, f"{pool} is full", FULL)


def there(service: Service) -> set[str]:
    """Return the VMs of the simulated hypervisor that are neither destroyed nor being destroyed."""
    vms = json.loads((service.directory / "vms").read_text())["vms"]
    return {vm["name"] for vm in vms if vm["gone"] is None}


def events_of(of: RedisReader, vms: Iterable[str], *what: What) -> list[Event]:
    """Return the events of these kinds for some VMs."""
    names = set(vms)
    return [event for event in of.events() if event.vm in names and event.what in what]


def hold(good: object, wrong: str) -> None:
    """Raise AssertionError with ``wrong`` unless ``good`` is true."""
    if not good:
        raise AssertionError(wrong)


def shown(vms: Iterable[str]) -> str:
    """Format VM names: at most three."""
    names = sorted(vms)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "none"


def comes(condition: Callable[[], object], seconds: float) -> float | None:
    """Return after how many seconds the condition was true; None when it was not in time. While a service is away it
    retries."""
    began = time.monotonic()
    while (now := time.monotonic() - began) < seconds:
        try:
            if condition():
                return now
        except OSError:
            pass
        time.sleep(0.05)
    return None


@contextmanager
def without(simulator: Simulator, gone: Callable[[str], bool]) -> Iterator[None]:
    """Remove these VMs from the vCenter during the block, then add them again under other ids. The same happens when
    their host leaves and joins again."""
    simulator.kill()
    known = json.loads(simulator.memory.read_text())
    away = [vm for vm in known["VMs"] if gone(vm["Name"])]
    simulator.memory.write_text(json.dumps({**known, "VMs": [vm for vm in known["VMs"] if vm not in away]}))
    simulator.start()
    yield
    simulator.kill()
    known = json.loads(simulator.memory.read_text())
    free = max(int(vm["ID"].rpartition("-")[2]) for vm in [*known["VMs"], *away]) + ID_STEP
    back = [{**vm, "ID": f"vm-{free + number * ID_STEP}"} for number, vm in enumerate(away)]
    simulator.memory.write_text(json.dumps({**known, "VMs": [*known["VMs"], *back]}))
    simulator.start()


def of_vcenter(simulator: Simulator, pool: str = POOL) -> set[str]:
    """Return the VMs in a pool's folder."""
    with closing(Vcenter(simulator)) as vcenter:
        return set(vcenter.names(f"pools/{pool}"))


def probe_port() -> int:
    """Return a port on which guests are probed."""
    return free_port()
