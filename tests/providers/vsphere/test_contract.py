"""The contract of every provider, tested on vSphere."""

import pytest

from vmpooler.testing import ProviderContract


@pytest.mark.needs("vcsim")
class TestVsphereKeepsTheContract(ProviderContract):
    pass
