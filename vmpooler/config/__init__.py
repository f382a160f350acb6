"""``vmpooler.yaml``, the files of Ruby vmpooler too, and the environment -> Settings, or every mistake at once."""

from vmpooler.config.loader import Loaded, load
from vmpooler.config.source import Source, demo, exposed, find
from vmpooler.config.values import endpoint

__all__ = ["Loaded", "Source", "demo", "endpoint", "exposed", "find", "load"]
