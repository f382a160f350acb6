-- uses: prelude
-- Move requests from the sets in which Ruby vmpooler and the API put them to the tasks of their pools, where they stay
-- until they are done or given up. A request of Ruby vmpooler has no id; it gets one here. A request for a VM that has
-- no record is dropped.
-- keys: task_number intakes...
-- args: tasks_prefix suffix configured kinds...
--   tasks_prefix: the prefix of the pools' tasks; suffix: makes an id unique; configured: the configured pools (JSON);
--   kinds: the kind of request in each set of intakes
-- Returns the pools that got tasks. Requests for VMs of other pools stay where they are.
local there, found = {}, {}
for _, name in ipairs(cjson.decode(configured)) do there[name] = true end
for i, intake in ipairs(intakes) do
  local requests = redis.call('SMEMBERS', intake)
  table.sort(requests)
  for _, request in ipairs(requests) do
    local name, argument, id = string.match(request, '^([^:]+):([^:]+):?(.*)$')
    local asked = name and RECORD .. name
    local owner = asked and (redis.call('HGET', asked, 'pool') or redis.call('HGET', asked, 'template'))
    if not owner then
      redis.call('SREM', intake, request)
    elseif there[owner] then
      if id == '' then id = string.format('%012d-%s', redis.call('INCR', task_number), suffix) end
      local task = {id = id, kind = kinds[i], vm = name, argument = argument, tries = 0, retry_at = 0}
      redis.call('HSETNX', tasks_prefix .. owner, id, cjson.encode(task))
      redis.call('SREM', intake, request)
      found[owner] = true
    end
  end
end
local pools = {}
for name in pairs(found) do pools[#pools + 1] = name end
return pools
