"""The loops that keep pools full. They do not use klein or the API: both sides communicate through Redis."""
