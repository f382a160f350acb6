"""Pools with failures are displayed first."""

import pytest

from tests.dashboard.browser import STOPPED, Browser
from tests.service.process import Service, until

pytestmark = pytest.mark.needs("chromium")

TROUBLED = """
redis: {server: embedded}
providers:
  good: {provider_class: dummy}
  bad: {provider_class: dummy, createvm_fail_percent: 100}
pools:
  - {name: debian-12, provider: good, size: 2}
  - {name: never-1, provider: bad, size: 2}
  - {name: nothing-1, provider: good, size: 0}
"""


def test_a_failing_pool_is_listed_first_with_the_reason(browser: Browser) -> None:
    browser.forgiven = STOPPED
    with Service(TROUBLED) as service:
        browser.open(service.url)
        tile = browser.sees(".urgent .tile", "Cloning fails")
        assert "never-1" in tile.text
        assert "Empty: no VM is ready" in tile.text
        assert "in a row" in tile.text
        assert "1 pool of 3 needs attention" in browser.text("#verdict")
        until(lambda: browser.script("return document.title").startswith("(1) "), "the title counts it")
        assert len(browser.all(".urgent .tile")) == 1
        assert browser.tile("nothing-1").startswith("nothing-1 size 0")
        tile.click()
        browser.sees(".head .reasons", "Cloning fails")


GUARDED = """
config: {discovered_grace: 0.01}
redis: {server: embedded}
providers:
  lasting: {provider_class: dummy, filename: dummy.yaml}
  fleeting: {provider_class: dummy}
pools:
  - {name: calm-1, provider: fleeting, size: 1}
  - {name: guarded-1, provider: lasting, size: 3}
"""


def test_a_pool_flagged_by_the_mass_guard_is_listed_first_with_the_reason(browser: Browser) -> None:
    browser.forgiven = STOPPED
    with Service(GUARDED) as service:
        until(lambda: service.ready("guarded-1") == 3, "the pool is full")
        service.stop()
        (service.directory / ".vmpooler/appendonly.aof").unlink()  # Redis loses everything
        service.start()
        browser.open(service.url)
        tile = browser.sees(".urgent .tile", "Mass guard: ")
        assert tile.text.startswith("guarded-1")
        assert "Mass guard: 3 of 3 VMs are unknown" in tile.text
        until(lambda: "calm-1" not in browser.text(".urgent"), "the other is calm")
        assert "1 pool of 2 needs attention" in browser.text("#verdict")
        tile.click()
        browser.sees(".head .reasons", "Mass guard: ")


DRAINED = """
redis: {server: embedded}
providers: {dummy: {filename: dummy.yaml}}
pools: [{name: calm-1, size: 1}, {name: gone-1, size: 1}]
"""


def test_a_drained_pool_is_listed_first_until_it_is_empty(browser: Browser) -> None:
    browser.forgiven = STOPPED
    with Service(DRAINED) as service:
        until(lambda: service.ready("gone-1") == 1, "the pool is full")
        vm = service.request("POST", "/vm/gone-1").body["gone-1"]["hostname"]
        service.stop()
        (service.directory / "vmpooler.yaml").write_text(DRAINED.replace(", {name: gone-1, size: 1}", ""))
        service.start()
        browser.open(service.url)
        tile = browser.sees(".urgent .tile", "Draining: not configured any more")
        assert tile.text.startswith("gone-1\nnot configured: draining")
        assert "1 running" in tile.text
        tile.click()
        browser.sees(".head .reasons", "Draining: not configured any more")
        assert service.request("DELETE", f"/vm/{vm}").status == 200
        browser.open(service.url)
        until(lambda: [tile.text.split()[0] for tile in browser.all(".tile")] == ["calm-1"], "it is shown no more")
