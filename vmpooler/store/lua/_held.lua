-- Who has what, for the scripts whose first line says so. HELD .. token is a hash of VM -> pool; BOOKED .. pool is the set
-- of the pool's running VMs that need not be looked at for it any more.

-- A VM was checked out, with a token or without (nil or false).
local function book(pool, vm, token)
  redis.call('SADD', BOOKED .. pool, vm)
  if token then redis.call('HSET', HELD .. token, vm, pool) end
end

-- A VM is not running any more.
local function unbook(pool, vm)
  redis.call('SREM', BOOKED .. pool, vm)
  local token = redis.call('HGET', RECORD .. vm, 'token:token')
  if token then redis.call('HDEL', HELD .. token, vm) end
end

-- Catches up with what another program did. It writes the token last: a VM without one is looked at again next time.
local function rebook(pool)
  for _, vm in ipairs(redis.call('SDIFF', RUNNING .. pool, BOOKED .. pool)) do
    local token = redis.call('HGET', RECORD .. vm, 'token:token')
    if token then book(pool, vm, token) end
  end
  for _, vm in ipairs(redis.call('SDIFF', BOOKED .. pool, RUNNING .. pool)) do unbook(pool, vm) end
end
