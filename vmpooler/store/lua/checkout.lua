-- uses: prelude, held
-- Check VMs out, all or none.
-- keys: token doubted verified places...
-- args: now_text checkout_id with_token lifetime default_lifetime request...
--   places: for each pool p its ready queue, running queue, checkout times, and since when its VMs are missing: the
--   keys from 4 * p - 3 to 4 * p
--   with_token: '1' when a token was sent; lifetime: hours of a VM that is checked out with a token, or '';
--   default_lifetime: hours of any VM; request: the number of pools, and their names; then for each requested
--   entry: how many VMs, '1' when the entry is named like its first pool, which is then used before the others, how
--   many pools may serve it, and the numbers of these pools in the list above, from 1
-- Returns {'ok', number of the entry, number of its pool, VM, ...}, {'token'} for an unknown token, {'empty', number of
-- the entry}, or {'doubted', number of the entry} when all entries could be served if all pools were verified.
local user, name_of_token = '', token:sub(#TOKEN + 1)
if with_token == '1' then
  if redis.call('EXISTS', token) == 0 then return {'token'} end
  user = redis.call('HGET', token, 'user') or ''
end
local pool_count = tonumber(request[1])
local wanted, at = {}, 2 + pool_count
while request[at] do
  local pools = {}
  for n = 1, request[at + 2] do pools[n] = tonumber(request[at + 2 + n]) end
  wanted[#wanted + 1] = {count = tonumber(request[at]), headed = request[at + 1] == '1', pools = pools}
  at = at + 3 + #pools
end

-- Decides how many VMs of each pool each entry gets. An entry whose pools are used up takes a VM from another entry,
-- which then takes one from another pool. So no request is refused while enough VMs are ready.
local most, free, share, unverified = {}, {}, {}, {}
local doubts = redis.call('EXISTS', doubted) == 1
for p = 1, pool_count do
  unverified[p] = doubts and redis.call('SISMEMBER', verified, request[1 + p]) == 0
  most[p] = unverified[p] and 0 or redis.call('SCARD', places[4 * p - 3])
end
local function order(i)
  local pools = {unpack(wanted[i].pools)}
  local head = wanted[i].headed and table.remove(pools, 1) or nil
  table.sort(pools, function(a, b) if free[a] ~= free[b] then return free[a] > free[b] end return a < b end)
  if head then table.insert(pools, 1, head) end
  return pools
end
local function take(i, tried)
  for _, p in ipairs(order(i)) do
    if free[p] > 0 then free[p] = free[p] - 1; share[i][p] = (share[i][p] or 0) + 1; return true end
  end
  for _, p in ipairs(wanted[i].pools) do
    if not tried[p] then
      tried[p] = true
      for j = 1, #wanted do
        if j ~= i and share[j] and (share[j][p] or 0) > 0 and take(j, tried) then
          share[j][p] = share[j][p] - 1
          share[i][p] = (share[i][p] or 0) + 1
          return true
        end
      end
    end
  end
  return false
end
-- Returns the number of an entry that cannot be served, else nil.
local function divide()
  for p = 1, pool_count do free[p] = most[p] end
  for i = 1, #wanted do
    share[i] = {}
    local all = 0
    for _, p in ipairs(wanted[i].pools) do all = all + free[p] end
    if wanted[i].count > all then return i end
  end
  for i = 1, #wanted do
    for _ = 1, wanted[i].count do if not take(i, {}) then return i end end
  end
end

-- Returns the reply to a refused request: 'doubted' when VMs are missing only because pools are not verified, else
-- 'empty'.
local function refused(i)
  for p = 1, pool_count do
    if unverified[p] then most[p] = redis.call('SCARD', places[4 * p - 3]) end
  end
  return {doubts and not divide() and 'doubted' or 'empty', i}
end

-- Returns whether neither the VM's record nor the running queue names the VM as checked out, and it is not missing. A
-- VM that is not clear is left to the next reconciliation round.
local function clear(p, name)
  return redis.call('HEXISTS', RECORD .. name, 'checkout') == 0 and redis.call('SISMEMBER', places[4 * p - 2], name) == 0
    and redis.call('HEXISTS', places[4 * p], name) == 0
end

-- Returns the first clear names that a scan of a pool finds. The result is not random, and the work is in proportion to
-- the VMs requested. Each checkout starts its scan at a place of its own. From a common start, each scan would pass the
-- empty slots that earlier checkouts left: with 20,000 VMs, the last checkout took 2.7 ms instead of 0.05 ms.
local function some(p, count)
  local key, place = places[4 * p - 3], string.sub(redis.sha1hex(checkout_id .. free[p]), 1, 8)
  local found, seen, cursor, ends = {}, {}, string.format('%.0f', tonumber(place, 16)), 0
  repeat
    local page = redis.call('SSCAN', key, cursor, 'COUNT', count)
    cursor = page[1]
    for _, name in ipairs(page[2]) do
      if not seen[name] and #found < count then
        seen[name] = true
        if clear(p, name) then found[#found + 1] = name end
      end
    end
    if cursor == '0' then ends = ends + 1 end
  until #found >= count or ends == 2
  return found
end
-- Selects the names for every share. If a pool has fewer clear VMs than its queue has members, it counts with the clear
-- ones, and all shares are decided again.
local found, short = {}, true
while short do
  local no = divide()
  if no then return refused(no) end
  short = false
  for p = 1, pool_count do
    local count = 0
    for i = 1, #wanted do count = count + (share[i][p] or 0) end
    found[p] = count > 0 and some(p, count) or {}
    if #found[p] < count then most[p], short = #found[p], true end
  end
end
if user ~= '' then by = user end
local reply = {'ok'}
for i = 1, #wanted do
  for _, p in ipairs(wanted[i].pools) do
    for _ = 1, share[i][p] or 0 do
      turn_to(request[1 + p], table.remove(found[p]))
      redis.call('SMOVE', places[4 * p - 3], places[4 * p - 2], vm)
      redis.call('HSET', places[4 * p - 1], vm, now_text)
      redis.call('HSET', record, 'checkout', now_text, 'checkout_id', checkout_id, 'template', pool, 'pool', pool,
        'lifetime_default', default_lifetime)
      if with_token == '1' then
        redis.call('HSET', record, 'token:token', name_of_token, 'token:user', user)
        if lifetime ~= '' then redis.call('HSET', record, 'lifetime', lifetime) end
      end
      book(pool, vm, with_token == '1' and name_of_token)
      emit('checkout', '', {'checkout_id', checkout_id})
      reply[#reply + 1] = i; reply[#reply + 1] = p; reply[#reply + 1] = vm
    end
  end
end
if with_token == '1' then used(token, user, now_text) end
return reply
