-- Store which pools a process is configured with, and read those of all other processes.
-- keys: configured
-- args: who text forgotten_after
--   who: the process; text: its pools (JSON); forgotten_after: seconds after which a silent process is forgotten
-- Returns process, its pools (JSON), ... of all live processes.
local now, reply = tonumber(redis.call('TIME')[1]), {}
redis.call('HSET', configured, who, now .. ' ' .. text)
local known = redis.call('HGETALL', configured)
for i = 1, #known, 2 do
  local when, pools = string.match(known[i + 1], '^(%d+) (.*)$')
  local age = when and now - tonumber(when)
  if not age or math.abs(age) > tonumber(forgotten_after) then redis.call('HDEL', configured, known[i])
  else reply[#reply + 1] = known[i]; reply[#reply + 1] = pools end
end
return reply
