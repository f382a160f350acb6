"""A simulated hypervisor: imaginary VMs that live by the clock given and fail as told, for trying out and for tests."""

from vmpooler.providers.dummy.provider import DummyProvider

__all__ = ["DummyProvider"]
