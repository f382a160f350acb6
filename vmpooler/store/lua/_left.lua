-- Reads the texts about pools that are not configured and have VMs, and about pools that have moved. Included by the
-- scripts whose first line names it. ``queues`` are names of queues.
-- Returns {{pool, text, {number of VMs in each queue}}, ...} for the pools that are not configured, then
-- {pool, text, ...} for the pools that have moved.
local function left(draining, moved, queues)
  local rows, said = {}, redis.call('HGETALL', draining)
  for i = 1, #said, 2 do
    local counts = {}
    for q, queue in ipairs(queues) do counts[q] = redis.call('SCARD', 'vmpooler__' .. queue .. '__' .. said[i]) end
    rows[#rows + 1] = {said[i], said[i + 1], counts}
  end
  return rows, redis.call('HGETALL', moved)
end
