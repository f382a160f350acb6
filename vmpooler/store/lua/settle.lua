-- uses: prelude
-- Remove a VM that is in several queues from all but one. Only a crash of Ruby vmpooler can cause this.
--   KEYS[4] the queue in which the VM stays, [5] since when VMs are missing or unknown, [6..] the other queues
--   ARGV[6] their names
-- Returns 1, or 0 when the VM is not in the first queue, or in none of the others.
if redis.call('SISMEMBER', KEYS[4], vm) == 0 then return 0 end
local left = 0
for i = 6, #KEYS do left = left + redis.call('SREM', KEYS[i], vm) end
if left == 0 then return 0 end
redis.call('HDEL', KEYS[5], vm)
emit('settled', ARGV[6])
return 1
