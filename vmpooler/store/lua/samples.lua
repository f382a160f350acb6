-- What is kept of samples between two places.
--   KEYS where those of each pool are kept
--   ARGV[1] the first byte, [2] the last
-- Returns for each its bytes, fewer where none were written.
local found = {}
for i, key in ipairs(KEYS) do found[i] = redis.call('GETRANGE', key, ARGV[1], ARGV[2]) end
return found
