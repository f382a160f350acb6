"""A simulated hypervisor for trials and tests: its VMs follow a given clock, and operations fail as configured."""

from vmpooler.providers.dummy.provider import DummyProvider

__all__ = ["DummyProvider"]
