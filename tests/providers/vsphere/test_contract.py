"""The contract of every provider, tested on vSphere."""

import pytest

from tests.providers.contract import ProviderContract


@pytest.mark.needs("vcsim")
class TestVsphereKeepsTheContract(ProviderContract):
    pass
