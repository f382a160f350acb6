-- uses: prelude
-- A discovered VM is gone, or belongs to another pool: it leaves discovered. The record of a VM of this pool is kept
-- for a while.
--   KEYS[4] discovered, [5] since when VMs are missing or unknown, [6] confirmed
--   ARGV[6] why, [7] seconds to keep a record that has no expiry yet
-- Returns 1, or 0 when the VM was not discovered.
if redis.call('SREM', KEYS[4], vm) == 0 then return 0 end
redis.call('HDEL', KEYS[5], vm)
redis.call('SREM', KEYS[6], vm)
local of = redis.call('HGET', KEYS[2], 'pool') or pool
if of == pool and redis.call('TTL', KEYS[2]) == -1 then redis.call('EXPIRE', KEYS[2], ARGV[7]) end
emit('explained', ARGV[6])
return 1
