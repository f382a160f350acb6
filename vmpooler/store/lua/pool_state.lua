-- uses: held
-- Read everything that Redis has about a pool, at one moment. Also enters the tokens with which another program checked
-- out VMs of the pool.
-- keys: pending ready running completed discovered active since trouble confirmed cloning flagged empty line tasks
-- keys: doubted verified
-- args: pool
-- Returns for each queue its VMs, each a list of name, clone, ready, check, checkout, lifetime, user, active, since (''
-- where unknown), and where any of these is known: checkout_id, lifetime_default, ended ('1' or ''), unclaimed,
-- stamping, quarantined, doubt, power_on, clone_time (of pending ones); then the troubles (name, JSON, ...), the
-- confirmed VMs, the clones in progress (VM, pool, ...), whether it is flagged, marked empty, in line (1 or 0); the
-- tasks (JSON, ...); the mark of a Redis that may lack writes ('' none), and whether the pool is verified there (1 or
-- 0).

-- Returns the last checkout event in the history of a VM, if no later event ended that checkout, else nil. Used for a
-- VM whose record is gone.
local function open_checkout(name)
  local found = nil
  for _, text in ipairs(redis.call('LRANGE', HISTORY .. name, 0, -1)) do
    local known, event = pcall(cjson.decode, text)
    if known and type(event) == 'table' then
      if event.what == 'checkout' or event.what == 'restored' then found = event
      elseif event.what == 'returned' or event.what == 'completed' or event.what == 'destroyed' then found = nil end
    end
  end
  return found
end

local reply = {}
for queue, key in ipairs({pending, ready, running, completed, discovered}) do
  local vms = {}
  for i, name in ipairs(redis.call('SMEMBERS', key)) do
    local known = redis.call('HMGET', RECORD .. name, 'clone', 'ready', 'check', 'checkout', 'lifetime', 'token:user',
      'checkout_id', 'lifetime_default', 'completed', 'destroy', 'unclaimed', 'stamping', 'quarantined', 'doubt', 'power_on',
      'clone_time')
    local vm = {name, unpack(known, 1, 6)}
    for field = 2, 7 do vm[field] = vm[field] or '' end
    vm[8] = redis.call('HGET', active, name) or ''
    vm[9] = redis.call('HGET', since, name) or ''
    local event = queue == 5 and vm[5] == '' and not (known[9] or known[10]) and open_checkout(name)
    if event then
      vm[5], vm[7], known[7] = '@' .. (event.when or 0), event.by == 'api' and '' or event.by or '', event.checkout_id
    end
    local more, any = {known[7], known[8], (known[9] or known[10]) and '1', unpack(known, 11, 15)}, false
    more[9] = queue == 1 and known[16]
    for field = 1, 9 do any = any or more[field] end
    if any then for field = 1, 9 do vm[9 + field] = more[field] or '' end end
    vms[i] = vm
  end
  reply[queue] = vms
end
reply[6] = redis.call('HGETALL', trouble)
reply[7] = redis.call('SMEMBERS', confirmed)
reply[8] = redis.call('HGETALL', cloning)
reply[9] = redis.call('HEXISTS', flagged, pool)
reply[10] = redis.call('EXISTS', empty)
reply[11] = redis.call('ZSCORE', line, pool) and 1 or 0
reply[12] = redis.call('HVALS', tasks)
reply[13] = redis.call('GET', doubted) or ''
reply[14] = redis.call('SISMEMBER', verified, pool)
rebook(pool)
return reply
