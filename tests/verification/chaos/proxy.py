"""A TCP proxy whose connections can be cut or stalled, in a separate process.

``python -m tests.verification.chaos.proxy NAME=PORT ...`` prints for each name the port that forwards
to PORT. Each line on its standard input sets the state of one of them: ``NAME flow``, ``NAME stall`` (all data waits),
``NAME deaf`` (requests pass, responses wait) or ``NAME cut`` (connections are cut, new ones too).
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from vmpooler.embedded.program import guarded

ROOT = Path(__file__).parents[3]

HOST = "127.0.0.1"


class ProxyRoute:
    """One route to a port."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._there, self._back = asyncio.Event(), asyncio.Event()
        self._there.set()
        self._back.set()
        self._cut = False
        self._ends: set[asyncio.StreamWriter] = set()

    def become(self, state: str) -> None:
        """Set the state: flow, stall, deaf or cut."""
        self._cut = state == "cut"
        for way, stalled in ((self._there, ("stall",)), (self._back, ("stall", "deaf"))):
            if state in stalled:
                way.clear()
            else:
                way.set()
        for end in self._ends if self._cut else ():
            end.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection until one end closes."""
        ends = [writer]
        try:
            if not self._cut:
                there, back = await asyncio.open_connection(HOST, self._target)
                ends.append(back)
                self._ends.update(ends)
                await asyncio.gather(self._pass_on(reader, back, self._there), self._pass_on(there, writer, self._back))
        except OSError:
            pass
        finally:
            self._ends.difference_update(ends)
            for end in ends:
                end.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: asyncio.Event) -> None:
        while data := await reader.read(1 << 16):
            await way.wait()
            if self._cut:
                break
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError


async def main(targets: Mapping[str, int]) -> None:
    """Forward until standard input ends."""
    routes = {name: ProxyRoute(port) for name, port in targets.items()}
    for name, route in routes.items():
        server = await asyncio.start_server(route.serve, HOST, 0)
        print(name, server.sockets[0].getsockname()[1], flush=True)
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        name, state = line.decode().split()
        routes[name].become(state)


class TcpProxy:
    """The proxy process, run in a folder; ``ports`` are the ports of the routes."""

    def __init__(self, targets: Mapping[str, int], folder: Path) -> None:
        command = [
            sys.executable,
            "-m",
            "tests.verification.chaos.proxy",
            *(f"{name}={port}" for name, port in targets.items()),
        ]
        self._process = subprocess.Popen(
            guarded(command),
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._commands = self._process.stdin
        lines = (self._process.stdout.readline().split() for _ in targets)
        self.ports = {name: int(port) for name, port in lines}

    def become(self, name: str, state: str) -> None:
        """Set the state of a route: flow, stall, deaf or cut."""
        self._commands.write(f"{name} {state}\n")
        self._commands.flush()


if __name__ == "__main__":
    asyncio.run(main({name: int(port) for name, _, port in (each.partition("=") for each in sys.argv[1:])}))
