-- uses: prelude
-- A discovered VM is gone: it stands nowhere any more, and what is known of it is kept for a while.
--   KEYS[4] discovered, [5] since when unexplained, [6] confirmed
--   ARGV[6] why, [7] seconds to keep a record that has none set
-- Returns 1, or 0 when it was not discovered.
if redis.call('SREM', KEYS[4], vm) == 0 then return 0 end
redis.call('HDEL', KEYS[5], vm)
redis.call('SREM', KEYS[6], vm)
if redis.call('TTL', KEYS[2]) == -1 then redis.call('EXPIRE', KEYS[2], ARGV[7]) end
emit('explained', ARGV[6])
return 1
