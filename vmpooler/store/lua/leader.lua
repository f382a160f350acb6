-- uses: left
-- The manager that leads, the pools that are not configured and have VMs, and those that have moved.
-- keys: draining moved lease
-- args: queues...
-- Returns epoch and name of the leader, false for none; then the results of left (_left.lua).
return {redis.call('GET', lease), left(draining, moved, queues)}
