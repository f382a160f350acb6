-- One step of a scan through all keys for pools that have VMs.
--   ARGV[1] the cursor to continue from, '0' at first, [2] how many keys to scan, [3..] the prefixes of queue keys
-- Returns the next cursor, '0' at the end, then the names of pools, sorted.
local cursor, most, seen, found = ARGV[1], tonumber(ARGV[2]), {}, {}
repeat
  local page = redis.call('SCAN', cursor, 'MATCH', 'vmpooler__*', 'COUNT', 1000, 'TYPE', 'set')
  cursor, most = page[1], most - 1000
  for _, key in ipairs(page[2]) do
    for i = 3, #ARGV do
      local name = string.sub(key, 1, #ARGV[i]) == ARGV[i] and string.sub(key, #ARGV[i] + 1) or ''
      if name ~= '' and not seen[name] then seen[name] = true; found[#found + 1] = name end
    end
  end
until cursor == '0' or most <= 0
table.sort(found)
table.insert(found, 1, cursor)
return found
