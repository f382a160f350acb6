"""All the processes: Redis, the simulated vCenter, API and managers, and a proxy between them."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.chaos.proxy import HOST, Proxy
from tests.chaos.undertaker import Undertaker
from tests.ports import free_port
from tests.redis_server import RedisServer
from tests.service.process import Service, until
from tests.vcsim.listener import Listener
from tests.vcsim.simulator import PASSWORD, USER, Simulator, binary
from tests.vcsim.vcenter import Vcenter

SIZES = {"debian-12": 20, "ubuntu-24": 14, "windows-11": 8}
"""The pools; the first two are also called ``linux``."""

NAMES = {**{pool: (pool,) for pool in SIZES}, "linux": ("debian-12", "ubuntu-24")}
"""What clients ask for, and the pools that serve it."""

TASK_LIMIT = 10
LIFETIME = 0.01
GRACE = 0.08
"""Hours that a VM lives, and minutes after which what is unknown is acted on."""

FOREIGN = "foreign"
"""A VM in the first pool's folder that the service did not make."""

CLONE_TIME = "CloneVM_Task:100"

TEMPLATE = "templates/base"

PATIENCE = 40.0
"""Seconds that a process may take to start on a busy machine."""


class Stage:
    """The processes, in a folder that is removed at the end. Used as a context manager, it is up when entered."""

    def __init__(self, apis: int = 3, managers: int = 2) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="vmpooler-chaos-")).resolve()
        self.redis_port, self.probe_port = free_port(), free_port()
        binary()
        # Redis writes before it answers, and waits for no disk: that outlives the process, if not the machine.
        options = ("--appendonly", "yes", "--appendfsync", "no", "--port", str(self.redis_port))
        self.redis = RedisServer(*options, home=self._folder("redis"))
        self.vcenter = Simulator(kept=self._folder("vcenter"))
        self.api_names = [f"api-{number}" for number in range(apis)]
        self.manager_names = [f"manager-{number}" for number in range(managers)]
        self.services: dict[str, Service] = {}
        self._ends = ExitStack()

    @property
    def apis(self) -> list[Service]:
        return [self.services[name] for name in self.api_names]

    def __enter__(self) -> Self:
        self._ends.callback(Undertaker(self.home).end)
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
        everybody = [*self.api_names, *self.manager_names]
        routes = {f"redis-{name}": self.redis_port for name in everybody}
        routes |= {f"vcenter-{name}": self.vcenter.port for name in self.manager_names}
        self.proxy = Proxy(routes, self.home)
        for name in everybody:
            role = name.partition("-")[0]
            self.services[name] = Service(self._config(name), f"--role={role}", directory=self.home / name)
            self.services[name].launch()
        for name in everybody:
            sign = "get a VM:" if name in self.api_names else "role manager"
            until(lambda name=name, sign=sign: sign in self.services[name].said, f"{name} starts", PATIENCE)  # type: ignore[misc]  # bound at once

    def start_vcenter(self) -> None:
        """Run the vCenter, with what it remembers."""
        self.vcenter.start()
        self.vcenter.control(delay=CLONE_TIME)

    def furnish(self) -> None:
        """Make the template and the folders at an empty vCenter."""
        with closing(Vcenter(self.vcenter)) as vcenter:
            vcenter.prepare(TEMPLATE, *(f"pools/{pool}" for pool in SIZES))

    def add_foreign(self) -> bool:
        """Make the foreign VM, unless it is there, where it is not alone: else it would be a case for the mass guard.
        Whether it is there now."""
        folder = f"pools/{next(iter(SIZES))}"
        with closing(Vcenter(self.vcenter)) as vcenter:
            names = vcenter.names(folder)
            if names and FOREIGN not in names:
                vcenter.make(TEMPLATE, folder, FOREIGN)
            return bool(names)

    def routes(self, to: str) -> list[str]:
        """The ways through the proxy to ``redis`` or ``vcenter``."""
        return [name for name in self.proxy.ports if name.startswith(f"{to}-")]

    def inventory(self) -> dict[str, list[int]]:
        """The VMs in the pools' folders, and the GB of each one's disks but the first."""
        with closing(Vcenter(self.vcenter)) as vcenter:
            return dict(self._listed(vcenter))

    def _listed(self, vcenter: Vcenter) -> Iterator[tuple[str, list[int]]]:
        for pool in SIZES:
            for name in vcenter.names(f"pools/{pool}"):
                yield name, vcenter.disks(f"pools/{pool}/{name}")

    def _folder(self, name: str) -> Path:
        folder = self.home / name
        folder.mkdir()
        return folder

    def _config(self, name: str) -> str:
        ports = self.proxy.ports
        general = {"prefix": "vm-", "task_limit": TASK_LIMIT, "discovered_grace": GRACE, "vm_lifetime": LIFETIME}
        # An API reaches no vCenter; its configuration names one all the same.
        server = f"http://{HOST}:{ports.get(f'vcenter-{name}', self.vcenter.port)}"
        vcenter = {"provider_class": "vsphere", "server": server, "username": USER, "password": PASSWORD, "timeout": 5}
        own = {"provider": "vcenter", "template": TEMPLATE, "probe_port": self.probe_port, "create_linked_clone": False}
        pools = [
            {"name": pool, "size": size, "folder": f"pools/{pool}", **own, "alias": self._aliases(pool)}
            for pool, size in SIZES.items()
        ]
        sections = {
            "config": {**general, "vm_checktime": 0.05, "events_max": 10_000_000, "clone_target": "DC0_C0"},
            "auth": {"provider": "dummy"},
            "redis": {"server": HOST, "port": ports[f"redis-{name}"]},
            "providers": {"vcenter": vcenter},
            "pools": pools,
        }
        return json.dumps(sections)  # which is YAML too

    @staticmethod
    def _aliases(pool: str) -> list[str]:
        return [name for name, pools in NAMES.items() if pool in pools and name != pool]
