"""Disables the time limit that Hypothesis sets for each example: a slow machine is not a counterexample."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
