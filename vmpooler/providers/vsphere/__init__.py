"""vSphere provider: VMs at a vCenter, watched through the vCenter's stream of updates."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING

from vmpooler.providers.driver import Command, Context, ProviderDriver
from vmpooler.providers.vsphere.settings import Vsphere
from vmpooler.settings import Pool

if TYPE_CHECKING:
    from vmpooler.providers.vsphere.provider import VsphereProvider

__all__ = ["Vsphere", "driver"]


def _build(settings: Vsphere, context: Context) -> VsphereProvider:
    # importing pyVmomi takes a sixth of the start time; only configurations with a vCenter need it
    from vmpooler.providers.vsphere.provider import VsphereProvider

    return VsphereProvider(
        settings, context.general, context.pools, context.reactor, context.wall, context.chance, context.may_order
    )


def _check_pool(pool: Pool) -> Mapping[str, str]:
    needed = {"template": pool.template, "folder": pool.folder}
    return {name: "must be given for a pool on vsphere" for name, value in needed.items() if value == ""}


def _folder_argument(parser: ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER")


async def _template_deltas(settings: Vsphere, context: Context, asked: Namespace) -> str:
    provider = _build(settings, context)
    try:
        await provider.start()
        done = await provider.prepare_templates(asked.folder)
    finally:
        await provider.stop()
    return "\n".join(done) if done else f"nothing in {asked.folder} lacks a layer"


driver = ProviderDriver(
    settings=Vsphere,
    build=_build,
    check_pool=_check_pool,
    commands=(
        Command(
            name="template-deltas",
            help="make templates ready for linked clones",
            description="Puts a layer on the disks of every template in a folder of a vCenter and below it that has "
            "none, so that linked clones share what is below. The templates must be switched off.",
            arguments=_folder_argument,
            run=_template_deltas,
        ),
    ),
)
