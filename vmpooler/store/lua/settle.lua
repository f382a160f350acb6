-- uses: prelude
-- Remove a VM that is in several queues from all but one. Only a crash of Ruby vmpooler can cause this.
-- keys: queue since others...
-- args: other_names
--   queue: the one in which the VM stays; others: the other queues
-- Returns 1, or 0 when the VM is not in the first queue, or in none of the others.
if redis.call('SISMEMBER', queue, vm) == 0 then return 0 end
local left = 0
for _, other in ipairs(others) do left = left + redis.call('SREM', other, vm) end
if left == 0 then return 0 end
redis.call('HDEL', since, vm)
emit('settled', other_names)
return 1
