-- Store where the VMs of pools are, and the texts about pools that are drained or have moved.
-- keys: pools draining moved
-- args: text
--   text: JSON: pools (name -> JSON), draining and moved (name -> text), which replace the stored ones unless null
local said = cjson.decode(text)
local function names(of)
  local found = {}
  for name in pairs(of) do found[#found + 1] = name end
  table.sort(found)
  return found
end
for _, name in ipairs(names(said.pools)) do redis.call('HSET', pools, name, said.pools[name]) end
for _, pair in ipairs({{draining, said.draining}, {moved, said.moved}}) do
  local key, texts = unpack(pair)
  if texts ~= cjson.null then
    redis.call('DEL', key)
    for _, name in ipairs(names(texts)) do redis.call('HSET', key, name, texts[name]) end
  end
end
return 1
