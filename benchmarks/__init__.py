"""Benchmarks: the cost of the service, compared with minimal servers. ``make bench`` runs all of them."""
