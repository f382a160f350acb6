-- uses: left
-- Count the VMs in each queue of all pools, at one moment.
--   KEYS for each pool: ready, pending, running, completed; then last boots, the number of clones in progress, the
--   day's clone times and boot times, pools that are drained, and pools that have moved
--   ARGV[1] the queues (JSON array), [2..] the pools' names
-- Returns {{ready, pending, running, completed, last boot}, ...}, clones in progress, [clone seconds], [boot seconds],
-- then the results of left (_left.lua).
local queues = cjson.decode(table.remove(ARGV, 1))
local pools, base = {}, 4 * #ARGV
for i, name in ipairs(ARGV) do
  local counts = {}
  for q = 1, 4 do counts[q] = redis.call('SCARD', KEYS[4 * (i - 1) + q]) end
  counts[5] = redis.call('HGET', KEYS[base + 1], name) or ''
  pools[i] = counts
end
local under_way = redis.call('GET', KEYS[base + 2]) or '0'
local times = {redis.call('HVALS', KEYS[base + 3]), redis.call('HVALS', KEYS[base + 4])}
local rows, moved = left(KEYS[base + 5], KEYS[base + 6], queues)
return {pools, under_way, times[1], times[2], rows, moved}
