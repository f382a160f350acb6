"""The vSphere provider, against a simulated vCenter."""
