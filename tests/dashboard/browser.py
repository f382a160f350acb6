"""A real Chromium with the dashboard: what it displays, requests and writes to its console."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service as Driver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from tests.service.process import until

CHROMIUM = "/usr/bin/chromium"
DRIVER = "/usr/bin/chromedriver"

WATCH = """
window.__scripts = [];
new PerformanceObserver((list) => {
  for (const frame of list.getEntries()) for (const script of frame.scripts) window.__scripts.push(script.duration);
}).observe({type: "long-animation-frame", buffered: true});
"""
"""Records how long scripts ran in frames that took longer than 50 ms. In other frames no script can have run longer."""

FLAGS = ("--headless=new", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars", "--lang=en-GB")

STOPPED = ("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_INCOMPLETE_CHUNKED_ENCODING")
"""What the browser reports of its requests when the service stops, whatever it is doing at that moment."""

Scheme = Literal["light", "dark"]


class Browser:
    """A tab, shared by many tests; ``fresh`` resets it.

    ``forgiven``: parts of console messages that are ignored, such as the browser's own messages about error responses.
    """

    def __init__(self) -> None:
        options = ChromeOptions()
        options.binary_location = CHROMIUM
        for flag in FLAGS if os.geteuid() else (*FLAGS, "--no-sandbox"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = Chrome(options=options, service=Driver(DRIVER))
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})

        self.forgiven: tuple[str, ...] = ()

    def close(self) -> None:
        self.driver.quit()

    def fresh(self) -> None:
        """Reset the tab: empty, the size of a laptop, light scheme, time zone UTC, with an empty cache and console."""
        self.driver.get("about:blank")
        self.emulate(1280, 800)
        self.set_time_zone("UTC")
        self.forgiven = ()
        self.driver.execute_cdp_cmd("Network.clearBrowserCache", {})
        self.console()
        self.requests()

    def set_time_zone(self, zone: str) -> None:
        """Set the user's time zone, such as Asia/Tokyo."""
        self.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": zone})

    def emulate(self, width: int, height: int, scheme: Scheme = "light") -> None:
        """Set the size of the window in pixels, and the system's colour scheme."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def open(self, url: str, path: str = "") -> None:
        """Open the dashboard, and wait until it displays a heading."""
        if self.driver.current_url.startswith(f"{url}/dashboard/"):
            self.driver.get("about:blank")  # otherwise a new fragment of the same page would not reload it
        self.driver.get(f"{url}/dashboard/{path}")
        self.sees("h1")

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Minimize the window for the length of the block."""
        self.driver.minimize_window()
        until(lambda: self.script("return document.hidden"), "the page is hidden")
        try:
            yield
        finally:
            self.driver.set_window_rect(0, 0, 1280, 800)
            until(lambda: not self.script("return document.hidden"), "the page is seen")

    def script(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def all(self, selector: str) -> list[WebElement]:
        """Return the visible elements that match a selector."""
        try:
            return [each for each in self.driver.find_elements(By.CSS_SELECTOR, selector) if each.is_displayed()]
        except StaleElementReferenceException:
            return self.all(selector)

    def sees(self, selector: str, text: str = "") -> WebElement:
        """Wait for a visible element that contains this text, and return it."""
        found = until(lambda: [each for each in self.all(selector) if text in self._text(each)], f"{selector} {text!r}")
        return found[0]

    def _text(self, element: WebElement) -> str:
        try:
            return element.text
        except StaleElementReferenceException:
            return ""

    def gone(self, selector: str) -> None:
        """Wait until no element that matches is visible."""
        until(lambda: not self.all(selector), f"no more {selector}")

    def text(self, selector: str = "body") -> str:
        """Return the visible text of the elements that match, read again if the page replaces one of them meanwhile."""
        try:
            return "\n".join(each.text for each in self.all(selector))
        except StaleElementReferenceException:
            return self.text(selector)

    def sums(self) -> dict[str, str]:
        """Return the totals at the top of the page, by name."""
        cells = self.script("return [...document.querySelectorAll('.sums > div')].map((each) => each.innerText)")
        return {name: value for value, name in (cell.split("\n") for cell in cells)}

    def tile(self, pool: str) -> str:
        """Return the text of a pool's tile in one line; empty without such a tile."""
        found = self.script("return [...document.querySelectorAll('.tile')].map((each) => each.innerText)")
        return next((" ".join(text.split()) for text in found if text.split("\n")[0] == pool), "")

    def press(self, *keys: str) -> None:
        """Send keys to the element that has the focus."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def focused(self) -> str:
        """Return the text of the element that has the focus, or else its label or name."""
        name: str = self.script(
            "const it = document.activeElement;"
            "return it === document.body ? '' : it.innerText || it.getAttribute('aria-label') || it.name || ''"
        )
        return name

    def tab_to(self, text: str, most: int = 60) -> None:
        """Press Tab until the text of the focused element contains this."""
        for _ in range(most):
            self.press(Keys.TAB)
            if text in self.focused():
                return
        raise AssertionError(f"no way to {text!r} by Tab")

    def wide(self) -> int:
        """Return by how many pixels the page is wider than its window."""
        over: int = self.script("return document.documentElement.scrollWidth - innerWidth")
        return over

    def longest_script(self) -> float:
        """Return the duration of the longest script since the last call, in milliseconds."""
        found: Sequence[float] = self.script("return window.__scripts.splice(0)")
        return max(found, default=0.0)

    def console(self) -> list[str]:
        """Return the console messages since the last call, without those that are forgiven."""
        said = [entry["message"] for entry in self.driver.get_log("browser")]
        return [text for text in said if not any(each in text for each in self.forgiven)]

    def requests(self) -> list[str]:
        """Return the URLs requested since the last call."""
        said = (json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance"))
        urls = [each["params"]["request"]["url"] for each in said if each["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith(("about:", "chrome:"))]
