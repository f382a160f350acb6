-- uses: prelude, held
-- A completed VM has been destroyed: it leaves its last queue, and its record is kept for a while.
--   KEYS[4] completed, [5] the pool's troubles, [6] confirmed, [7] checkout times
--   ARGV[6] now as text, [7] seconds that it took, [8] seconds to keep the record
-- Returns 1, or 0 when the VM was not completed.
if redis.call('SREM', KEYS[4], vm) == 0 then return 0 end
redis.call('HSET', KEYS[2], 'destroy', ARGV[6], 'template', pool, 'pool', pool)
redis.call('EXPIRE', KEYS[2], ARGV[8])
redis.call('HDEL', KEYS[5], vm)
redis.call('SREM', KEYS[6], vm)
redis.call('HDEL', KEYS[7], vm)
unbook(pool, vm)
emit('destroyed', '', {'seconds', ARGV[7]})
return 1
