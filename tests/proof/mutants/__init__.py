"""Prove the proof: deliberate faults, made one after the other in a copy of the source; the tests must notice each.

``python -m tests.proof.mutants`` does it and prints what noticed what. The faults stand in mutants.toml.
"""
