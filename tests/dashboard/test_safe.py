"""Text from clients or from the address is displayed as text, and never becomes markup of the page."""

import json
from http.client import HTTPConnection

import pytest

from tests.dashboard.browser import Browser
from tests.dashboard.test_page import check_out
from tests.service.process import Service

pytestmark = pytest.mark.needs("chromium")

EVIL = "<script>window.hurt = 1</script><img src=x onerror='window.hurt = 2'>"


def test_a_tag_that_is_a_script_is_shown_and_never_run(service: Service, browser: Browser) -> None:
    vm = check_out(service, "debian-12-x86_64")
    client = HTTPConnection("127.0.0.1", service.port)
    client.request("PUT", f"/api/v1/vm/{vm}", json.dumps({"tags": {EVIL: EVIL, "project": EVIL}}))
    assert client.getresponse().status == 200
    client.close()
    for path in ("", "#/events", "#/pool/debian-12-x86_64", f"#/vm/{vm}"):
        browser.open(service.url, path)
        browser.sees("body", EVIL)
        assert browser.script("return [window.hurt ?? null, document.querySelectorAll('img').length]") == [None, 0]
        assert browser.script("return document.querySelectorAll('script').length") == 1


@pytest.mark.parametrize("view", ["pool", "vm"])
def test_an_address_that_is_a_script_is_shown_and_never_run(service: Service, browser: Browser, view: str) -> None:
    browser.forgiven = ("status of 404",)
    browser.open(service.url, f"#/{view}/%3Cimg%20src%3Dx%20onerror%3Dwindow.hurt%3D1%3E")
    browser.sees("h1")
    assert browser.script("return [window.hurt ?? null, document.querySelectorAll('img').length]") == [None, 0]


def test_no_cookies_and_no_storage_beyond_the_session_are_used(service: Service, browser: Browser) -> None:
    browser.open(service.url)
    assert browser.script("return [document.cookie, localStorage.length]") == ["", 0]
