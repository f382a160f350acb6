-- uses: prelude, held
-- running -> ready: the stamp of a VM that its client never received has been cleared.
-- keys: running ready since
-- Returns 1, or 0 when the VM is not unclaimed, or not running.
local why = redis.call('HGET', record, 'unclaimed')
if not why or redis.call('SMOVE', running, ready, vm) == 0 then return 0 end
redis.call('HDEL', record, 'unclaimed', 'stamping')
redis.call('HDEL', since, vm)
unbook(pool, vm)
emit('returned', why)
return 1
