"""HTTP for any service: connections, requests, routing, limits, and JSON."""
