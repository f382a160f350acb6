"""Chaos: real processes, real clients and faults; then the clients' responses are checked against the invariants.

``python -m tests.verification.chaos --seconds 60`` runs it and prints a table. The faults are chosen by a seed. Their
effects on this machine are not reproducible.
"""
