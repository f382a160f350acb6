-- Find which of some VMs belong to another pool: they are in a queue of the pool that their record names, or of a pool
-- nearby.
--   ARGV[1] the pool that asks, [2] the prefixes of queue keys (JSON array), [3] the pools nearby (JSON array), [4..]
--   VMs
-- Returns those VMs.
local prefixes, near, found = cjson.decode(ARGV[2]), cjson.decode(ARGV[3]), {}
local function stands(vm, pool)
  for _, prefix in ipairs(prefixes) do
    if redis.call('SISMEMBER', prefix .. pool, vm) == 1 then return true end
  end
  return false
end
for i = 4, #ARGV do
  local vm = ARGV[i]
  local named = redis.call('HGET', RECORD .. vm, 'pool') or redis.call('HGET', RECORD .. vm, 'template')
  local theirs = named and named ~= ARGV[1] and stands(vm, named)
  for _, pool in ipairs(near) do theirs = theirs or stands(vm, pool) end
  if theirs then found[#found + 1] = vm end
end
return found
