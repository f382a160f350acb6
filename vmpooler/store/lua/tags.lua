-- Read the tags of VMs.
-- keys: records...
-- Returns for each VM: field, value, ... of the fields that are tags.
local found = {}
for i, key in ipairs(records) do
  local record, tags = redis.call('HGETALL', key), {}
  for field = 1, #record, 2 do
    if string.sub(record[field], 1, 4) == 'tag:' then
      tags[#tags + 1] = record[field]
      tags[#tags + 1] = record[field + 1]
    end
  end
  found[i] = tags
end
return found
