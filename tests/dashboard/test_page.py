"""What the page displays."""

import time
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from operator import itemgetter
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from tests.dashboard.browser import Browser
from tests.service.process import Service, until

pytestmark = pytest.mark.needs("chromium")

READABLE = 4.5
"""Minimum contrast of text and background. Source: WCAG 2.2, 1.4.3."""

CONTRAST = """
const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
function shine(colour) {
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  const parts = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((each) => each / 255);
  const [r, g, b] = parts.map((each) => each <= 0.03928 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function ground(node) {
  const colour = getComputedStyle(node).backgroundColor;
  return colour === 'rgba(0, 0, 0, 0)' && node.parentElement ? ground(node.parentElement) : colour;
}
return arguments[0].map((selector) => {
  const node = document.querySelector(selector);
  const [a, b] = [shine(getComputedStyle(node).color), shine(ground(node))].sort((x, y) => y - x);
  return [selector, (a + 0.05) / (b + 0.05)];
});
"""


def check_out(service: Service, pool: str) -> str:
    """Check out a VM of a pool as soon as one is ready, and return its name."""
    answer: Any = until(lambda: (got := service.request("POST", f"/vm/{pool}")).status == 200 and got, "a VM")
    return str(answer.body[pool]["hostname"])


def has_more(browser: Browser, running: int) -> bool:
    """Return whether the page displays more than ``running`` running VMs."""
    return int(browser.sums()["running"]) > running


def test_the_overview_shows_the_values_of_the_status(service: Service, browser: Browser) -> None:
    browser.open(service.url)
    browser.sees(".tile", "windows-11-x86_64")
    status = service.request("GET", "/status").body
    sums = browser.sums()
    assert browser.text("#site") == "Test site"
    assert {name: int(sums[name]) for name in ("ready", "cloning", "booting", "running", "completed", "total")} == {
        name: status["queue"][name] for name in ("ready", "cloning", "booting", "running", "completed", "total")
    }
    assert sums["capacity"] == f"{status['capacity']['percent']:.0f} %"
    assert sums["cloned today"] == str(status["clone"]["count"]["total"])
    assert browser.tile("debian-12-x86_64") == "debian-12-x86_64 100 % (4/4) · 0 running"
    assert browser.text("#verdict") == "All 3 pools served"


def test_a_checkout_by_curl_is_shown_within_a_second(service: Service, browser: Browser) -> None:
    browser.open(service.url)
    browser.sees(".tile", "debian-12-x86_64")
    taken = []
    for _ in range(5):
        running = int(browser.sums()["running"])
        start = time.monotonic()
        browser.sees(".events", check_out(service, "debian-12-x86_64"))
        until(partial(has_more, browser, running), "it is counted")
        taken.append(time.monotonic() - start)
    print(f"a checkout shows after {min(taken) * 1000:.0f} to {max(taken) * 1000:.0f} ms")
    assert min(taken) < 1
    assert max(taken) < 5


def test_a_pool_shows_its_vms_its_events_and_its_settings(service: Service, browser: Browser) -> None:
    vm = check_out(service, "debian-12-x86_64")
    browser.open(service.url, "#/pool/debian-12-x86_64")
    row = browser.sees("section[aria-label='running VMs'] tr", vm).text
    assert "anonymous" in row
    assert "11 h 59 min" in row or "12 h" in row
    assert browser.sees(".events", vm)
    assert "linux" in browser.text("section[aria-label=Settings]")
    service.request("DELETE", f"/vm/{vm}")
    until(lambda: vm not in browser.text("section[aria-label='running VMs']"), "it is running no more")


LIFELINE = """
return [...document.querySelectorAll('.lifeline .part')].map((part) => ({
  classes: part.className,
  hint: part.dataset.hint,
  seconds: Number(part.style.flexGrow),
  left: part.getBoundingClientRect().left,
  top: part.getBoundingClientRect().top,
  width: part.getBoundingClientRect().width,
}))
"""


def lifeline(browser: Browser) -> tuple[list[str], list[float]]:
    """Return the queues that the bar of a VM shows, and the seconds in each.

    The parts form one line from left to right, and the longest time has the widest part.
    """
    parts = browser.script(LIFELINE)
    queues = [part["hint"].partition(" for ")[0] for part in parts]
    assert [part["classes"] for part in parts] == [f"part {queue}" for queue in queues]
    assert browser.sees(".lifeline").get_attribute("aria-label") == ", ".join(part["hint"] for part in parts)
    assert len({part["top"] for part in parts}) == 1
    assert all(one["left"] + one["width"] < next["left"] for one, next in pairwise(parts))
    assert max(parts, key=itemgetter("width")) == max(parts, key=itemgetter("seconds"))
    return queues, [part["seconds"] for part in parts]


def test_a_vm_shows_its_events_and_lifeline_live(service: Service, browser: Browser) -> None:
    vm = check_out(service, "ubuntu-24-x86_64")
    browser.open(service.url, f"#/vm/{vm}")
    browser.sees(".timeline", "Moved from 'ready' to 'running' queue, for anonymous")
    queues, seconds = lifeline(browser)
    assert queues == ["pending", "ready", "running"]
    time.sleep(2)  # so that the bar of the running VM differs from that of one that was just checked out
    service.request("DELETE", f"/vm/{vm}.example.com")
    browser.sees(".timeline", "Destroyed")
    timeline = service.request("GET", f"/dashboard/vms/{vm}").body["timeline"]
    moments = {each["what"]: each["when"] for each in timeline}
    moves = [moments[what] for what in ("clone", "ready", "checkout", "completed", "destroyed")]
    lasted = [end - begin for begin, end in pairwise(moves)]
    assert seconds[:2] == pytest.approx(lasted[:2], abs=0.001)
    assert 0 <= seconds[2] <= lasted[2] - 2
    queues, seconds = lifeline(browser)
    assert queues == ["pending", "ready", "running", "completed"]
    assert seconds == pytest.approx(lasted, abs=0.001)
    assert [each["what"] for each in timeline] == ["clone", "cloned", "ready", "checkout", "completed", "destroyed"]
    sentences = browser.text(".timeline .what").split("\n")
    assert [f"'{vm}' {text[:1].lower()}{text[1:]}" for text in sentences] == [each["text"] for each in timeline]
    browser.sees("h1 + .state", "destroyed")


def test_the_values_of_a_chart_can_be_read_with_the_keyboard(service: Service, browser: Browser) -> None:
    browser.open(service.url)
    chart = browser.sees(".chart svg[tabindex='0']")
    assert chart.get_attribute("aria-label") == "Running VMs"
    browser.tab_to("Running VMs")
    browser.press(Keys.END)
    tip = browser.sees(".tip", "together").text
    assert [line.split()[0] for line in tip.split("\n")[1:]] == ["windows", "ubuntu", "debian", "together"]
    assert f"debian {browser.text('.legend .s0 b')}" in str(chart.get_attribute("aria-valuetext"))
    browser.press(Keys.ESCAPE)
    browser.gone(".tip")


def test_each_total_has_a_description(service: Service, browser: Browser) -> None:
    browser.open(service.url)
    cells = browser.script("return [...document.querySelectorAll('.sums > div')].map((it) => it.ariaDescription)")
    assert len(cells) == 9
    assert all(cells)
    browser.tab_to("booting")
    browser.sees(".tip", "cloned and do not answer yet")


def test_a_selected_time_range_is_shown_and_stored_in_the_address(service: Service, browser: Browser) -> None:
    browser.open(service.url)
    browser.sees(".ranges span", "24h").click()
    until(lambda: "range=24h" in browser.driver.current_url, "the address has it")
    browser.driver.refresh()
    chart = browser.sees(".chart svg[tabindex='0']")
    browser.tab_to("Running VMs")

    def first() -> datetime:
        browser.press(Keys.HOME)
        values = str(chart.get_attribute("aria-valuetext")).split(", ")
        return datetime.strptime(" ".join(values[1:3]), "%d %b %Y %H:%M:%S UTC")

    def is_a_day_ago() -> bool:
        return timedelta(hours=23) < datetime.now(UTC).replace(tzinfo=None) - first() < timedelta(hours=25)

    until(is_a_day_ago, "it begins a day ago")


def test_times_are_in_the_time_zone_of_the_browser(service: Service, browser: Browser) -> None:
    browser.set_time_zone("Asia/Tokyo")
    browser.open(service.url)
    shown = browser.sees(".event time")
    there = datetime.fromisoformat(str(shown.get_attribute("datetime"))) + timedelta(hours=9)
    assert shown.text.endswith(f"{there:%H:%M:%S}")
    assert str(shown.get_attribute("aria-description")).endswith(f"{there:%H:%M:%S} GMT+9")


def test_unknown_pools_and_vms_are_reported(service: Service, browser: Browser) -> None:
    browser.forgiven = ("status of 404",)
    browser.open(service.url, "#/pool/no-such-pool")
    browser.sees(".blank", "It is unknown")
    browser.open(service.url, "#/vm/vm-nobody")
    browser.sees(".blank", "The VM vm-nobody is unknown")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_enough_contrast_in_light_and_dark(service: Service, browser: Browser, scheme: Any) -> None:
    browser.emulate(1280, 800, scheme)
    browser.open(service.url)
    browser.sees(".event time")
    browser.sees(".tile", "windows-11-x86_64")
    ground = browser.script("return getComputedStyle(document.documentElement).backgroundColor")
    texts = ["#verdict", ".sums b", ".sums dt", ".tile .name", ".tile b", ".tile .sub", ".event time", ".event .what"]
    found = browser.script(
        CONTRAST, [*texts, ".event a", "h2", "h3", ".link", ".ranges span", ".ranges :checked + span"]
    )
    assert ground == {"light": "rgb(244, 246, 248)", "dark": "rgb(13, 17, 22)"}[scheme]
    assert {text: contrast for text, contrast in found if contrast < READABLE} == {}


@pytest.mark.parametrize("width", [320, 390, 768, 1280, 1920])
def test_the_page_fits_the_width_of_the_window(service: Service, browser: Browser, width: int) -> None:
    vm = check_out(service, "debian-12-x86_64")
    service.request("POST", f"/vm/{vm}/snapshot")
    for path in ("", "#/pool/debian-12-x86_64", f"#/vm/{vm}", "#/events"):
        browser.emulate(width, 800)
        browser.open(service.url, path)
        browser.sees(".event")
        assert (path, browser.wide()) == (path, 0)
    service.request("DELETE", f"/vm/{vm}")
