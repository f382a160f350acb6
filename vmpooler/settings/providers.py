"""An entry of the section ``providers``, as the service sees it. The settings of each provider are in its package."""

from __future__ import annotations

from typing import ClassVar

import attrs


@attrs.frozen(kw_only=True)
class ProviderSettings:
    """What the service reads from the entry of any provider.

    The settings of a provider are a frozen attrs class that derives from this one. Its fields are made by
    :func:`vmpooler.settings.setting`.
    """

    kind: ClassVar[str]
    """The class of the provider (``provider_class``): the name under which its plug-in is installed."""

    by_folder: ClassVar[bool] = True
    """Whether the folder of a pool says which VMs are its own. If not, the provider needs only the name of the pool."""

    @property
    def at(self) -> str:
        """Where the VMs are: a server or a file. Redis stores this text and people read it, so it has no secret."""
        return ""

    @property
    def datacenter(self) -> str:
        """The datacenter of the pools that name none."""
        return ""

    @property
    def clone_limit(self) -> int | None:
        """How many clones the provider runs at once; None for any number."""
        return None
