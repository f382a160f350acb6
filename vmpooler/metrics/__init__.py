"""Figures about pools, for programs that keep and draw figures."""
