-- Entries of tokens and their VMs. Included by the scripts whose first line names it. HELD .. token is a hash of
-- VM -> pool. BOOKED .. pool is the set of the pool's running VMs that rebook skips: their token is already entered, or
-- they were booked without a token.

-- Enters a VM that was checked out with a token, or without one (nil or false).
local function book(pool, vm, token)
  redis.call('SADD', BOOKED .. pool, vm)
  if token then redis.call('HSET', HELD .. token, vm, pool) end
end

-- Removes a VM that is no longer running, or whose checkout is about to be replaced.
local function unbook(pool, vm)
  redis.call('SREM', BOOKED .. pool, vm)
  local token = redis.call('HGET', RECORD .. vm, 'token:token')
  if token then redis.call('HDEL', HELD .. token, vm) end
end

-- Enters the checkouts, and removes the ended ones, of another program on the same Redis. That program writes the token
-- last, so a VM without a token is checked again next time.
local function rebook(pool)
  for _, vm in ipairs(redis.call('SDIFF', RUNNING .. pool, BOOKED .. pool)) do
    local token = redis.call('HGET', RECORD .. vm, 'token:token')
    if token then book(pool, vm, token) end
  end
  for _, vm in ipairs(redis.call('SDIFF', BOOKED .. pool, RUNNING .. pool)) do unbook(pool, vm) end
end
