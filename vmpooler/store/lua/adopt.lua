-- uses: prelude
-- Move requests from the sets in which Ruby vmpooler and the API put them to the tasks of their pools, where they stay
-- until they are done or given up. A request of Ruby vmpooler has no id; it gets one here. A request for a VM that has
-- no record is dropped.
--   KEYS[4] the number of the last request, [5..] the sets of requests
--   ARGV[6] the prefix of records, [7] the prefix of the pools' tasks, [8] a suffix that makes an id unique,
--   [9] the configured pools (JSON), [10..] the kind of request in each set
-- Returns the pools that got tasks. Requests for VMs of other pools stay where they are.
local there, found = {}, {}
for _, name in ipairs(cjson.decode(ARGV[9])) do there[name] = true end
for i = 5, #KEYS do
  local requests = redis.call('SMEMBERS', KEYS[i])
  table.sort(requests)
  for _, request in ipairs(requests) do
    local name, argument, id = string.match(request, '^([^:]+):([^:]+):?(.*)$')
    local record = name and ARGV[6] .. name
    local owner = record and (redis.call('HGET', record, 'pool') or redis.call('HGET', record, 'template'))
    if not owner then
      redis.call('SREM', KEYS[i], request)
    elseif there[owner] then
      if id == '' then id = string.format('%012d-%s', redis.call('INCR', KEYS[4]), ARGV[8]) end
      local task = {id = id, kind = ARGV[5 + i], vm = name, argument = argument, tries = 0, retry_at = 0}
      redis.call('HSETNX', ARGV[7] .. owner, id, cjson.encode(task))
      redis.call('SREM', KEYS[i], request)
      found[owner] = true
    end
  end
end
local pools = {}
for name in pairs(found) do pools[#pools + 1] = name end
return pools
