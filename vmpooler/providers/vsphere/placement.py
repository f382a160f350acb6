"""Chooses the host of a clone. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from vmpooler.providers.base import ProviderError

LOAD_PER_VM = 0.02
"""The share of a host that is added for each VM placed on it after its load was read."""


@attrs.frozen
class Load:
    """The shares of a host's CPU and memory that are in use, 0 to 1."""

    cpu: float
    memory: float

    @property
    def most(self) -> float:
        """The larger share: the resource that is exhausted first."""
        return max(self.cpu, self.memory)


@attrs.frozen
class Host:
    """A host. ``healthy``: its status is green, it is connected, and it is not in maintenance."""

    name: str
    ref: Any
    healthy: bool
    load: Load


def choose(hosts: Iterable[Host], placed: Mapping[str, int], limit: float, cluster: str) -> Host:
    """Return the least used healthy host.

    ``placed``: the number of VMs ordered on each host since its load was read. ``limit``: the share of CPU or memory, 0
    to 1, from which a host gets no more VMs; 0 means no limit. Raises ProviderError.
    """
    everyone = list(hosts)
    healthy = [host for host in everyone if host.healthy]
    if not healthy:
        raise ProviderError(f"none of the {len(everyone)} hosts of cluster {cluster} is green and out of maintenance")
    free = [host for host in healthy if not limit or _use(host, placed) < limit]
    if not free:
        raise ProviderError(f"all hosts of cluster {cluster} are used above utilization_limit, {limit:.0%}")
    return min(free, key=lambda host: (_use(host, placed), host.name))


def _use(host: Host, placed: Mapping[str, int]) -> float:
    return host.load.most + LOAD_PER_VM * placed.get(host.name, 0)
