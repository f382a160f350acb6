-- uses: prelude, ahead, line
-- Order a clone: the VM becomes pending. Never more VMs than the pool's size, never more clones in progress than the
-- limit, and in turn: a pool that is refused joins a line, and free clones are reserved for the pools before it in the
-- line. Pools that clients wait for come before pools that only refill.
--   KEYS[4] clones in progress, [5] their number, [6] the line, [7] the line by last request, [8] pools that clients
--   wait for, [9] pending, [10] ready, then the other queues
--   ARGV[6] now as text, [7] the pool's size, [8] the limit, [9] seconds without a request after which a pool loses its
--   place in the line, [10] seconds for which a pool counts as waited for
-- Returns 'ok', 'full' (the pool), 'limit' (the pool must wait for its turn) or 'taken' (the name).
if redis.call('EXISTS', KEYS[2]) == 1 then return 'taken' end
for i = 9, #KEYS do if redis.call('SISMEMBER', KEYS[i], vm) == 1 then return 'taken' end end
if redis.call('SCARD', KEYS[9]) + redis.call('SCARD', KEYS[10]) >= tonumber(ARGV[7]) then return 'full' end
redis.call('ZADD', KEYS[7], 'XX', now, pool)
-- A pool whose last request is in the future would keep its place until then. A clock was set back, so the request
-- counts as made now.
for _, each in ipairs(redis.call('ZRANGEBYSCORE', KEYS[7], '(' .. now + AGREE, '+inf')) do
  redis.call('ZADD', KEYS[7], now, each)
end
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[7], '-inf', tonumber(now) - tonumber(ARGV[9]))) do
  redis.call('ZREM', KEYS[6], gone)
  redis.call('ZREM', KEYS[7], gone)
end
local free = tonumber(ARGV[8]) - redis.call('HLEN', KEYS[4])
local asked = tonumber(redis.call('ZSCORE', KEYS[8], pool) or '-inf')
local recent = asked > now - ARGV[10] and asked <= now + AGREE
local urgent = recent and redis.call('SCARD', KEYS[10]) == 0
local place = redis.call('ZRANK', KEYS[6], pool)
local before = place or redis.call('ZCOUNT', KEYS[6], '-inf', urgent and '(0' or '+inf')
if free <= before then
  if not place then join(KEYS[6], pool, urgent) end
  redis.call('ZADD', KEYS[7], now, pool)
  return 'limit'
end
redis.call('ZREM', KEYS[6], pool)
redis.call('ZREM', KEYS[7], pool)
redis.call('SADD', KEYS[9], vm)
redis.call('HSET', KEYS[2], 'clone', ARGV[6], 'template', pool, 'pool', pool)
redis.call('HSET', KEYS[4], vm, pool)
redis.call('SET', KEYS[5], redis.call('HLEN', KEYS[4]))
emit('clone')
return 'ok'
