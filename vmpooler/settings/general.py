"""The section ``config``."""

from __future__ import annotations

import attrs

from vmpooler.settings.field import setting

AUTO = 0
"""Stands in ``task_limit`` for: as many as the provider bears."""


@attrs.frozen(kw_only=True)
class General:
    """The section ``config``: what holds for the whole service."""

    listen: str = setting(
        "Where the API answers: a port, an address and port, or any Twisted endpoint (tcp:…, ssl:…, unix:…).", "4567"
    )
    health_listen: str = setting(
        "Where a manager whose process does not answer the API answers /healthz and /readyz; nowhere when empty.", ""
    )
    site_name: str = setting("The name of this installation, shown on the dashboard.", "vmpooler")
    domain: str = setting("The domain of the VMs, a member of its own in replies; none when empty.", "")
    prefix: str = setting("What the name of every VM starts with.", "", pattern=r"([A-Za-z0-9][A-Za-z0-9_-]{0,40})?")
    logfile: str = setting(
        "The file that a daemon logs to, relative to this one; in the foreground the log goes to standard output.",
        "vmpooler.log",
        path=True,
    )
    log_format: str = setting(
        "How a log line looks: plain, as Ruby vmpooler writes it, or json.", "plain", choices=("plain", "json")
    )
    state_directory: str = setting(
        "The directory that an embedded Redis keeps its data in, relative to this file's.", ".vmpooler", path=True
    )
    task_limit: int = setting(
        "How many clones may be under way at once, all pools together; auto for as many as their provider bears.",
        10,
        minimum=1,
        words={"auto": AUTO},
    )
    task_limit_max: int = setting("How many at the most where task_limit is auto.", 100, minimum=1)
    timeout: float = setting("Minutes that a pending VM may take to become ready.", 15, minimum=0.01)
    ready_ttl: float = setting(
        "Minutes that a ready VM stays fresh before it is replaced; 0 for no limit.", 0, minimum=0
    )
    vm_checktime: float = setting(
        "Minutes between two checks of a ready VM; one that fails is followed by another, some seconds later.",
        15,
        minimum=0.01,
    )
    vm_lifetime: float = setting(
        "Hours that a checked-out VM lives, unless its client says otherwise.", 24, minimum=0.01
    )
    vm_lifetime_auth: int = setting("The same for a VM checked out with a token; 0 for no difference.", 0, minimum=0)
    max_lifetime_upper_limit: float = setting(
        "Hours that clients may ask for at the most when they set a lifetime; 0 for no limit.", 0, minimum=0
    )
    discovered_grace: float = setting(
        "Minutes that a VM must be unknown, or missing, without a break before it is acted on.", 10, minimum=0.01
    )
    destroy_foreign: bool = setting("Also destroy unknown VMs that this service did not make.", False)
    clone_target: str = setting("The cluster that VMs are cloned to; where their template is when empty.", "")
    create_linked_clones: bool = setting("Clone by sharing the template's disks instead of copying them.", True)
    create_folders: bool = setting("Make the folders of pools at the vCenter where they are missing.", False)
    create_template_delta_disks: bool = setting(
        "Put a layer on the disks of templates that have none, so that linked clones can share what is below.", False
    )
    utilization_limit: float = setting(
        "The share of its CPU or memory, in percent, above which a host gets no more clones; 0 for no limit.",
        0,
        minimum=0,
        maximum=100,
    )
    allowed_tags: tuple[str, ...] = setting("The only tags that clients may set; all when empty.", ())
    task_tries: int = setting(
        "How often a disk, a snapshot or a revert is tried before it is given up.", 8, minimum=1, maximum=100
    )
    daily_retention: int = setting(
        "Days that what summaries are made of is kept: clone times, boot times, tags; 0 for ever.",
        366,
        minimum=0,
        maximum=36500,
    )
    events_max: int = setting("How many events the stream in Redis keeps.", 100_000, minimum=100)
    event_clients: int = setting(
        "How many clients may be connected to the events of one process; more are refused.",
        5000,
        minimum=0,
        maximum=100_000,
    )
