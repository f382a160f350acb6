-- uses: held
-- Read a token, and the running VMs that were checked out with it.
-- keys: token draining
-- args: name pools...
-- Returns {user, created, last, VM, ...}, with '' for what is unknown; empty when the token does not exist.
if redis.call('EXISTS', token) == 0 then return {} end
for _, pool in ipairs(pools) do rebook(pool) end
for _, pool in ipairs(redis.call('HKEYS', draining)) do rebook(pool) end
local reply = redis.call('HMGET', token, 'user', 'created', 'last')
for i = 1, 3 do reply[i] = reply[i] or '' end
local held = redis.call('HGETALL', HELD .. name)
for i = 1, #held, 2 do
  local vm, pool = held[i], held[i + 1]
  local runs = redis.call('SISMEMBER', RUNNING .. pool, vm) == 1
  if runs and redis.call('HGET', RECORD .. vm, 'token:token') == name then reply[#reply + 1] = vm
  else redis.call('HDEL', HELD .. name, vm) end
end
return reply
