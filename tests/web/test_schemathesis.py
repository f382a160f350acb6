"""Requests generated from the OpenAPI document: every response conforms to the document, and none is a server error."""

import os
import sys
from pathlib import Path

import pytest
from twisted.internet.utils import getProcessOutputAndValue

from tests.web.conftest import WITH_AUTH, Serve, Served

TOKEN = "abcdefghijklmnopqrstuvwxyz012345"

BY_NOBODY = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "4xx", 503]

[checks]
negative_data_rejection.enabled = false
unsupported_method.enabled = false

[[operations]]
include-tag = "Summaries"
checks.positive_data_acceptance.enabled = false
"""
"""Checks that do not apply to this API.

503 is not a defect: it is the response when a pool is empty. A body of any type is accepted, and unknown query
parameters are ignored. An unsupported method returns 404, because clients know no other status. Two dates can be in the
wrong order, which a schema cannot express.
"""

BY_A_USER = f"""
{BY_NOBODY}
[parameters]
name = "vm1"
snapshot = "before"
token = "{TOKEN}"

[[operations]]
include-operation-id = "finishWithVm"
parameters = {{ name = "vm2" }}

[[operations]]
include-operation-id = "checkOutByPath"
parameters = {{ name = "debian" }}

[[operations]]
include-operation-id = "deleteToken"
parameters = {{ token = "another" }}
"""
"""Names that exist, so that not every response is 404."""


async def furnished(serve: Serve) -> Served:
    """Return a service with ready VMs, running VMs with tags, snapshots and disks, and tokens."""
    served = await serve(WITH_AUTH)
    await served.have("debian-12-x86_64", *(f"d{number}" for number in range(500)))
    for vm in ("vm1", "vm2"):
        fields = ("template", "debian-12-x86_64", "checkout", "2024-01-01 00:00:00 +0000", "tag:user", "ann")
        await served.store.call("HSET", f"vmpooler__vm__{vm}", *fields, "snapshot:before", "x", "disk", "+8gb")
        await served.store.call("SADD", "vmpooler__running__debian-12-x86_64", vm)
    for token in (TOKEN, "another"):
        await served.store.call(
            "HSET", f"vmpooler__token__{token}", "user", "ann", "created", "2024-01-01 00:00:00 +0000"
        )
    return served


@pytest.mark.limit(180)
@pytest.mark.parametrize(
    ("config", "options"),
    [
        pytest.param(BY_NOBODY, (), id="by nobody"),
        pytest.param(BY_A_USER, ("--auth=ann:secret", f"--header=X-AUTH-TOKEN: {TOKEN}"), id="by a user"),
    ],
)
async def test_any_request_is_answered_as_the_document_says(
    serve: Serve, tmp_path: Path, config: str, options: tuple[str, ...]
) -> None:
    served = await furnished(serve)
    (tmp_path / "schemathesis.toml").write_text(config)
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", *options]
    command += ["--seed=1", "--max-examples=30", "--phases=examples,coverage,fuzzing", "--no-color"]
    command += ["--exclude-operation-id=events"]  # its response never ends
    command += [f"http://127.0.0.1:{served.port}/api/openapi.json"]
    program, *arguments = command
    out, err, code = await getProcessOutputAndValue(program, arguments, os.environ, str(tmp_path))
    assert code == 0, (out + err).decode()
