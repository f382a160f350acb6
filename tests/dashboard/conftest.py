"""A browser for all tests, and a service for tests that need no special one."""

from collections.abc import Iterator

import pytest

from tests.dashboard.browser import Browser
from tests.service.process import Service, until

POOLS = """
config: {prefix: vm-, domain: example.com, site_name: Test site, vm_lifetime: 12}
redis: {server: embedded}
pools:
  - {name: debian-12-x86_64, alias: linux, size: 4}
  - {name: ubuntu-24-x86_64, size: 2}
  - {name: windows-11-x86_64, size: 1}
"""
"""Pools whose VMs become ready at once."""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser, shared by all tests of this run."""
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """The browser, reset. When a test ends, the console must be empty, and no request may have left 127.0.0.1."""
    chromium.fresh()
    yield chromium
    asked, said = chromium.requests(), chromium.console()
    chromium.driver.get("about:blank")
    assert [url for url in asked if not url.startswith("http://127.0.0.1:")] == []
    assert said == []


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A service with three pools, which are full when a module starts."""
    with Service(POOLS) as service:
        until(lambda: service.request("GET", "/status").body["capacity"]["percent"] == 100, "all pools are full")
        yield service
