"""The connection to Redis: protocol, client, scripts, and where the primary is."""
