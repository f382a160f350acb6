"""Redis access: this package alone contains the keys, the Lua scripts and the connection code."""
