-- Read the stored samples between two places.
--   KEYS the samples of each pool
--   ARGV[1] the first byte, [2] the last
-- Returns the bytes of each pool, fewer where none were written.
local found = {}
for i, key in ipairs(KEYS) do found[i] = redis.call('GETRANGE', key, ARGV[1], ARGV[2]) end
return found
