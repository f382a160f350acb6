"""The metrics of the service: each is declared here, and every value goes to all sinks.

The names are those of Ruby vmpooler. Source: docs/compatibility.md#graphite-names. A new metric is a line in METRICS; a
new source of values is also a method of MetricsRegistry. A sink decides how it sends each kind.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import attrs

from vmpooler.domain import summary
from vmpooler.domain.events import Event, What
from vmpooler.domain.history import SERIES


@attrs.frozen
class Gauge:
    """How many VMs of a pool are in a state, once a minute. ``series`` is the number's name in a sample."""

    name: str
    series: str


@attrs.frozen
class Histogram:
    """The seconds that something took for a VM of a pool. ``what`` is the event that has them."""

    name: str
    what: What


Metric = Gauge | Histogram

METRICS: Sequence[Metric] = (
    Gauge("ready", series="ready"),
    Gauge("running", series="running"),
    Histogram("clone", what=What.CLONED),
    Histogram("destroy", what=What.DESTROYED),
)


class Sink(Protocol):
    """Sends metrics to a server."""

    def send(self, metric: Metric, pool: str, value: float, when: float) -> None:
        """Send the value of a metric at ``when`` (epoch), now or later. It must not raise and must not block."""


class MetricsRegistry:
    """Passes values of METRICS to these sinks."""

    def __init__(self, *sinks: Sink) -> None:
        self._sinks = sinks

    def sampled(self, rows: Mapping[str, Sequence[int]], when: float) -> None:
        """Take the values of gauges from a sample of these pools."""
        for pool, row in rows.items():
            for metric in METRICS:
                if isinstance(metric, Gauge):
                    self._send(metric, pool, row[SERIES.index(metric.series)], when)

    def on_event(self, event: Event) -> None:
        """Take the value of a histogram from an event: a listener of the event stream."""
        for metric in METRICS:
            if isinstance(metric, Histogram) and metric.what is event.what:
                seconds = summary.seconds(event.more.get("seconds", ""))
                if seconds is not None:
                    self._send(metric, event.pool, seconds, event.when)

    def _send(self, metric: Metric, pool: str, value: float, when: float) -> None:
        for sink in self._sinks:
            sink.send(metric, pool, value, when)
