-- uses: left
-- Count the VMs in each queue of all pools, at one moment.
-- keys: lastboot tasks_clone clone_times boot_times draining moved queues...
-- args: queue_names pools...
--   queues: for each pool ready, pending, running, completed; queue_names: all queues (JSON array)
-- Returns {{ready, pending, running, completed, last boot}, ...}, clones in progress, [clone seconds], [boot seconds],
-- then the results of left (_left.lua).
local counted = {}
for i, name in ipairs(pools) do
  local counts = {}
  for q = 1, 4 do counts[q] = redis.call('SCARD', queues[4 * (i - 1) + q]) end
  counts[5] = redis.call('HGET', lastboot, name) or ''
  counted[i] = counts
end
local under_way = redis.call('GET', tasks_clone) or '0'
local cloned, booted = redis.call('HVALS', clone_times), redis.call('HVALS', boot_times)
return {counted, under_way, cloned, booted, left(draining, moved, cjson.decode(queue_names))}
