-- One step of a scan through all keys for pools that have VMs.
-- args: cursor batch prefixes...
--   cursor: to continue from, '0' at first; batch: how many keys to scan; prefixes: of queue keys
-- Returns the next cursor, '0' at the end, then the names of pools, sorted.
local most, seen, found = tonumber(batch), {}, {}
repeat
  local page = redis.call('SCAN', cursor, 'MATCH', 'vmpooler__*', 'COUNT', 1000, 'TYPE', 'set')
  cursor, most = page[1], most - 1000
  for _, key in ipairs(page[2]) do
    for _, prefix in ipairs(prefixes) do
      local name = string.sub(key, 1, #prefix) == prefix and string.sub(key, #prefix + 1) or ''
      if name ~= '' and not seen[name] then seen[name] = true; found[#found + 1] = name end
    end
  end
until cursor == '0' or most <= 0
table.sort(found)
table.insert(found, 1, cursor)
return found
