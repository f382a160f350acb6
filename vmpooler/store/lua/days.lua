-- Read the stored sums of days, or else the hashes of these days.
-- keys: hashes...
-- args: first_whole routes...
--   hashes: for each day the sums that are stored of it, and the hash of each route; first_whole: the number of the
--   first day whose hashes are read whole
-- Returns for each day, for each route: '' when the hash is empty; the fields and values of the hash, for a day that is
-- read whole; the stored sum; or 0 when no sum is stored, or the size of the hash has changed since.
local days = {}
for day = 1, #hashes / (#routes + 1) do
  local first, found = (day - 1) * (#routes + 1) + 1, {}
  for i, route in ipairs(routes) do
    local size = redis.call('HLEN', hashes[first + i])
    if size == 0 then found[i] = ''
    elseif day >= tonumber(first_whole) then found[i] = redis.call('HGETALL', hashes[first + i])
    else
      local kept, stamp = redis.call('HGET', hashes[first], route), size .. ' '
      if kept and string.sub(kept, 1, #stamp) == stamp then found[i] = string.sub(kept, #stamp + 1) else found[i] = 0 end
    end
  end
  days[day] = found
end
return days
