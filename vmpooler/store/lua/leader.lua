-- uses: left
-- The manager that leads, the pools that are not configured and have VMs, and those that have moved.
--   KEYS[1] draining, [2] moved, [3] the leadership lease
--   ARGV the queues
-- Returns epoch and name of the leader, false for none; then the results of left (_left.lua).
return {redis.call('GET', KEYS[3]), left(KEYS[1], KEYS[2], ARGV)}
