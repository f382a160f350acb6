-- uses: prelude, held
-- Check VMs out, all or none.
--   KEYS[2] the token, or '' ; [3] unused; then for each pool: its ready queue, its running queue, its checkout times
--   ARGV[4], ARGV[5] empty; [6] now as text, [7] the prefix of records, [8] the prefix of histories,
--   [9] what is wanted: JSON [[count, [pool, ...]], ...], pools by their number here from 1, the one to prefer first,
--   [10] the pools' names (JSON), [11] this checkout's id, [12] '1' when a token was sent, [13] the token,
--   [14] hours of a VM that is checked out with a token, or '' , [15] how many of the pools at the head of each wanted list
--   keep their place: 1 when the name is itself a pool, else 0 (JSON)
-- Returns {'ok', number of the wanted entry, number of its pool, VM, ...}, {'token'} or {'empty', number of the entry}.
local wanted, names, heads = cjson.decode(ARGV[9]), cjson.decode(ARGV[10]), cjson.decode(ARGV[15])
local user = ''
if ARGV[12] == '1' then
  if redis.call('EXISTS', KEYS[2]) == 0 then return {'token'} end
  user = redis.call('HGET', KEYS[2], 'user') or ''
end
local function ready_key(p) return KEYS[1 + 3 * p] end

-- Which pool gives how many to which entry. An entry that finds its pools used up takes from another entry, which then
-- takes from elsewhere: so nobody is refused while enough VMs are ready.
local free, share = {}, {}
for p = 1, #names do free[p] = redis.call('SCARD', ready_key(p)) end
local function order(i)
  local pools = {unpack(wanted[i][2])}
  local head = heads[i] == 1 and table.remove(pools, 1) or nil
  table.sort(pools, function(a, b) if free[a] ~= free[b] then return free[a] > free[b] end return a < b end)
  if head then table.insert(pools, 1, head) end
  return pools
end
local function take(i, tried)
  for _, p in ipairs(order(i)) do
    if free[p] > 0 then free[p] = free[p] - 1; share[i][p] = (share[i][p] or 0) + 1; return true end
  end
  for _, p in ipairs(wanted[i][2]) do
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
for i = 1, #wanted do
  share[i] = {}
  local all = 0
  for _, p in ipairs(wanted[i][2]) do all = all + free[p] end
  if wanted[i][1] > all then return {'empty', i} end
end
for i = 1, #wanted do
  for _ = 1, wanted[i][1] do if not take(i, {}) then return {'empty', i} end end
end

local reply = {'ok'}
for i = 1, #wanted do
  for _, p in ipairs(wanted[i][2]) do
    local vms = (share[i][p] or 0) > 0 and redis.call('SPOP', ready_key(p), share[i][p]) or {}
    for _, name in ipairs(vms) do
      local record = ARGV[7] .. name
      redis.call('SADD', KEYS[2 + 3 * p], name)
      redis.call('HSET', KEYS[3 + 3 * p], name, ARGV[6])
      redis.call('HSET', record, 'checkout', ARGV[6], 'checkout_id', ARGV[11], 'template', names[p], 'pool', names[p])
      if ARGV[12] == '1' then
        redis.call('HSET', record, 'token:token', ARGV[13], 'token:user', user)
        if ARGV[14] ~= '' then redis.call('HSET', record, 'lifetime', ARGV[14]) end
      end
      book(names[p], name, ARGV[12] == '1' and ARGV[13])
      by = user ~= '' and user or ARGV[3]
      emit('checkout', '', {'checkout_id', ARGV[11]}, {pool = names[p], vm = name}, record, ARGV[8] .. name)
      reply[#reply + 1] = i; reply[#reply + 1] = p; reply[#reply + 1] = name
    end
  end
end
if ARGV[12] == '1' then used(KEYS[2], user, ARGV[6]) end
return reply
