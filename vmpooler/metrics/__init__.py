"""Metrics of the pools, exchanged with Graphite."""
