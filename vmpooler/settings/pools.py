"""The section ``pools``."""

from __future__ import annotations

import attrs

from vmpooler.settings.field import setting

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
"""What the name of a pool or an alias may look like: it stands in paths, Redis keys and metrics."""


@attrs.frozen(kw_only=True)
class Pool:
    """One entry of ``pools``: a named set of like VMs, kept at ``size``."""

    name: str = setting("The name that clients ask for.", pattern=NAME)
    alias: tuple[str, ...] = setting(
        "Other names by which clients can ask for it; several pools may share one.", (), pattern=NAME
    )
    template: str = setting("The path of the image that is cloned.", "")
    folder: str = setting(
        "The folder that the VMs of this pool live in; pools may share one, nothing else is in it.", ""
    )
    datastore: str = setting("Where the disks of its VMs go.", "")
    size: int = setting("How many VMs are kept ready.", minimum=0)
    provider: str = setting("The entry of providers that makes its VMs; needed where several could be meant.", "")
    datacenter: str = setting("The path of its datacenter; when empty that of its provider.", "")
    clone_target: str = setting("The cluster that its VMs are cloned to.", "", inherits=True)
    create_linked_clone: bool = setting(
        "Clone by sharing the template's disks instead of copying them.", True, inherits="create_linked_clones"
    )
    timeout: float = setting("Minutes that one of its VMs may take to become ready.", 15, minimum=0.01, inherits=True)
    ready_ttl: float = setting(
        "Minutes that one of its ready VMs stays fresh; 0 for no limit.", 0, minimum=0, inherits=True
    )
    probe_port: int = setting("The TCP port that must answer before a VM is ready.", 22, minimum=1, maximum=65535)
