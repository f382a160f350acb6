-- Begin to lead, unless another manager does.
--   KEYS[1] the lease, [2] who led last
--   ARGV[1] the name of who asks, [2] milliseconds that the lease holds, [3] 1 where there can be no other
-- Returns epoch and name of who leads now, and 0 when that is who asks, else the milliseconds that the lease still holds.
-- What a manager has that asks anew is an answer that it never got: it begins anew.
local holder = redis.call('GET', KEYS[1])
if holder and ARGV[3] ~= '1' and string.match(holder, ' (.*)') ~= ARGV[1] then
  return {holder, math.max(1, redis.call('PTTL', KEYS[1]))}
end
local last = redis.call('GET', KEYS[2]) or '0'
local mark = string.format('%d %s', tonumber(string.match(last, '^%d+')) + 1, ARGV[1])
redis.call('SET', KEYS[2], mark)
redis.call('SET', KEYS[1], mark, 'PX', ARGV[2])
return {mark, 0}
