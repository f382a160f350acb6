-- Read the state of some pools, for people who watch them.
-- keys: cloning flagged lastboot sampled clone_times boot_times places...
-- args: pools...
--   places: for each pool ready, pending, running, completed, troubles
-- Returns {{ready, pending, running, completed, troubles (name, JSON, ...), why flagged, last boot}, ...}, the pool of
-- each clone in progress, when a sample was taken ('' never), the number of clone times, the number of boot times.
local rows = {}
for i, name in ipairs(pools) do
  local row, first = {}, 5 * (i - 1)
  for q = 1, 4 do row[q] = redis.call('SCARD', places[first + q]) end
  row[5] = redis.call('HGETALL', places[first + 5])
  row[6] = redis.call('HGET', flagged, name) or ''
  row[7] = redis.call('HGET', lastboot, name) or ''
  rows[i] = row
end
local taken = redis.call('GET', sampled) or ''
return {rows, redis.call('HVALS', cloning), taken, redis.call('HLEN', clone_times), redis.call('HLEN', boot_times)}
