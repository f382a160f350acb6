"""All the processes: Redis, the simulated vCenter, APIs and managers, and a proxy between them."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.host_clock import HostClock
from tests.ports import free_port
from tests.redis_server import RedisServer
from tests.service.process import Service, until
from tests.vcsim.listener import Listener
from tests.vcsim.simulator import PASSWORD, USER, Simulator, binary
from tests.vcsim.vcenter import Vcenter
from tests.verification.chaos.proxy import HOST, TcpProxy
from tests.verification.chaos.reaper import Reaper

SIZES = {"debian-12": 20, "ubuntu-24": 14, "windows-11": 8}
"""The pools; the first two also have the alias ``linux``."""

EXTRA_SIZE = 4

VARIANTS: Mapping[str, Mapping[str, str]] = {
    "as at first": {"fedora-40": "fedora"},
    "without": {},
    "renamed": {"fedora-41": "fedora"},
}
"""Further pools of the configuration in a world where pools come and go, by variant: pool -> folder."""

EXTRA = sorted({pool for extra in VARIANTS.values() for pool in extra})

NAMES = {**{pool: (pool,) for pool in SIZES}, "linux": ("debian-12", "ubuntu-24")}
"""The names that clients ask for, and the pools that serve them."""

TASK_LIMIT = 10
LIFETIME = 0.01
GRACE = 0.08
"""Hours that a VM lives, and minutes after which an unknown VM is acted on."""

FOREIGN = "foreign"
"""A VM in the first pool's folder that the service did not make."""

CLONE_TIME = "CloneVM_Task:100"

TEMPLATE = "templates/base"

PATIENCE = 40.0
"""Seconds that a process may take to start on a busy machine."""


class ChaosCluster:
    """The processes, in a folder that is removed at the end. As a context manager, it starts them on entry.

    ``forgets``: Redis loses writes; ``changes``: pools come and go; ``clocks_differ``: each process has its own clock,
    in ``clocks``.
    """

    def __init__(
        self,
        apis: int = 3,
        managers: int = 2,
        *,
        forgets: bool = False,
        changes: bool = False,
        clocks_differ: bool = False,
    ) -> None:
        self.forgets, self._changes, self._clocks_differ = forgets, changes, clocks_differ
        self.clocks: dict[str, HostClock] = {}
        self.variant = next(iter(VARIANTS))
        self._copies = count()
        self.home = Path(tempfile.mkdtemp(prefix="vmpooler-chaos-")).resolve()
        self.redis_port, self.probe_port = free_port(), free_port()
        binary()
        # Redis writes to its file before it answers, without fsync: the data survives the process, but not the machine.
        options = ("--appendonly", "yes", "--appendfsync", "no", "--port", str(self.redis_port))
        self.redis = RedisServer(*options, home=self._folder("redis"))
        self.vcenter = Simulator(kept=self._folder("vcenter"))
        self.api_names = [f"api-{number}" for number in range(apis)]
        self.manager_names = [f"manager-{number}" for number in range(managers)]
        self.services: dict[str, Service] = {}
        self._ends = ExitStack()

    @property
    def pools(self) -> list[str]:
        """All pools that exist at one time or another."""
        return [*SIZES, *(EXTRA if self._changes else ())]

    @property
    def sizes(self) -> dict[str, int]:
        """The pools of the current configuration, and their sizes."""
        extra = VARIANTS[self.variant] if self._changes else {}
        return {**SIZES, **dict.fromkeys(extra, EXTRA_SIZE)}

    @property
    def apis(self) -> list[Service]:
        return [self.services[name] for name in self.api_names]

    def __enter__(self) -> Self:
        self._ends.callback(Reaper(self.home).end)
        try:
            self._start()
        except BaseException:
            self._ends.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._ends.close()

    def _start(self) -> None:
        self._ends.enter_context(Listener(self.probe_port))
        self.redis.start()
        self.start_vcenter()
        self.furnish()
        names = [*self.api_names, *self.manager_names]
        routes = {f"redis-{name}": self.redis_port for name in names}
        # One route for all: managers treat a vCenter with two addresses as two places.
        routes |= {"vcenter-all": self.vcenter.port}
        self.proxy = TcpProxy(routes, self.home)
        for name in names:
            role = name.partition("-")[0]
            if self._clocks_differ:
                self.clocks[name] = HostClock(self._folder(f"clock-of-{name}"))
            environ = self.clocks[name].environ if self._clocks_differ else None
            service = Service(self._config(name), f"--role={role}", directory=self.home / name, environ=environ)
            self.services[name] = service
            service.launch()
        for name in names:
            self._up(name, 0)

    def _up(self, name: str, said: int) -> None:
        """Wait until a process is up, according to its log after this many characters."""
        sign = "get a VM:" if name in self.api_names else "role manager"
        until(lambda: sign in self.services[name].said[said:], f"{name} starts", PATIENCE)

    def reconfigure(self, variant: str) -> None:
        """Stop and start every process with other pools, one after the other."""
        self.variant = variant
        for name, service in self.services.items():
            (service.directory / "vmpooler.yaml").write_text(self._config(name))
            service.stop()
            said = len(service.said)
            service.launch()
            self._up(name, said)

    def copy_of_redis(self) -> Path:
        """Copy the current files of Redis."""
        copy = self._folder(f"copy-{next(self._copies)}")
        for path in self._redis_files():
            target = copy / path.relative_to(self.home / "redis")
            target.parent.mkdir(exist_ok=True, parents=True)
            shutil.copy(path, target)
        return copy

    def bring_back(self, copy: Path) -> None:
        """Replace the files of Redis with the copy. Redis must not run."""
        for path in self._redis_files():
            path.unlink()
        shutil.copytree(copy, self.home / "redis", dirs_exist_ok=True)

    def _redis_files(self) -> list[Path]:
        return [path for path in (self.home / "redis").rglob("*") if path.is_file() and "appendonly" in path.name]

    def start_vcenter(self) -> None:
        """Start the vCenter with the VMs that it had saved."""
        self.vcenter.start()
        self.vcenter.control(delay=CLONE_TIME)

    def furnish(self) -> None:
        """Create the template and the folders at an empty vCenter."""
        with closing(Vcenter(self.vcenter)) as vcenter:
            vcenter.prepare(TEMPLATE, *(f"pools/{folder}" for folder in self._folders))

    def add_foreign(self) -> bool:
        """Create the foreign VM unless it exists. The folder must not be empty: a foreign VM alone would trigger the
        mass guard. Returns whether the VM exists now."""
        folder = f"pools/{next(iter(SIZES))}"
        with closing(Vcenter(self.vcenter)) as vcenter:
            names = vcenter.names(folder)
            if names and FOREIGN not in names:
                vcenter.make(TEMPLATE, folder, FOREIGN)
            return bool(names)

    def routes(self, to: str) -> list[str]:
        """Return the routes through the proxy to ``redis`` or ``vcenter``."""
        return [name for name in self.proxy.ports if name.startswith(f"{to}-")]

    def inventory(self) -> dict[str, list[int]]:
        """Return the VMs in the pools' folders, and the GB of the disks of each, without the first disk."""
        with closing(Vcenter(self.vcenter)) as vcenter:
            return dict(self._listed(vcenter))

    @property
    def _folders(self) -> list[str]:
        extra = {folder for variant in VARIANTS.values() for folder in variant.values()}
        return [*SIZES, *(sorted(extra) if self._changes else ())]

    def _listed(self, vcenter: Vcenter) -> Iterator[tuple[str, list[int]]]:
        for folder in self._folders:
            for name in vcenter.names(f"pools/{folder}"):
                yield name, vcenter.disks(f"pools/{folder}/{name}")

    def _folder(self, name: str) -> Path:
        folder = self.home / name
        folder.mkdir()
        return folder

    def _config(self, name: str) -> str:
        ports = self.proxy.ports
        general = {"prefix": "vm-", "task_limit": TASK_LIMIT, "discovered_grace": GRACE, "vm_lifetime": LIFETIME}
        server = f"http://{HOST}:{ports['vcenter-all']}"
        vcenter = {"provider_class": "vsphere", "server": server, "username": USER, "password": PASSWORD, "timeout": 5}
        own = {"provider": "vcenter", "template": TEMPLATE, "probe_port": self.probe_port, "create_linked_clone": False}
        pools: list[dict[str, Any]] = [
            {"name": pool, "size": size, "folder": f"pools/{pool}", **own, "alias": self._aliases(pool)}
            for pool, size in SIZES.items()
        ]
        extra = VARIANTS[self.variant] if self._changes else {}
        pools += [{"name": pool, "size": EXTRA_SIZE, "folder": f"pools/{at}", **own} for pool, at in extra.items()]
        sections = {
            "config": {**general, "vm_checktime": 0.05, "events_max": 10_000_000, "clone_target": "DC0_C0"},
            "auth": {"provider": "dummy"},
            "redis": {"server": HOST, "port": ports[f"redis-{name}"]},
            "providers": {"vcenter": vcenter},
            "pools": pools,
        }
        return json.dumps(sections)  # JSON is valid YAML

    @staticmethod
    def _aliases(pool: str) -> list[str]:
        return [name for name, pools in NAMES.items() if pool in pools and name != pool]
