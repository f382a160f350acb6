"""Walks: sequences of all operations of the store, which also run in a model of it."""
