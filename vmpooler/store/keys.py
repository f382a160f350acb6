"""Every key in Redis, its type and its meaning.

The first part is the original's, a public contract: an operator can move from the original to this service and
back on the same Redis. What is ours alone stands under ``vmpooler__x__``, which the original never reads. The
original says ``template`` for a pool's name; that is translated here and nowhere else.
"""

from vmpooler.domain.model import Queue
from vmpooler.domain.tasks import Kind

# The original's.
TASKS_CLONE = "vmpooler__tasks__clone"  # string: how many clones are under way
LASTBOOT = "vmpooler__lastboot"  # hash: pool -> when its last VM became ready
RECORD = "vmpooler__vm__"  # + VM; hash: what is known of it; expires after its destruction
TOKEN = "vmpooler__token__"  # + token; hash: user, created, last  # noqa: S105 - a key, not a secret

# Ours.
EVENTS = "vmpooler__x__events"  # stream: what happened, capped
CLONING = "vmpooler__x__cloning"  # hash: VM -> pool, the clones under way; TASKS_CLONE is its length
LINE = "vmpooler__x__line"  # sorted set: pools in line for a clone, in their order
LINE_ASKED = "vmpooler__x__line_asked"  # sorted set: the same pools, by when they last asked
WANTED = "vmpooler__x__wanted"  # sorted set: pools that clients found empty, by when (epoch) last; expires
FLAGGED = "vmpooler__x__flagged"  # hash: pool -> why the mass guard holds
TASK_NUMBER = "vmpooler__x__task_number"  # string: how many requests there were
HISTORY = "vmpooler__x__history__"  # + VM; list of JSON: its events, bounded; expires with its record
TOKENS = "vmpooler__x__tokens__"  # + user; set: the user's tokens; expires, see store/tokens.py
HELD = "vmpooler__x__held__"  # + token; hash: VM -> pool, the running VMs that were checked out with it
SAMPLED = "vmpooler__x__sampled"  # string: when (epoch) a manager last took samples, and the last event then
LEASE = "vmpooler__x__lease"  # string: epoch and name of the manager that leads; expires unless it is kept up
EPOCH = (
    "vmpooler__x__epoch"  # string: epoch and name of the last that began to lead, which no manager but it may change
)
BOOKED = "vmpooler__x__booked__"  # + pool; set: its running VMs that are entered in HELD, or have no token
PRIMARY = "vmpooler__x__primary"  # string: the run id of the Redis that processes came to last, and how many losses
PROCESSES = "vmpooler__x__processes"  # sorted set: processes by their last sign of life (epoch, Redis's clock)
AWAITED = "vmpooler__x__awaited"  # set: processes that lived before a loss and have not come since
VOUCHED = "vmpooler__x__vouched"  # set: those of AWAITED whose checkouts may be lost
BARRIER = "vmpooler__x__barrier"  # string: until when (epoch, Redis's clock) they are waited for
DOUBTED = "vmpooler__x__doubted"  # string: the mark of a Redis that may lack writes: only verified pools give VMs
VERIFIED = "vmpooler__x__verified"  # set: pools whose VMs were compared with the provider since that Redis came
UNCERTAIN = "vmpooler__x__uncertain"  # string: VMs that come to light may be in use; expires
POOLS = "vmpooler__x__pools"  # hash: pool -> JSON of where its VMs stand, see store/registry.py
DRAINING = "vmpooler__x__draining"  # hash: pool that has VMs and is not configured -> what happens to them, for people
MOVED = "vmpooler__x__moved"  # hash: configured pool -> which of its VMs stand at a former place, for people
CONFIGURED = "vmpooler__x__configured"  # hash: process -> JSON of the pools in its configuration, and when it said so


def pace(kind: str, who: str) -> str:
    """String: when (epoch) a token or an address has used its share of requests; expires then."""
    return f"vmpooler__x__pace__{kind}__{who}"


def queue(queue: Queue, pool: str) -> str:
    """Set: the VMs of a pool that stand in a queue."""
    return f"vmpooler__{queue}__{pool}"


def active(pool: str) -> str:
    """Hash: VM -> when it was checked out."""
    return f"vmpooler__active__{pool}"


def empty(pool: str) -> str:
    """String "true" while a pool has no ready VM."""
    return f"vmpooler__empty__{pool}"


def clone_times(day: str) -> str:
    """Hash: pool:VM -> seconds that its clone took, of one local day."""
    return f"vmpooler__clone__{day}"


def boot_times(day: str) -> str:
    """Hash: pool:VM -> seconds from its order until it was ready, of one local day."""
    return f"vmpooler__boot__{day}"


def tag_values(day: str) -> str:
    """Hash: VM:tag -> value, the tags that were set on one local day."""
    return f"vmpooler__tag__{day}"


def record(vm: str) -> str:
    """Hash: what is known of a VM."""
    return RECORD + vm


def token(token: str) -> str:
    """Hash: what is known of a token."""
    return TOKEN + token


def tokens(user: str) -> str:
    """Set: the tokens of a user."""
    return TOKENS + user


def history(vm: str) -> str:
    """List of JSON: the events of a VM."""
    return HISTORY + vm


def intake(kind: Kind) -> str:
    """Set: VM:argument, or VM:argument:id, requests of a kind that no manager has taken up."""
    return f"vmpooler__tasks__{kind}"


def tasks(pool: str) -> str:
    """Hash: id -> JSON, the requests for a pool's VMs until they are done or given up."""
    return f"vmpooler__x__tasks__{pool}"


def summary(day: str) -> str:
    """Hash: boot, clone or tag -> the size of that hash of a day that is over, a space, and its sum as JSON."""
    return f"vmpooler__x__summary__{day}"


def minutes(chunk: int, pool: str) -> str:
    """String: a day's samples of a pool, one a minute, eight bytes each; see store/samples.py."""
    return f"vmpooler__x__minutes__{chunk}__{pool}"


def quarters(chunk: int, pool: str) -> str:
    """String: the same of thirty days, one a quarter of an hour."""
    return f"vmpooler__x__quarters__{chunk}__{pool}"


def since(pool: str) -> str:
    """Hash: VM -> since when (epoch) it has been missing or unknown without a break. Ready ones are not given."""
    return f"vmpooler__x__since__{pool}"


def trouble(pool: str) -> str:
    """Hash: what keeps failing (a VM, or one of the subjects below) -> JSON of tries, until (epoch) and why."""
    return f"vmpooler__x__trouble__{pool}"


def confirmed(pool: str) -> str:
    """Set: unknown VMs that an operator gave up in spite of the mass guard."""
    return f"vmpooler__x__confirmed__{pool}"


# What else than a VM can keep failing; no VM has such a name.
CLONES = ":clone"
INVENTORY = ":inventory"
MISSING = ":missing"
ANSWERS = ":answers"
POWER = ":power"
