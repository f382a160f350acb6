"""One line of the table."""

from collections.abc import Mapping

import attrs


@attrs.frozen
class Row:
    """What was measured: ours, the floor, how the two compare, and what was asked for, as people read it.

    ``met`` is None where nothing is asked, or could be measured. ``figures`` are the same as numbers.
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
        """Whether the target was met, in a word."""
        if self.met is None:
            return ""
        return "yes" if self.met else "**no**"


def absent(what: str, target: str, why: str) -> Row:
    """The line of what could not be measured."""
    return Row(what, f"not measured: {why}", target=target)
