"""Redis: the only room that knows its keys, its scripts and how to reach it."""
