"""One row of the table."""

from collections.abc import Mapping

import attrs


@attrs.frozen
class ResultRow:
    """A result as text: what was measured, our value, the floor's value, their ratio, and the target.

    ``met`` is None without a target, or when nothing could be measured. ``figures`` holds the same values as numbers.
    """

    what: str
    ours: str
    floor: str = ""
    ratio: str = ""
    target: str = ""
    met: bool | None = None
    figures: Mapping[str, float] = attrs.field(factory=dict)

    @property
    def verdict(self) -> str:
        """Whether the target was met, as text; empty when ``met`` is None."""
        if self.met is None:
            return ""
        return "yes" if self.met else "**no**"


def absent(what: str, target: str, why: str) -> ResultRow:
    """Return the row of something that could not be measured."""
    return ResultRow(what, f"not measured: {why}", target=target)
