"""The page while the service is unavailable."""

from signal import SIGTERM

import pytest

from tests.dashboard.browser import STOPPED, Browser
from tests.dashboard.conftest import POOLS
from tests.dashboard.test_page import check_out
from tests.redis_server import RedisServer
from tests.service.process import Service, until

CONFIG = """
config: {{prefix: vm-}}
redis: {{socket: {socket}}}
pools: [{{name: debian-12, size: 2}}]
"""

pytestmark = pytest.mark.needs("chromium")


def test_the_page_recovers_by_itself_after_a_restart_of_the_service(browser: Browser) -> None:
    browser.forgiven = (*STOPPED, "status of 503")
    with Service(POOLS) as service:
        until(lambda: service.request("GET", "/status").body["capacity"]["percent"] == 100, "all pools are full")
        browser.open(service.url)
        browser.sees("#link", "live")
        browser.gone("#banner")
        assert service.stop() == -SIGTERM
        banner = browser.sees("#banner", "Disconnected")
        until(lambda: " 2 s ago" in banner.text, "the age of the displayed state grows")
        assert browser.text("#link") == "disconnected"
        service.start()
        browser.gone("#banner")
        vm = check_out(service, "debian-12-x86_64")
        browser.sees(".events", vm)
        until(lambda: browser.sums()["running"] == "1", "what it shows is right")


def test_the_page_reports_that_redis_is_away_and_recovers_by_itself(browser: Browser, spare_redis: RedisServer) -> None:
    browser.forgiven = (*STOPPED, "status of 503")
    with Service(CONFIG.format(socket=spare_redis.socket)) as service:
        until(lambda: service.request("GET", "/status").body["capacity"]["percent"] == 100, "the pool is full")
        browser.open(service.url)
        browser.sees("#link", "live")
        spare_redis.kill()
        banner = browser.sees("#banner", "Redis is away")
        assert "Disconnected" not in banner.text
        assert browser.text("#link") == "waiting"
        spare_redis.start()
        browser.sees("#link", "live")
        browser.gone("#banner")


@pytest.mark.limit(90)
def test_a_hidden_tab_disconnects_and_is_up_to_date_when_it_is_shown_again(service: Service, browser: Browser) -> None:
    browser.open(service.url)
    browser.sees("#link", "live")
    running = int(browser.sums()["running"])
    with browser.hidden():
        until(lambda: browser.script("return document.getElementById('link').dataset.up") == "null", "it lets go", 40)
        vm = check_out(service, "debian-12-x86_64")
        assert int(browser.sums()["running"]) == running
        browser.requests()
    browser.sees("#link", "live")
    browser.sees(".events", vm)
    until(lambda: int(browser.sums()["running"]) == running + 1, "what it shows is right")
    browser.gone("#banner")
    until(lambda: any("history?range=1h" in url for url in browser.requests()), "the charts are filled up, too")


def test_a_page_reports_a_missing_manager_until_one_leads(browser: Browser, spare_redis: RedisServer) -> None:
    browser.forgiven = STOPPED
    config = POOLS.replace("server: embedded", f"socket: {spare_redis.socket}")
    with Service(config, "--role=api") as api:
        browser.open(api.url)
        browser.sees("#banner", "No manager seems to be running")
        assert "pools are not being filled" in browser.text("#banner")
        with Service(config, "--role=manager"):
            browser.gone("#banner")
            until(lambda: browser.sums()["ready"] == "7", "the pools are filled")
