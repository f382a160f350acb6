-- The line for a clone. Pools that clients wait for have places below zero, and come before all others.

-- Appends ``name``: after the last negative place where ``urgent``, else after the last place of all, above zero.
local function join(line, name, urgent)
  local last = redis.call('ZREVRANGEBYSCORE', line, urgent and '(0' or '+inf', '-inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
  local before = urgent and (last or -1e12) or math.max(0, last or 0)
  redis.call('ZADD', line, before + 1, name)
end
