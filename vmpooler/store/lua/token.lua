-- uses: held
-- Read a token, and the running VMs that were checked out with it.
--   KEYS[1] the token, [2] pools that are drained
--   ARGV[1] its name, [2..] the pools
-- Returns {user, created, last, VM, ...}, with '' for what is unknown; empty when the token does not exist.
if redis.call('EXISTS', KEYS[1]) == 0 then return {} end
for i = 2, #ARGV do rebook(ARGV[i]) end
for _, pool in ipairs(redis.call('HKEYS', KEYS[2])) do rebook(pool) end
local reply = redis.call('HMGET', KEYS[1], 'user', 'created', 'last')
for i = 1, 3 do reply[i] = reply[i] or '' end
local held = redis.call('HGETALL', HELD .. ARGV[1])
for i = 1, #held, 2 do
  local vm, pool = held[i], held[i + 1]
  local runs = redis.call('SISMEMBER', RUNNING .. pool, vm) == 1
  if runs and redis.call('HGET', RECORD .. vm, 'token:token') == ARGV[1] then reply[#reply + 1] = vm
  else redis.call('HDEL', HELD .. ARGV[1], vm) end
end
return reply
