"""The page while the service is away."""

import pytest

from tests.dashboard.browser import Browser
from tests.dashboard.conftest import POOLS
from tests.dashboard.test_page import check_out
from tests.service.process import Service, until

pytestmark = pytest.mark.needs("chromium")


def test_the_service_restarts_and_the_page_is_right_again_by_itself(browser: Browser) -> None:
    browser.forgiven = ("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "status of 503")
    with Service(POOLS) as service:
        until(lambda: service.request("GET", "/status").body["capacity"]["percent"] == 100, "all pools are full")
        browser.open(service.url)
        browser.sees("#link", "live")
        browser.gone("#banner")
        assert service.stop() != 0
        banner = browser.sees("#banner", "Disconnected")
        until(lambda: " 2 s old" in banner.text, "the age of what is shown grows")
        assert browser.text("#link") == "disconnected"
        service.start()
        browser.gone("#banner")
        vm = check_out(service, "debian-12-x86_64")
        browser.sees(".events", vm)
        until(lambda: browser.sums()["running"] == "1", "what it shows is right")
