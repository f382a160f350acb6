-- uses: left
-- The pools that are not configured and have VMs, and those that have moved.
-- keys: draining moved
-- args: queues...
-- Returns the results of left (_left.lua).
return {left(draining, moved, queues)}
