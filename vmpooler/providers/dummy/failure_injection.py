"""Random durations and failures of simulated VMs, within the configured limits."""

from __future__ import annotations

import random

from vmpooler.domain.guest import Stamp
from vmpooler.providers.dummy.settings import Dummy
from vmpooler.providers.dummy.vm import SimulatedVm


class FailureInjection:
    """Draws durations and failures from ``chance``."""

    def __init__(self, settings: Dummy, chance: random.Random) -> None:
        self._settings = settings
        self._chance = chance

    def happens(self, percent: float) -> bool:
        """Return True in ``percent`` of 100 cases."""
        return self._chance.random() * 100 < percent

    def duration(self, longest: float) -> float:
        """Return the seconds that an operation takes: between a quarter of ``longest`` and ``longest``."""
        return self._chance.uniform(longest / 4, longest)

    def part(self, duration: float) -> float:
        """Return the seconds after which an operation that would have taken ``duration`` fails."""
        return self._chance.uniform(0, duration)

    def clone(self, pool: str, name: str, number: int, now: float) -> SimulatedVm:
        """Return a VM that is ordered now: when its clone ends and how, and when its guest is up, if ever."""
        settings = self._settings
        fails = self.happens(settings.createvm_fail_percent)
        duration = self.duration(settings.createvm_max_time)
        cloned = now + (self.part(duration) if fails else duration)
        boots = not self.happens(settings.bootvm_fail_percent)
        booted = self.boot(cloned) if boots else None
        return SimulatedVm(
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
        """Return when the guest of a VM that is powered on at the time ``on`` is up."""
        return on + self.duration(self._settings.bootvm_max_time)

    def other_hostname(self, name: str) -> str:
        """Return a host name that differs from the VM's name."""
        return f"{name}-{self._chance.randrange(16**6):06x}"
