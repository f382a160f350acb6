"""Reads ``vmpooler.yaml``, also one of Ruby vmpooler, and the environment into Settings, or reports all mistakes."""

from vmpooler.config.loader import Loaded, load
from vmpooler.config.source import Source, demo, exposed, find
from vmpooler.config.values import endpoint

__all__ = ["Loaded", "Source", "demo", "endpoint", "exposed", "find", "load"]
