"""What the service decides, as pure functions: no Twisted, no clock, no chance, no store."""
