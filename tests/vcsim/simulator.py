"""Builds, starts, controls and kills the process of the simulated vCenter."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

from tests.ports import free_port
from vmpooler.embedded.program import guarded

SOURCES = sorted(Path(__file__).parent.glob("*.go"))
LIBRARY = Path("/usr/share/gocode")
SIMULATOR = LIBRARY / "src/github.com/vmware/govmomi/simulator"
CHANGES = (
    (
        "virtual_machine.go",
        """	vm := &VirtualMachine{}
	vm.Parent = &parent
""",
        """	vm := &VirtualMachine{}
	vm.Parent = &parent
	vm.Name = spec.Name
	vm.Config = &types.VirtualMachineConfigInfo{Name: spec.Name, Tools: &types.ToolsConfigInfo{}}
	vm.Guest = &types.GuestInfo{}
	vm.Summary.Guest = &types.VirtualMachineGuestSummary{}
""",
    ),
    (
        "property_filter.go",
        """				kind = getManagedObject(ctx.Map.Get(ref)).Type()
""",
        """				obj := ctx.Map.Get(ref)
				if obj == nil {
					return false
				}
				kind = getManagedObject(obj).Type()
""",
    ),
    (
        "property_collector.go",
        """			log.Printf("%s: applying %d updates to %d filters", pc.Self, len(updates), len(pc.Filter))
""",
        """			current, all := false, apply
			apply := func() bool {
				if current {
					return true
				}
				current = true
				return all()
			}
""",
    ),
)
"""Changes to files of the library, built in as an overlay: file, text, text in its place.

- The library lists a new VM before it gives it a configuration, and panics when a client reads it in between. The VM
  gets an empty one before it is listed.
- A wait for updates panics when an object that changed was destroyed meanwhile. Such an object does not match a filter.
- A wait for updates reads all objects anew for each single update, so 500 updates at once take longer than the timeout
  of a client. It reads them once for all updates that it reports together.
"""
USER, PASSWORD = "vmpooler", "secret"


def binary() -> Path:
    """Return the path of the program. It is built, in half a minute, unless one of the same source is in the cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "vmpooler-tests")
    code = b"".join([*(source.read_bytes() for source in SOURCES), repr(CHANGES).encode()])
    program = cache / f"vcsim-{hashlib.sha256(code).hexdigest()[:16]}"
    if not program.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            package = Path(folder, "src/vcsim")
            package.mkdir(parents=True)
            for source in SOURCES:
                shutil.copy(source, package)
            paths = {"GOPATH": f"{folder}:{LIBRARY}", "GOCACHE": str(cache / "go")}
            environ = {**os.environ, "GO111MODULE": "off", "GOPROXY": "off", **paths}
            build = ["go", "build", f"-overlay={_overlay(Path(folder))}", "-o", f"{folder}/vcsim", "vcsim"]
            subprocess.run(build, env=environ, check=True)
            Path(folder, "vcsim").replace(program)
    return program


def _overlay(folder: Path) -> Path:
    """Write the changed files of the library, and what go build needs to use them."""
    replaced = {}
    for name, before, after in CHANGES:
        original, changed = SIMULATOR / name, folder / name
        assert str(original) not in replaced, f"{name} stands twice in CHANGES"
        text = original.read_text(encoding="utf-8")
        assert text.count(before) == 1, f"{original} is another version than CHANGES is for"
        changed.write_text(text.replace(before, after), encoding="utf-8")
        replaced[str(original)] = str(changed)
    overlay = folder / "overlay.json"
    overlay.write_text(json.dumps({"Replace": replaced}), encoding="utf-8")
    return overlay


class Simulator:
    """One simulated vCenter on its own port, with one VM, three hosts and two datastores.

    ``net`` is the first two numbers of its guests' addresses. ``boot`` is the time from power-on until a guest reports
    its name and address. With ``certificate`` and ``key`` it serves TLS. With ``kept``, a folder, its VMs are kept
    across restarts in the file ``memory``, and clones, destructions and reverts are recorded in the file ``journal``.
    """

    def __init__(
        self, net: str = "127.1", boot: str = "200ms", certificate: str = "", key: str = "", kept: Path | None = None
    ) -> None:
        self.host = "127.0.0.1"
        self.port = free_port()
        self._folder = tempfile.mkdtemp(prefix="vmpooler-vcsim-", dir=kept)
        self._process: subprocess.Popen[str] | None = None
        self.tls = bool(certificate)
        tls = [f"-tls={'true' if certificate else 'false'}", f"-tlscert={certificate}", f"-tlskey={key}"]
        login = [f"-username={USER}", f"-password={PASSWORD}"]
        sizes = ["-standalone-host=0", "-host=3", "-vm=1", "-ds=2"]
        self._kept = kept
        self.memory, self.journal = (Path(kept or self._folder, name) for name in ("memory", "journal"))
        files = [f"-memory={self.memory}", f"-journal={self.journal}"] if kept else []
        self._flags = [*tls, *files, *login, *sizes, f"-net={net}", f"-boot={boot}", f"-l={self.host}:{self.port}"]

    @property
    def url(self) -> str:
        """The value for the setting ``server``."""
        return f"{'' if self.tls else 'http://'}{self.host}:{self.port}"

    def start(self) -> None:
        """Start it with the VMs of ``memory``, or with the initial inventory, and return when it accepts calls."""
        environ = {**os.environ, "TMPDIR": self._folder}
        command = guarded([binary(), *self._flags])
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ, cwd=self._kept)
        assert self._process.stdout is not None
        assert self._process.stdout.readline().startswith("READY")

    def kill(self) -> None:
        """Kill it with SIGKILL: connections are cut, and data that is not in ``memory`` is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def signal(self, number: int) -> None:
        """Send a signal to the process."""
        assert self._process is not None
        self._process.send_signal(number)

    def remove(self) -> None:
        """Kill it and delete its files; those in ``kept`` remain."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def control(self, **what: str) -> None:
        """Change its behaviour; README.md lists the queries. Raises ValueError for one that does not exist."""
        self._ask(what)

    def calls(self) -> Mapping[str, int]:
        """Return the number of calls of each SOAP method since ``control(reset="")``."""
        counts = (line.rsplit(" ", 1) for line in self._ask({}).splitlines())
        return {name: int(count) for name, count in counts if name != "conns"}

    def _ask(self, what: Mapping[str, str]) -> str:
        connection = HTTPConnection(self.host, self.port, timeout=10)
        try:
            connection.request("GET", f"/ctl?{urlencode(what)}")
            response = connection.getresponse()
            answer = response.read().decode()
            if response.status != HTTPStatus.OK:
                raise ValueError(f"the simulator refuses {what}: {answer}")
            return answer
        finally:
            connection.close()
