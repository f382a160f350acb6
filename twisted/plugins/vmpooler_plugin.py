"""What makes ``twistd vmpooler`` known to twistd."""

from twisted.application.service import ServiceMaker

vmpooler = ServiceMaker("vmpooler", "vmpooler.service", "Pools of VMs that are already running.", "vmpooler")
