-- uses: prelude
-- A discovered VM is gone, or is another pool's: it stands nowhere here any more, and what is known of one of this pool is
-- kept for a while.
--   KEYS[4] discovered, [5] since when unexplained, [6] confirmed
--   ARGV[6] why, [7] seconds to keep a record that has none set
-- Returns 1, or 0 when it was not discovered.
if redis.call('SREM', KEYS[4], vm) == 0 then return 0 end
redis.call('HDEL', KEYS[5], vm)
redis.call('SREM', KEYS[6], vm)
local of = redis.call('HGET', KEYS[2], 'pool') or pool
if of == pool and redis.call('TTL', KEYS[2]) == -1 then redis.call('EXPIRE', KEYS[2], ARGV[7]) end
emit('explained', ARGV[6])
return 1
