-- Begin to lead, unless another manager does.
--   KEYS[1] the lease, [2] who led last
--   ARGV[1] the name of who asks, [2] milliseconds that the lease holds, [3] 1 where there can be no other
-- Returns epoch and name of who leads now, and 0 when that is who asks, else the milliseconds that the lease still holds;
-- and the milliseconds that it would have held beyond what a lease can, else 0. That is seen when Redis's clock was set
-- back, and cut: a leader that lives keeps its lease up all the same, one that is dead is not waited for.
-- What a manager has that asks anew is an answer that it never got: it begins anew.
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
