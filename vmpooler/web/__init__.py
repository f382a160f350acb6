"""The HTTP API: converts requests to calls of the store, and results to JSON."""
