"""The decisions of the service as pure functions. They use no Twisted, no clock, no randomness and no store."""
