"""vSphere provider: VMs at a vCenter, watched through the vCenter's stream of updates."""

from vmpooler.providers.vsphere.provider import VsphereProvider

__all__ = ["VsphereProvider"]
