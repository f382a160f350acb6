-- Store where the VMs of pools are, and the texts about pools that are drained or have moved.
--   KEYS[1] pools, [2] draining, [3] moved
--   ARGV[1] JSON: pools (name -> JSON), draining and moved (name -> text), which replace the stored ones unless null
local said = cjson.decode(ARGV[1])
local function names(of)
  local found = {}
  for name in pairs(of) do found[#found + 1] = name end
  table.sort(found)
  return found
end
for _, name in ipairs(names(said.pools)) do redis.call('HSET', KEYS[1], name, said.pools[name]) end
for i, part in ipairs({'draining', 'moved'}) do
  if said[part] ~= cjson.null then
    redis.call('DEL', KEYS[i + 1])
    for _, name in ipairs(names(said[part])) do redis.call('HSET', KEYS[i + 1], name, said[part][name]) end
  end
end
return 1
