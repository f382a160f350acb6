-- Remove what an earlier configuration left: clones in progress of pools that are not configured any more, and their
-- places in the line. Runs once, when a manager starts.
--   KEYS[1] clones in progress, [2] their number, [3] the line, [4] the line by last request
--   ARGV the configured pools
-- Returns how many clones were dropped.
local there, dropped = {}, 0
for _, pool in ipairs(ARGV) do there[pool] = true end
local cloning = redis.call('HGETALL', KEYS[1])
for i = 1, #cloning, 2 do
  if not there[cloning[i + 1]] then dropped = dropped + redis.call('HDEL', KEYS[1], cloning[i]) end
end
redis.call('SET', KEYS[2], redis.call('HLEN', KEYS[1]))
for _, pool in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
  if not there[pool] then redis.call('ZREM', KEYS[3], pool); redis.call('ZREM', KEYS[4], pool) end
end
return dropped
