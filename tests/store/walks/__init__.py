"""Walks through all that can be done to the store, beside a model of it that does the same."""
