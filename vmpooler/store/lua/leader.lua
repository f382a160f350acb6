-- uses: left
-- The manager that leads, the pools that are not configured and have VMs, and those that have moved.
--   KEYS[1] draining, [2] moved, [3] lease
--   ARGV the queues
-- Returns epoch and name of the manager, false for none; then what left does, in _left.lua.
return {redis.call('GET', KEYS[3]), left(KEYS[1], KEYS[2], ARGV)}
