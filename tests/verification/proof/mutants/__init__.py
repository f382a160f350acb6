"""Tests of the tests: deliberate faults, made one after the other in a copy of the source. The tests must notice
each.

``python -m tests.verification.proof.mutants`` runs them and prints which test noticed which fault.
mutants.toml lists the faults.
"""
