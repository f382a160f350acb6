-- Take the leadership lease, unless another manager holds it.
-- keys: lease epoch
-- args: name holds alone
--   name: that of the caller; holds: milliseconds that the lease lasts; alone: 1 where no other manager can exist
-- Returns epoch and name of the leader; 0 when that is the caller, else the milliseconds that the lease still lasts;
-- and by how many milliseconds that exceeded the longest possible lease, else 0. It exceeds it when the clock of Redis
-- was set back. Then the lease is cut to the longest: a live leader renews it all the same, a dead leader is not waited
-- for. If the caller already holds the lease, it never received the reply to an earlier call: it gets a new epoch.
local holder = redis.call('GET', lease)
if holder and alone ~= '1' and string.match(holder, ' (.*)') ~= name then
  local left, most, beyond = redis.call('PTTL', lease), tonumber(holds), 0
  if left > most or left == -1 then
    redis.call('PEXPIRE', lease, most)
    left, beyond = most, math.max(1, left - most)
  end
  return {holder, math.max(1, left), beyond}
end
local last = redis.call('GET', epoch) or '0'
local mark = string.format('%d %s', tonumber(string.match(last, '^%d+')) + 1, name)
redis.call('SET', epoch, mark)
redis.call('SET', lease, mark, 'PX', holds)
return {mark, 0, 0}
