"""Server-sent events: one hub for each process, and its subscribers."""
