"""Pools of virtual machines that are already running, handed out in one call."""

__version__ = "0.1.0"
