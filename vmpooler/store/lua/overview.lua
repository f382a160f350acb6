-- Read the state of some pools, for people who watch them.
--   KEYS for each pool: ready, pending, running, completed, troubles; then clones in progress, flagged pools, last
--   boots, when a manager last took a sample, the day's clone times and boot times
--   ARGV[1..] the pools' names
-- Returns {{ready, pending, running, completed, troubles (name, JSON, ...), why flagged, last boot}, ...}, the pool of
-- each clone in progress, when a sample was taken ('' never), the number of clone times, the number of boot times.
local rows, base = {}, 5 * #ARGV
for i, name in ipairs(ARGV) do
  local row, first = {}, 5 * (i - 1)
  for q = 1, 4 do row[q] = redis.call('SCARD', KEYS[first + q]) end
  row[5] = redis.call('HGETALL', KEYS[first + 5])
  row[6] = redis.call('HGET', KEYS[base + 2], name) or ''
  row[7] = redis.call('HGET', KEYS[base + 3], name) or ''
  rows[i] = row
end
local sampled = redis.call('GET', KEYS[base + 4]) or ''
local sizes = {redis.call('HLEN', KEYS[base + 5]), redis.call('HLEN', KEYS[base + 6])}
return {rows, redis.call('HVALS', KEYS[base + 1]), sampled, sizes[1], sizes[2]}
