"""A real Chromium that looks at the dashboard, and what it saw, asked for and complained of."""

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
"""Notes how long scripts ran in frames that took longer than 50 ms: the others cannot have run for longer."""

FLAGS = ("--headless=new", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars", "--lang=en-GB")

Scheme = Literal["light", "dark"]


class Browser:
    """A tab. Made once for many tests; ``fresh`` makes it forget what it saw.

    ``forgiven``: what the console may say, such as the browser's own notes of answers that are errors.
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
        """An empty tab of a laptop's size, in the light, with nothing in its cache."""
        self.driver.get("about:blank")
        self.looks(1280, 800)
        self.lives_in("UTC")
        self.forgiven = ()
        self.driver.execute_cdp_cmd("Network.clearBrowserCache", {})
        self.console()
        self.requests()

    def lives_in(self, zone: str) -> None:
        """The time zone of the one who looks, such as Asia/Tokyo."""
        self.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": zone})

    def looks(self, width: int, height: int, scheme: Scheme = "light") -> None:
        """The size of the window in pixels, and what the system's setting says."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def open(self, url: str, path: str = "") -> None:
        """Open the dashboard, and wait until it shows something."""
        if self.driver.current_url.startswith(f"{url}/dashboard/"):
            self.driver.get("about:blank")  # else another part of the same page would only be gone to
        self.driver.get(f"{url}/dashboard/{path}")
        self.sees("h1")

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """The window is an icon."""
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
        """The elements that can be seen."""
        try:
            return [each for each in self.driver.find_elements(By.CSS_SELECTOR, selector) if each.is_displayed()]
        except StaleElementReferenceException:
            return self.all(selector)

    def sees(self, selector: str, text: str = "") -> WebElement:
        """Wait for an element that can be seen, and has this text in it."""
        found = until(lambda: [each for each in self.all(selector) if text in self._text(each)], f"{selector} {text!r}")
        return found[0]

    def _text(self, element: WebElement) -> str:
        try:
            return element.text
        except StaleElementReferenceException:
            return ""

    def gone(self, selector: str) -> None:
        """Wait until no such element can be seen."""
        until(lambda: not self.all(selector), f"no more {selector}")

    def text(self, selector: str = "body") -> str:
        """What can be read there."""
        return "\n".join(self._text(each) for each in self.all(selector))

    def sums(self) -> dict[str, str]:
        """The numbers on top, by their names."""
        cells = self.script("return [...document.querySelectorAll('.sums > div')].map((each) => each.innerText)")
        return {name: value for value, name in (cell.split("\n") for cell in cells)}

    def tile(self, pool: str) -> str:
        """What a pool's tile says, in one line."""
        found = self.script("return [...document.querySelectorAll('.tile')].map((each) => each.innerText)")
        return next((" ".join(text.split()) for text in found if text.split("\n")[0] == pool), "")

    def press(self, *keys: str) -> None:
        """Type, to whatever has the focus."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def focused(self) -> str:
        """The text, or else the name, of what has the focus."""
        told: str = self.script(
            "const it = document.activeElement;"
            "return it === document.body ? '' : it.innerText || it.getAttribute('aria-label') || it.name || ''"
        )
        return told

    def tab_to(self, text: str, most: int = 60) -> None:
        """Press Tab until what has the focus says this."""
        for _ in range(most):
            self.press(Keys.TAB)
            if text in self.focused():
                return
        raise AssertionError(f"no way to {text!r} by Tab")

    def wide(self) -> int:
        """Pixels that the page is wider than its window."""
        over: int = self.script("return document.documentElement.scrollWidth - innerWidth")
        return over

    def longest_script(self) -> float:
        """Milliseconds of the longest script since the last call."""
        found: Sequence[float] = self.script("return window.__scripts.splice(0)")
        return max(found, default=0.0)

    def console(self) -> list[str]:
        """What the console said since the last call."""
        said = [entry["message"] for entry in self.driver.get_log("browser")]
        return [text for text in said if not any(each in text for each in self.forgiven)]

    def requests(self) -> list[str]:
        """The URLs that were asked for since the last call."""
        said = (json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance"))
        urls = [each["params"]["request"]["url"] for each in said if each["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith(("about:", "chrome:"))]
