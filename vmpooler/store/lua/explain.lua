-- uses: prelude
-- A discovered VM is gone, or belongs to another pool: it leaves discovered. The record of a VM of this pool is kept
-- for a while.
-- keys: discovered since confirmed
-- args: why keep
--   keep: seconds to keep a record that has no expiry yet
-- Returns 1, or 0 when the VM was not discovered.
if redis.call('SREM', discovered, vm) == 0 then return 0 end
redis.call('HDEL', since, vm)
redis.call('SREM', confirmed, vm)
local of = redis.call('HGET', record, 'pool') or pool
if of == pool and redis.call('TTL', record) == -1 then redis.call('EXPIRE', record, keep) end
emit('explained', why)
return 1
