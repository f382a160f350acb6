"""What chance has in store for imaginary VMs, within the limits that are set."""

from __future__ import annotations

import random

from vmpooler.domain.guest import Stamp
from vmpooler.providers.dummy.vm import Vm
from vmpooler.settings import Dummy


class Fate:
    """Draws durations and failures from ``chance``."""

    def __init__(self, settings: Dummy, chance: random.Random) -> None:
        self._settings = settings
        self._chance = chance

    def strikes(self, percent: float) -> bool:
        """True in so many cases of a hundred."""
        return self._chance.random() * 100 < percent

    def duration(self, longest: float) -> float:
        """Seconds that something takes: a quarter of the longest at the least."""
        return self._chance.uniform(longest / 4, longest)

    def part(self, duration: float) -> float:
        """Seconds after which something that would have taken so long fails."""
        return self._chance.uniform(0, duration)

    def clone(self, pool: str, name: str, number: int, now: float) -> Vm:
        """A VM ordered now: when its clone ends and how, and when its guest is up, if ever."""
        settings = self._settings
        fails = self.strikes(settings.createvm_fail_percent)
        duration = self.duration(settings.createvm_max_time)
        cloned = now + (self.part(duration) if fails else duration)
        boots = not self.strikes(settings.bootvm_fail_percent)
        booted = self.boot(cloned) if boots else None
        return Vm(
            name=name,
            pool=pool,
            number=number,
            hostname=name,
            cloned=cloned,
            booted=booted,
            stamp=Stamp(pool=pool, name=name, created=now),
            fails=fails,
        )

    def boot(self, on: float) -> float:
        """When the guest of a VM is up that is switched on at the moment ``on``."""
        return on + self.duration(self._settings.bootvm_max_time)

    def other_hostname(self, name: str) -> str:
        """A host name that is not that VM's."""
        return f"{name}-{self._chance.randrange(16**6):06x}"
