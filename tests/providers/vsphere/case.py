"""A simulated vCenter for one test, a provider on it, and a TCP listener at the address of each booted guest."""

import random
from typing import Any

import attrs
from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol

from tests.ports import free_port
from tests.vcsim.simulator import PASSWORD, USER, Simulator
from tests.vcsim.vcenter import Vcenter
from vmpooler.providers.vsphere import Vsphere
from vmpooler.providers.vsphere.provider import VsphereProvider
from vmpooler.settings import General, Pool
from vmpooler.testing import ReactorCase

TEMPLATE = "templates/linux/debian"
clock: Any = reactor


def pool_of(name: str, **settings: Any) -> Pool:
    """Return a pool whose VMs are in a folder with the name of the pool."""
    known = {"template": TEMPLATE, "folder": f"pools/{name}", "size": 1, "probe_port": free_port()}
    return Pool(name=name, **{**known, **settings})


class VsphereCase(ReactorCase):
    """A simulated vCenter with a template and folders, and a provider of two pools."""

    def __init__(self, simulator: Simulator, general: General | None = None, **settings: Any) -> None:
        self.simulator = simulator
        self.pool, self.other_pool = pool_of("alpha"), pool_of("beta")
        self.vcenter = Vcenter(simulator)
        self.vcenter.prepare(TEMPLATE, self.pool.folder, self.other_pool.folder)
        self.settings = Vsphere(
            **{
                "server": simulator.url,
                "username": USER,
                "password": PASSWORD,
                **settings,
            }
        )
        self.general = general or General()
        self.provider = self.another()
        self._listener: Any = None

    def another(self, **changes: Any) -> VsphereProvider:
        """Return another provider of the same pools, with changed settings."""
        settings = attrs.evolve(self.settings, **changes)
        pools = [self.pool, self.other_pool]
        return VsphereProvider(settings, self.general, pools, clock, clock.seconds, random.Random(1))

    async def start(self) -> None:
        """Start the provider, and the listener by which booted guests answer probes."""
        self._listener = clock.listenTCP(self.pool.probe_port, Factory.forProtocol(Protocol))
        await self.provider.start()

    async def stop(self) -> None:
        """Stop the provider and the listener, and close the connection to the vCenter."""
        await self.provider.stop()
        await self._listener.stopListening()
        self.vcenter.close()

    def cut_off(self) -> None:
        self.simulator.kill()

    def switch_off(self, name: str) -> None:
        self.vcenter.switch_off(f"{self.pool.folder}/{name}")

    def disks(self, name: str) -> list[int]:
        return self.vcenter.disks(f"{self.pool.folder}/{name}")
