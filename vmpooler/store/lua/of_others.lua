-- Find which of some VMs belong to another pool: they are in a queue of the pool that their record names, or of a pool
-- nearby.
-- args: asking queue_prefixes nearby vms...
--   asking: the pool that asks; queue_prefixes: of queue keys (JSON array); nearby: the pools nearby (JSON array)
-- Returns those VMs.
local prefixes, near, found = cjson.decode(queue_prefixes), cjson.decode(nearby), {}
local function stands(vm, pool)
  for _, prefix in ipairs(prefixes) do
    if redis.call('SISMEMBER', prefix .. pool, vm) == 1 then return true end
  end
  return false
end
for _, vm in ipairs(vms) do
  local named = redis.call('HGET', RECORD .. vm, 'pool') or redis.call('HGET', RECORD .. vm, 'template')
  local theirs = named and named ~= asking and stands(vm, named)
  for _, pool in ipairs(near) do theirs = theirs or stands(vm, pool) end
  if theirs then found[#found + 1] = vm end
end
return found
