"""The loops that keep pools full. They know neither klein nor the API: the two meet in Redis."""
