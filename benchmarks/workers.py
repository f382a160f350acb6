"""Several API processes on one port."""

from benchmarks.row import Row, absent
from benchmarks.scale import Scale

COUNTS = {2: "two", 4: "four"}


def measure(scale: Scale) -> list[Row]:
    """A line for each number of processes."""
    asked = "no refusal, CPU a request at most x 1.2 of one process's"
    return [absent(f"{count} API processes", asked, "the service starts only one") for count in COUNTS.values()]
