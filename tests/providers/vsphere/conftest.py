"""Simulated vCenters. Each test gets its own, because tests break it."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_twisted

from tests.providers.vsphere.case import VsphereCase
from tests.vcsim.simulator import Simulator, binary


@pytest.fixture(scope="session")
def vcsim() -> None:
    """Builds the simulator."""
    binary()


@pytest.fixture
def simulator(vcsim: None) -> Iterator[Simulator]:
    """A running vCenter."""
    simulator = Simulator()
    simulator.start()
    yield simulator
    simulator.remove()


@pytest_twisted.async_yield_fixture
async def case(simulator: Simulator) -> AsyncIterator[VsphereCase]:
    """A started provider on the simulated vCenter."""
    case = VsphereCase(simulator, timeout=6)
    simulator.control(delay="CloneVM_Task:300")
    await case.start()
    yield case
    await case.stop()
