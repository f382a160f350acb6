"""Every key in Redis, its type and its meaning.

The keys in the first part come from Ruby vmpooler and are a public contract: an operator can move from Ruby vmpooler
to this service and back on the same Redis. Keys that only this service uses begin with ``vmpooler__x__``; Ruby vmpooler
never reads them. Ruby vmpooler calls a pool's name ``template``.
"""

from vmpooler.domain.model import Queue
from vmpooler.domain.tasks import Kind

# Keys of Ruby vmpooler.
TASKS_CLONE = "vmpooler__tasks__clone"  # string: number of clones in flight
LASTBOOT = "vmpooler__lastboot"  # hash: pool -> when its last VM became ready
RECORD = "vmpooler__vm__"  # + VM; hash: the VM's record; expires after its destruction
TOKEN = "vmpooler__token__"  # + token; hash: user, created, last  # noqa: S105 - a key, not a secret

# Keys of this service only.
EVENTS = "vmpooler__x__events"  # stream: the events, capped
CLONING = "vmpooler__x__cloning"  # hash: VM -> pool, the clones in flight; TASKS_CLONE is its length
LINE = "vmpooler__x__line"  # sorted set: pools in the clone queue, in order
LINE_ASKED = "vmpooler__x__line_asked"  # sorted set: the same pools, by the time (epoch) of their last attempt
WANTED = "vmpooler__x__wanted"  # sorted set: pools that clients found empty, by the last time (epoch); expires
FLAGGED = "vmpooler__x__flagged"  # hash: pool -> why the mass guard protects its unknown VMs
TASK_NUMBER = "vmpooler__x__task_number"  # string: number of requests so far
HISTORY = "vmpooler__x__history__"  # + VM; list of JSON: its events, bounded; expires with its record
TOKENS = "vmpooler__x__tokens__"  # + user; set: the user's tokens; expires, see store/commands/tokens.py
HELD = "vmpooler__x__held__"  # + token; hash: VM -> pool, the running VMs that were checked out with it
SAMPLED = "vmpooler__x__sampled"  # string: when (epoch) a manager last took samples, and the last event counted
LEASE = "vmpooler__x__lease"  # string: epoch and name of the leader; expires unless it is renewed
EPOCH = (
    "vmpooler__x__epoch"  # string: epoch and name of the last manager that became leader; only it may change the state
)
BOOKED = "vmpooler__x__booked__"  # + pool; set: its running VMs that are entered in HELD, or have no token
PRIMARY = "vmpooler__x__primary"  # string: run id of the Redis that processes arrived at last, and number of losses
PROCESSES = "vmpooler__x__processes"  # sorted set: processes by their last heartbeat (epoch, Redis's clock)
AWAITED = "vmpooler__x__awaited"  # set: processes that were alive before a loss and have not arrived since
VOUCHED = "vmpooler__x__vouched"  # set: those of AWAITED whose checkouts may be lost
BARRIER = "vmpooler__x__barrier"  # string: end (epoch, Redis's clock) of the wait for AWAITED
DOUBTED = "vmpooler__x__doubted"  # string: the mark of a Redis that may lack writes: only verified pools give VMs
VERIFIED = "vmpooler__x__verified"  # set: pools that were compared with the provider since the mark in DOUBTED
UNCERTAIN = "vmpooler__x__uncertain"  # string: reason why VMs that appear in no queue may be in use; expires
POOLS = "vmpooler__x__pools"  # hash: pool -> JSON of where its VMs are, see store/commands/registry.py
DRAINING = "vmpooler__x__draining"  # hash: unconfigured pool with VMs -> what happens to them, for people
MOVED = "vmpooler__x__moved"  # hash: configured pool -> which of its VMs are at a former location, for people
CONFIGURED = "vmpooler__x__configured"  # hash: process -> time (epoch) of its last report, and its pools as JSON


def pace(kind: str, who: str) -> str:
    """String: when (epoch) a token or an address has used its share of requests; expires then."""
    return f"vmpooler__x__pace__{kind}__{who}"


def queue(queue: Queue, pool: str) -> str:
    """Set: the VMs of a pool that are in a queue."""
    return f"vmpooler__{queue}__{pool}"


def active(pool: str) -> str:
    """Hash: VM -> when it was checked out."""
    return f"vmpooler__active__{pool}"


def empty(pool: str) -> str:
    """String "true" while a pool has no ready VM."""
    return f"vmpooler__empty__{pool}"


def clone_times(day: str) -> str:
    """Hash: pool:VM -> duration of its clone in seconds, of one local day."""
    return f"vmpooler__clone__{day}"


def boot_times(day: str) -> str:
    """Hash: pool:VM -> seconds from the start of its clone until it was ready, of one local day."""
    return f"vmpooler__boot__{day}"


def tag_values(day: str) -> str:
    """Hash: VM:tag -> value, the tags that were set on one local day."""
    return f"vmpooler__tag__{day}"


def record(vm: str) -> str:
    """Hash: the record of a VM."""
    return RECORD + vm


def token(token: str) -> str:
    """Hash: the record of a token."""
    return TOKEN + token


def tokens(user: str) -> str:
    """Set: the tokens of a user."""
    return TOKENS + user


def history(vm: str) -> str:
    """List of JSON: the events of a VM."""
    return HISTORY + vm


def intake(kind: Kind) -> str:
    """Set: VM:argument, or VM:argument:id, requests of a kind that no manager has adopted yet."""
    return f"vmpooler__tasks__{kind}"


def tasks(pool: str) -> str:
    """Hash: id -> JSON, the requests for a pool's VMs until they are finished or abandoned."""
    return f"vmpooler__x__tasks__{pool}"


def summary(day: str) -> str:
    """Hash, of a past day: boot, clone or tag -> the size of that day's hash, a space, and its sum as JSON."""
    return f"vmpooler__x__summary__{day}"


def minutes(chunk: int, pool: str) -> str:
    """String: a day's samples of a pool, one per minute, eight bytes each; see store/commands/samples.py."""
    return f"vmpooler__x__minutes__{chunk}__{pool}"


def quarters(chunk: int, pool: str) -> str:
    """String: thirty days of samples of a pool, one per quarter of an hour, eight bytes each."""
    return f"vmpooler__x__quarters__{chunk}__{pool}"


def since(pool: str) -> str:
    """Hash: VM -> since when (epoch) it has been missing or unknown without a break. Ready ones are not given out."""
    return f"vmpooler__x__since__{pool}"


def trouble(pool: str) -> str:
    """Hash: what keeps failing (a VM, or one of the subjects below) -> JSON of tries, until (epoch) and why."""
    return f"vmpooler__x__trouble__{pool}"


def confirmed(pool: str) -> str:
    """Set: unknown VMs that an operator released from the mass guard."""
    return f"vmpooler__x__confirmed__{pool}"


# Subjects other than VMs that can keep failing. No VM has such a name.
CLONES = ":clone"
INVENTORY = ":inventory"
MISSING = ":missing"
ANSWERS = ":answers"
POWER = ":power"
