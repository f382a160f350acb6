-- Read the stored samples between two places.
-- keys: strings...
-- args: first last
--   strings: the samples of each pool; first, last: bytes
-- Returns the bytes of each pool, fewer where none were written.
local found = {}
for i, key in ipairs(strings) do found[i] = redis.call('GETRANGE', key, first, last) end
return found
