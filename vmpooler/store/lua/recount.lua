-- Remove what an earlier configuration left: clones in progress of pools that are not configured any more, and their
-- places in the line. Runs once, when a manager starts.
-- keys: cloning tasks_clone line line_asked
-- args: pools...
-- Returns how many clones were dropped.
local there, dropped = {}, 0
for _, pool in ipairs(pools) do there[pool] = true end
local clones = redis.call('HGETALL', cloning)
for i = 1, #clones, 2 do
  if not there[clones[i + 1]] then dropped = dropped + redis.call('HDEL', cloning, clones[i]) end
end
redis.call('SET', tasks_clone, redis.call('HLEN', cloning))
for _, pool in ipairs(redis.call('ZRANGE', line, 0, -1)) do
  if not there[pool] then redis.call('ZREM', line, pool); redis.call('ZREM', line_asked, pool) end
end
return dropped
