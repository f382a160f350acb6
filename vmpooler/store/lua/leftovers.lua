-- The pools that are not configured and have VMs, and those that have moved.
--   KEYS[1] draining, [2] moved
--   ARGV the queues
-- Returns {{pool, what is said of it, {how many VMs stand in each queue}}, ...}, {pool, what is said of it, ...}.
local rows = {}
local draining = redis.call('HGETALL', KEYS[1])
for i = 1, #draining, 2 do
  local counts = {}
  for q, queue in ipairs(ARGV) do counts[q] = redis.call('SCARD', 'vmpooler__' .. queue .. '__' .. draining[i]) end
  rows[#rows + 1] = {draining[i], draining[i + 1], counts}
end
return {rows, redis.call('HGETALL', KEYS[2])}
