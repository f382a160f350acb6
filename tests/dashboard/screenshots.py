"""Makes the pictures in docs/images: a real service in use, displayed by a real Chromium. ``make screenshots``.

The history from before the start of the service is made up: samples of a week, and clone and boot times of six days.
"""

import json
import random
import time
from base64 import b64encode
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from tests.dashboard.browser import Browser
from tests.service.process import Service, until
from vmpooler.domain.history import MINUTES, QUARTERS, Grain, packed
from vmpooler.settings import Redis
from vmpooler.store import keys
from vmpooler.store.commands.samples import Samples
from vmpooler.store.redis.client import Connection

IMAGES = Path(__file__).parents[2] / "docs/images"

WINDOWS = {"wall": (1920, 1080), "laptop": (1280, 800), "phone": (390, 844)}

SYSTEMS = (
    *("debian-12", "ubuntu-24", "windows-11", "centos-9", "sles-15", "fedora-41", "debian-11", "almalinux-9"),
    *("ubuntu-22", "windows-2022", "oracle-9", "debian-13", "ubuntu-26", "solaris-11", "windows-2025"),
)
KINDS = ("x86_64", "aarch64", "fips-x86_64", "gui-x86_64")

SIZES = (5, 4, 2, 8, 6, 3, 10)

USERS = ("ann", "bob", "jenkins", "nightly")

HEAD = """
config: {site_name: Example CI, domain: example.com, prefix: vm-, vm_lifetime: 12, task_limit: 60, vm_checktime: 1}
redis: {server: embedded}
auth: {provider: dummy}
providers:
  quick: {provider_class: dummy, createvm_max_time: 1, bootvm_max_time: 1, createsnapshot_max_time: 1}
  slow: {provider_class: dummy, createvm_max_time: 50, bootvm_max_time: 2}
  broken: {provider_class: dummy, createvm_fail_percent: 100}
pools:
"""


class Scene:
    """A service with ``pools`` pools, and with the history of a week in use."""

    def __init__(self, pools: int) -> None:
        self.chance = random.Random(7)
        self.names = [f"{SYSTEMS[number % 15]}-{KINDS[number // 15]}" for number in range(pools)]
        self.slow = self.names[5:32:6] or self.names[1:2]
        self.broken = self.names[24:25]
        self.service = Service(HEAD + "\n".join(map(self._pool, self.names)))

    def _pool(self, name: str) -> str:
        number = self.names.index(name)
        provider = "slow" if name in self.slow else "broken" if name in self.broken else "quick"
        alias = f", alias: {name.rpartition('-')[0]}" if name.endswith("-x86_64") else ""
        size = 8 if name in self.slow else SIZES[number % len(SIZES)]
        return f"  - {{name: {name}{alias}, provider: {provider}, template: templates/{name}, size: {size}}}"

    def ask(self, method: str, path: str, token: str = "", body: object = None) -> Any:
        """Send one request to the API, and return its response."""
        client = HTTPConnection("127.0.0.1", self.service.port)
        client.request(method, f"/api/v1/{path}", json.dumps(body), {"X-AUTH-TOKEN": token} if token else {})
        answer = json.loads(client.getresponse().read())
        client.close()
        return answer

    def token(self, user: str) -> str:
        """Return a new token of a user."""
        client = HTTPConnection("127.0.0.1", self.service.port)
        basic = b64encode(f"{user}:secret".encode()).decode()
        client.request("POST", "/api/v1/token", headers={"Authorization": f"Basic {basic}"})
        token = str(json.loads(client.getresponse().read())["token"])
        client.close()
        return token

    def pools(self) -> Mapping[str, Mapping[str, int]]:
        """Return the counts of each pool."""
        found: Mapping[str, Mapping[str, int]] = self.ask("GET", "status")["pools"]
        return found

    def fill(self) -> None:
        """Wait until all pools are full, except the broken ones."""
        until(self._full, "all pools are full", 240)

    def _full(self) -> bool:
        pools = self.pools().items()
        return all(each["ready"] == each["max"] for name, each in pools if name not in self.broken)

    def use(self) -> str:
        """Check VMs out and return some, then check VMs of the slow pools out. Returns a VM with several events."""
        tokens = [self.token(user) for user in USERS]
        taken = []
        for name in [name for name in self.names * 3 if name not in self.slow]:
            count = self.chance.choice((0, 1, 1, 2))
            for _ in range(count):
                answer = self.ask("POST", f"vm/{name}", self.chance.choice(tokens))
                taken += [answer[name]["hostname"]] if answer["ok"] else []
        for vm in self.chance.sample(taken, len(taken) // 4):
            self.ask("DELETE", f"vm/{vm}", tokens[0])
        name = self.names[0]
        story = str(until(lambda: self.ask("POST", f"vm/{name}", tokens[0]).get(name), "a VM")["hostname"])
        self.ask("PUT", f"vm/{story}", tokens[0], {"tags": {"project": "website", "jenkins_build_url": "https://ci/7"}})
        self.ask("POST", f"vm/{story}/snapshot", tokens[0])
        time.sleep(4)
        self.ask("PUT", f"vm/{story}", tokens[0], {"lifetime": 24})
        for number, name in enumerate(self.slow):
            for _ in range((5, 7, 5, 8, 6, 5)[number]):
                self.ask("POST", f"vm/{name}", self.chance.choice(tokens))
        return story

    async def remember(self, reactor: Any) -> None:
        """Write a made-up history of the last week that ends in the current state."""
        connection = Connection(Redis(socket=str(self.service.redis_socket)), reactor, size=1, quiet=True)
        connection.start()
        await connection.wait_ready(10)
        samples, status = Samples(connection), self.ask("GET", "status")
        pools = status["pools"]
        for grain, count in ((MINUTES, MINUTES.chunk), (QUARTERS, 7 * 96)):
            histories = {name: self._history(each, count, grain) for name, each in pools.items()}
            last = int(time.time() // grain.seconds) - 1
            for back in range(count):
                await samples.write(grain, last - back, {name: history[back] for name, history in histories.items()})
        for days in range(1, 7):
            day = (date.today() - timedelta(days=days)).isoformat()
            weekend = date.fromisoformat(day).weekday() > 4
            for key, what in ((keys.clone_times(day), "clone"), (keys.boot_times(day), "boot")):
                mean = status[what]["duration"]["average"] * self.chance.uniform(0.9, 1.1)
                await connection.call("HSET", key, *self._times(mean, weekend))
        await connection.close()

    def _history(self, now: Mapping[str, int], count: int, grain: Grain) -> list[bytes]:
        """Return samples from now backwards: running VMs vary with the hour of the day, and ready VMs dip in bursts."""
        rows, size, running = [], now["max"], float(now["running"])
        home = running
        for back in range(count):
            hour = (time.time() - back * grain.seconds) / 3600 % 24
            wanted = home * (0.55 + 0.75 * (8 < hour < 19)) if back * grain.seconds > 5400 else home
            running = max(0, running + (wanted - running) * 0.15 + self.chance.uniform(-0.8, 0.8))
            burst = self.chance.random() < 0.08
            pending = min(size, self.chance.randrange(0, size // 2 + 2) if burst else 0)
            ready = size - pending if now["ready"] or back > 20 else now["ready"]
            rows.append(packed([ready, round(running), pending, pending]))
        return rows

    def _times(self, mean: float, weekend: bool) -> Iterable[str | int]:
        for name in self.names:
            for number in range(self.chance.randrange(1, 4) if weekend else self.chance.randrange(3, 12)):
                yield f"{name}:vm-{number}"
                yield f"{self.chance.gauss(mean, mean / 6):.2f}"


def shoot(browser: Browser, scene: Scene, story: str) -> None:
    """Take all pictures of a scene."""
    many = len(scene.names)
    for window, (width, height) in WINDOWS.items():
        for scheme in ("dark", "light"):
            take(browser, scene, "", f"{window}-{many}-{scheme}", (width, height), scheme)
    if many == 3:
        browser.script("sessionStorage.setItem('vmpooler token', arguments[0])", scene.token("ann"))
        take(browser, scene, f"#/pool/{scene.names[0]}", "pool", WINDOWS["laptop"], "light")
        take(browser, scene, f"#/vm/{story}", "vm", WINDOWS["laptop"], "light")


def take(browser: Browser, scene: Scene, path: str, name: str, size: tuple[int, int], scheme: Any) -> None:
    """Take one picture."""
    browser.emulate(*size, scheme)
    browser.open(scene.service.url, path)
    until(lambda: browser.script("return performance.getEntriesByName('usable').length"), "all is shown")
    time.sleep(1)  # for the animation of the gauges and the history to load
    browser.driver.save_screenshot(str(IMAGES / f"{name}.png"))
    print(f"docs/images/{name}.png")


async def make(reactor: Any) -> None:
    """Take all pictures of all scenes."""
    IMAGES.mkdir(exist_ok=True)
    browser = Browser()
    try:
        for pools in (3, 60):
            scene = Scene(pools)
            with scene.service:
                scene.fill()
                story = scene.use()
                await scene.remember(reactor)
                shoot(browser, scene, story)
                browser.fresh()
    finally:
        browser.close()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(make(reactor)))
