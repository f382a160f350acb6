"""Chaos: real processes, real clients, and a tormentor; then what the clients were told is held against the invariants.

``python -m tests.chaos --seconds 60`` runs it and prints a table. The tormentor's choices come from a seed; what the
machine makes of them does not.
"""
