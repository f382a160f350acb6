"""``vmpooler.yaml``, the files of Ruby vmpooler too, and the environment -> Settings, or every mistake at once."""

from vmpooler.config.exposure import exposed
from vmpooler.config.listen import endpoint
from vmpooler.config.loader import Loaded, load
from vmpooler.config.source import Source, demo, find

__all__ = ["Loaded", "Source", "demo", "endpoint", "exposed", "find", "load"]
