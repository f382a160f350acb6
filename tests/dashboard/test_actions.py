"""Actions on the page, and the tokens that they need."""

import json
from collections.abc import Iterator

import pytest
from selenium.webdriver.common.keys import Keys

from tests.dashboard.browser import Browser
from tests.dashboard.conftest import POOLS
from tests.dashboard.test_page import check_out
from tests.service.process import Service, until

pytestmark = pytest.mark.needs("chromium")

POOL = "debian-12-x86_64"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Service]:
    """A service that requires tokens."""
    with Service(POOLS + "auth: {provider: dummy}") as service:
        until(lambda: service.request("GET", "/status").body["capacity"]["percent"] == 100, "all pools are full")
        yield service


def token(service: Service, browser: Browser) -> str:
    """Return a new token of the user ann."""
    browser.forgiven = ("status of 401",)
    basic = {"Authorization": "Basic " + "YW5uOnNlY3JldA=="}
    script = "return fetch('/api/v1/token', {method: 'POST', headers: arguments[0]}).then((it) => it.text())"
    return str(json.loads(browser.script(script, basic))["token"])


def test_a_vm_is_checked_out_changed_and_deleted_by_the_keyboard_alone(service: Service, browser: Browser) -> None:
    browser.open(service.url)
    browser.sees(".tile", POOL)
    browser.press("/", "debian", Keys.ENTER)
    browser.sees("h1", POOL)
    browser.tab_to("Check out a VM")
    browser.press(Keys.ENTER)
    browser.sees("dialog code", f"curl -X POST 'http://127.0.0.1:{service.port}/api/v1/vm/{POOL}'")
    browser.tab_to("Check out")
    browser.press(Keys.ENTER)
    vm = browser.sees("dialog .result a", "vm-").text
    browser.tab_to(vm)
    browser.press(Keys.ENTER)
    browser.sees("h1", vm)
    browser.sees(".timeline", "Moved from 'ready' to 'running' queue")
    browser.tab_to("Lifetime")
    browser.press(Keys.ENTER)
    until(lambda: browser.focused() == "hours", "the field has the focus")
    browser.press(Keys.CONTROL + "a", "99", Keys.ENTER)
    browser.sees("dialog .result", "Its lifetime is set.")
    browser.press(Keys.ENTER)
    browser.gone("dialog")
    browser.sees(".facts", "99 h from its checkout")
    browser.tab_to("Tag")
    browser.press(Keys.ENTER)
    until(lambda: browser.focused() == "name", "the field has the focus")
    browser.press("project", Keys.TAB, "it's ours", Keys.ENTER)
    browser.sees("dialog .result", "The tag is set.")
    browser.press(Keys.ESCAPE)
    browser.gone("dialog")
    browser.sees(".facts", "it's ours")
    browser.tab_to("Delete")
    browser.press(Keys.ENTER)
    browser.tab_to("Delete")
    browser.press(Keys.ENTER)
    browser.sees("dialog .result", "It is completed")
    browser.press(Keys.ESCAPE)
    browser.sees(".timeline", "Destroyed")


def test_a_requested_snapshot_is_shown_when_it_is_taken(service: Service, browser: Browser) -> None:
    vm = check_out(service, POOL)
    browser.open(service.url, f"#/vm/{vm}")
    next(each for each in until(lambda: browser.all(".acts button"), "buttons") if each.text == "Snapshot").click()
    browser.sees("dialog button.main", "Take snapshot").click()
    name = browser.sees("dialog .result code").text
    browser.sees(".facts", name)


def test_requested_disks_are_shown_when_they_are_attached(service: Service, browser: Browser) -> None:
    vm = check_out(service, POOL)
    for size in (8, 16):
        assert service.request("POST", f"/vm/{vm}/disk/{size}").status == 202
    browser.open(service.url, f"#/vm/{vm}")
    until(lambda: browser.text(".facts").endswith("\nExtra disks\n+8gb, +16gb"), "both disks")


def test_no_action_works_without_the_required_token(guarded: Service, browser: Browser) -> None:
    browser.open(guarded.url, f"#/pool/{POOL}")
    browser.sees(".acts", "With a token")
    assert browser.all(".acts button") == []


def test_a_token_is_not_displayed_and_is_stored_in_this_tab_only(guarded: Service, browser: Browser) -> None:
    browser.open(guarded.url, f"#/pool/{POOL}")
    given = token(guarded, browser)
    browser.sees("#token").click()
    browser.sees("dialog input")
    browser.press(given, Keys.ENTER)
    browser.sees(".acts button", "Check out a VM").click()
    shown = browser.sees("dialog code", "curl").text
    assert '-H "X-AUTH-TOKEN: $TOKEN"' in shown
    assert given not in browser.script("return document.documentElement.outerHTML")
    browser.sees("dialog button.main", "Check out").click()
    browser.sees("dialog .result a", "vm-").click()
    browser.sees(".facts", "ann")
    assert browser.script("return [localStorage.length, sessionStorage.length, document.cookie]") == [0, 1, ""]


def test_an_unknown_token_is_reported(guarded: Service, browser: Browser) -> None:
    browser.forgiven = ("status of 401",)
    browser.open(guarded.url, f"#/pool/{POOL}")
    browser.sees("#token").click()
    browser.sees("dialog input")
    browser.press(Keys.CONTROL + "a", "nonsense", Keys.ENTER)
    browser.sees(".acts button", "Check out a VM").click()
    browser.sees("dialog button.main", "Check out").click()
    browser.sees("dialog .result", "The token is unknown")
