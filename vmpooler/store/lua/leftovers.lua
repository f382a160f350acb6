-- uses: left
-- The pools that are not configured and have VMs, and those that have moved.
--   KEYS[1] draining, [2] moved
--   ARGV the queues
-- Returns the results of left (_left.lua).
return {left(KEYS[1], KEYS[2], ARGV)}
