"""Registers ``twistd vmpooler`` with twistd."""

from twisted.application.service import ServiceMaker

vmpooler = ServiceMaker("vmpooler", "vmpooler.process.service", "Pools of VMs that are already running.", "vmpooler")
