"""The HTTP API: it turns requests into calls of the store, and what comes back into JSON."""
