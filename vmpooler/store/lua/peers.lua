-- Store which pools a process is configured with, and read those of all other processes.
--   KEYS[1] processes
--   ARGV[1] the process, [2] its pools (JSON), [3] seconds after which a silent process is forgotten
-- Returns process, its pools (JSON), ... of all live processes.
local now, reply = tonumber(redis.call('TIME')[1]), {}
redis.call('HSET', KEYS[1], ARGV[1], now .. ' ' .. ARGV[2])
local known = redis.call('HGETALL', KEYS[1])
for i = 1, #known, 2 do
  local when, pools = string.match(known[i + 1], '^(%d+) (.*)$')
  local age = when and now - tonumber(when)
  if not age or age > tonumber(ARGV[3]) or age < -tonumber(ARGV[3]) then redis.call('HDEL', KEYS[1], known[i])
  else reply[#reply + 1] = known[i]; reply[#reply + 1] = pools end
end
return reply
