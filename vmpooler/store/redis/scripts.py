"""The Lua scripts in ``lua/``, and what runs them: one script makes one transition.

Note [Signatures of scripts]

A script begins with comments. Some of them are read here:

    -- uses: prelude, held              the shared parts that are put in front of it
    -- keys: pending ready others...    the names of its keys
    -- args: now_text kinds...          the names of its arguments

Each name is a local variable in Lua. The last name may end in ``...``: it is a list of all further values. A line may
be repeated. A shared part may have keys and arguments too; they come before those of the script. A key has the name
that it has in store/keys.py. Python passes all values by name; a call that lacks one of the names, or has another one,
raises TypeError.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from operator import itemgetter
from typing import Any

import attrs

from vmpooler.domain.errors import NotLeading, StoreAway, VmpoolerError
from vmpooler.domain.model import Queue
from vmpooler.store import keys
from vmpooler.store.redis.protocol import ServerError, Value, message_of

Argument = Value | Sequence[Value]
"""What Python passes for a name: a value, or a list or tuple where the name ends in ``...``."""

FEW = 1000
"""Number of values that a script unpacks at once."""

BEGINNINGS = {
    "RECORD": keys.RECORD,
    "HISTORY": keys.HISTORY,
    "RUNNING": keys.queue(Queue.RUNNING, ""),
    "ACTIVE": keys.active(""),
    "TOKEN": keys.TOKEN,
    "TOKENS": keys.TOKENS,
    "HELD": keys.HELD,
    "BOOKED": keys.BOOKED,
}
"""Prefixes of keys that scripts build themselves, by their variable names in Lua."""

HEAD = f"local {', '.join(BEGINNINGS)} = {', '.join(repr(key) for key in BEGINNINGS.values())}"
"""The first line of every script as Redis runs it: the variables of BEGINNINGS."""

LASTING = ("checkout", "complete", "change", "request", "add_token", "drop_token")
"""Scripts whose effect is promised to clients, or ends a VM. With ``wait_replicas``, replicas must have the writes."""

PASSING = re.compile(
    r"(?:^|: -)(?:BUSY|CLUSTERDOWN|LOADING|MASTERDOWN|MISCONF|NOREPLICAS|OOM|READONLY|TRYAGAIN) .*", re.DOTALL
)
"""Errors of a Redis that is unavailable now but may recover. Redis raises them before a script's first write, so
nothing was changed. Version 6.2 puts the position in the script in front of the error code."""

FENCED = "NOTLEADING "
"""Prefix of the error with which a script rejects a manager that is not the leader."""


@attrs.frozen
class Names:
    """The names of a script's keys, or of its arguments, in order. ``rest`` names the list of all further values."""

    fixed: tuple[str, ...] = ()
    rest: str = ""
    pick: Callable[[Mapping[str, Any]], tuple[Any, ...]] = attrs.field(init=False, repr=False)
    """Returns the values of the fixed names, in order."""

    @pick.default
    def _picker(self) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
        if len(self.fixed) > 1:
            return itemgetter(*self.fixed)  # a checkout has too many for a loop
        return lambda given: tuple(given[name] for name in self.fixed)

    @classmethod
    def of(cls, kind: str, *texts: str) -> Names:
        """Return the names in the lines ``-- kind: ...`` of the texts."""
        names = [name for text in texts for name in _header(kind, text).split()]
        rest = names.pop().removesuffix("...") if names and names[-1].endswith("...") else ""
        return cls(tuple(names), rest)

    def values(self, given: Sequence[Value]) -> dict[str, Any]:
        """Return the value of each name. ``given``: all values in order."""
        rest = {self.rest: given[len(self.fixed) :]} if self.rest else {}
        return dict(zip(self.fixed, given, strict=False)) | rest

    def variables(self, table: str) -> list[str]:
        """Return the lines of Lua that make each name a local variable. ``table`` has the values: KEYS or ARGV."""
        count, lines = len(self.fixed), []
        if self.fixed:
            lines.append(f"local {', '.join(self.fixed)} = unpack({table}, 1, {count})")
        if self.rest and not count:
            lines.append(f"local {self.rest} = {table}")
        elif self.rest:
            few = f"{{unpack({table}, {count + 1}, math.min(#{table}, {FEW}))}}"  # Lua cannot unpack thousands at once
            many = f"for i = {FEW + 1}, #{table} do {self.rest}[i - {count}] = {table}[i] end"
            lines.append(f"local {self.rest} = {few} {many}")
        return lines


@attrs.frozen(eq=False)
class Script:
    """A script as Redis runs it. ``text`` is its own part; ``sha`` is the SHA-1 digest under which Redis caches it."""

    name: str
    text: str = attrs.field(repr=False)
    keys: Names
    args: Names
    source: str = attrs.field(repr=False)
    sha: str = attrs.field(init=False)
    names: frozenset[str] = attrs.field(init=False, repr=False)

    def command(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return the command that runs the script with these values.

        Raises TypeError when a name lacks a value, or a value has an unknown name.
        """
        if len(values) != len(self.names):
            raise self._wrong(values)
        try:
            keys, more_keys = self.keys.pick(values), values[self.keys.rest] if self.keys.rest else ()
            args, more_args = self.args.pick(values), values[self.args.rest] if self.args.rest else ()
        except KeyError:
            raise self._wrong(values) from None
        if isinstance(more_keys, str) or isinstance(more_args, str):
            raise TypeError(f"{self.name}: the last key or argument is a list")
        return ("EVALSHA", self.sha, len(keys) + len(more_keys), *keys, *more_keys, *args, *more_args)

    def values(self, command: Sequence[Any]) -> dict[str, Any]:
        """Return the values by name that ``command`` was made of."""
        args = 3 + command[2]
        return self.keys.values(command[3:args]) | self.args.values(command[args:])

    def _wrong(self, values: Mapping[str, Any]) -> TypeError:
        wrong = {"lacks": self.names - values.keys(), "has no": values.keys() - self.names}
        why = "; ".join(f"{what} {', '.join(sorted(names))}" for what, names in wrong.items() if names)
        return TypeError(f"{self.name} {why}")

    @sha.default
    def _digest(self) -> str:
        return hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    @names.default
    def _all_names(self) -> frozenset[str]:
        return frozenset(filter(None, (*self.keys.fixed, self.keys.rest, *self.args.fixed, self.args.rest)))


@cache
def load(name: str) -> Script:
    """Return the script in ``lua/<name>.lua``, with its shared parts in front."""
    return script(name, _text(name))


@cache
def fenced(script: Script) -> Script:
    """Return the script with the fence for managers in front.

    It has one more key and argument, ``fence`` and ``term``, and fails unless the value of the key equals the argument.
    """
    return _joined(script.name, script.text, "fence")


def script(name: str, text: str) -> Script:
    """Return a script with this text, with its shared parts in front. See Note [Signatures of scripts]."""
    return _joined(name, text)


def _joined(name: str, text: str, *parts: str) -> Script:
    uses = (*parts, *_header("uses", text).replace(",", " ").split())
    texts = (*(_text(f"_{part}") for part in uses), text)
    names, args = Names.of("keys", *texts), Names.of("args", *texts)
    return Script(name, text, names, args, "\n".join([HEAD, *names.variables("KEYS"), *args.variables("ARGV"), *texts]))


def _header(kind: str, text: str) -> str:
    return " ".join(re.findall(rf"^-- {kind}: (.+)$", text, re.MULTILINE))


def _text(name: str) -> str:
    return files("vmpooler.store").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


class StoreFault(VmpoolerError):
    """Redis rejects a command or a script because of its content: a defect in this program or in the data."""


class RedisCommands:
    """Base class of connections to Redis: what can send commands and run scripts."""

    async def call(self, *command: Value) -> Any:
        """Send one command and return its reply. Raises StoreAway or StoreFault."""
        try:
            return await self._send(*command)
        except ServerError as error:
            raise self._meaning(message_of(error), str(command[0])) from None

    async def run(self, script: Script, /, **values: Argument) -> Any:
        """Run a script with these keys and arguments, and return its result.

        Raises StoreAway or StoreFault; a fenced script also NotLeading.
        """
        command, send = script.command(values), self._sender(script)
        try:
            try:
                reply = await send(*command)
            except ServerError as error:
                if not str(error).startswith("NOSCRIPT"):
                    raise
                reply = await send("EVAL", script.source, *command[2:])
        except ServerError as error:
            raise self._meaning(message_of(error), script.name) from None
        self._ran(script, command, reply)
        return reply

    def _send(self, *command: Value) -> Awaitable[Any]:
        """Send one command and return its reply. Raises StoreAway or ServerError."""
        raise NotImplementedError

    def _ran(self, script: Script, command: Sequence[Any], reply: Any) -> None:
        """Called after a script has run, with what ``script.command`` returned; subclasses override it."""

    def _sender(self, script: Script) -> Callable[..., Awaitable[Any]]:
        """Return the function that sends this script."""
        return self._send

    def _meaning(self, error: str, what: str) -> VmpoolerError:
        if error.startswith(FENCED):
            return NotLeading(error.removeprefix(FENCED))
        if passing := PASSING.search(error):
            return StoreAway(f"Redis is away: {passing[0].removeprefix(': -')}")
        return StoreFault(f"{what}: {error}")
