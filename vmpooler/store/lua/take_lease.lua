-- Take the leadership lease, unless another manager holds it.
--   KEYS[1] the leadership lease, [2] the epoch and name of the last leader
--   ARGV[1] the name of the caller, [2] milliseconds that the lease lasts, [3] 1 where no other manager can exist
-- Returns epoch and name of the leader; 0 when that is the caller, else the milliseconds that the lease still lasts;
-- and by how many milliseconds that exceeded the longest possible lease, else 0. It exceeds it when the clock of Redis
-- was set back. Then the lease is cut to the longest: a live leader renews it all the same, a dead leader is not waited
-- for. If the caller already holds the lease, it never received the reply to an earlier call: it gets a new epoch.
local holder = redis.call('GET', KEYS[1])
if holder and ARGV[3] ~= '1' and string.match(holder, ' (.*)') ~= ARGV[1] then
  local left, most, beyond = redis.call('PTTL', KEYS[1]), tonumber(ARGV[2]), 0
  if left > most or left == -1 then
    redis.call('PEXPIRE', KEYS[1], most)
    left, beyond = most, math.max(1, left - most)
  end
  return {holder, math.max(1, left), beyond}
end
local last = redis.call('GET', KEYS[2]) or '0'
local mark = string.format('%d %s', tonumber(string.match(last, '^%d+')) + 1, ARGV[1])
redis.call('SET', KEYS[2], mark)
redis.call('SET', KEYS[1], mark, 'PX', ARGV[2])
return {mark, 0, 0}
