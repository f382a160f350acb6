-- uses: prelude
-- A discovered VM is unknown no more.
--   KEYS[4] discovered, [5] since when unexplained, [6] confirmed
--   ARGV[6] why
-- Returns 1, or 0 when it was not discovered.
if redis.call('SREM', KEYS[4], vm) == 0 then return 0 end
redis.call('HDEL', KEYS[5], vm)
redis.call('SREM', KEYS[6], vm)
emit('explained', ARGV[6])
return 1
