-- uses: prelude, held
-- running -> ready: the stamp of a VM that its client never received has been cleared.
--   KEYS[4] running, [5] ready, [6] since when VMs are missing or unknown
-- Returns 1, or 0 when the VM is not unclaimed, or not running.
local why = redis.call('HGET', KEYS[2], 'unclaimed')
if not why or redis.call('SMOVE', KEYS[4], KEYS[5], vm) == 0 then return 0 end
redis.call('HDEL', KEYS[2], 'unclaimed', 'stamping')
redis.call('HDEL', KEYS[6], vm)
unbook(pool, vm)
emit('returned', why)
return 1
