-- Find in which queues of its pool a VM is.
--   KEYS the queues of its pool
--   ARGV[1] the VM
-- Returns for each queue 1 or 0.
local found = {}
for i, key in ipairs(KEYS) do found[i] = redis.call('SISMEMBER', key, ARGV[1]) end
return found
