"""The processes: command line, services, workers, ports, and how they stop."""
