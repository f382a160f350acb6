"""vSphere: VMs at a vCenter, watched through its stream of updates."""

from vmpooler.providers.vsphere.provider import VsphereProvider

__all__ = ["VsphereProvider"]
