-- Find in which queues of its pool a VM is.
-- keys: queues...
-- args: vm
-- Returns for each queue 1 or 0.
local found = {}
for i, key in ipairs(queues) do found[i] = redis.call('SISMEMBER', key, vm) end
return found
