"""A simulated hypervisor for trials and tests: its VMs follow a given clock, and operations fail as configured."""

from vmpooler.providers.driver import Context, ProviderDriver
from vmpooler.providers.dummy.provider import DummyProvider
from vmpooler.providers.dummy.settings import Dummy

__all__ = ["Dummy", "DummyProvider", "driver"]


def _build(settings: Dummy, context: Context) -> DummyProvider:
    return DummyProvider(settings, context.reactor, context.wall, context.chance, context.reactor, context.may_order)


IGNORED = """
    insecure datacenter is_ready_timeout migratevm_couldmove_percent migratevm_max_time migratevm_fail_percent
"""

driver = ProviderDriver(settings=Dummy, build=_build, implied=True, ignored=frozenset(IGNORED.split()))
