-- uses: prelude
-- Order a clone: the VM is pending from now on. Never beyond the pool's size, never beyond the limit of clones under
-- way, and in turn: a pool that is refused joins a line, and free clones are kept for those before it in the line.
--   KEYS[4] pending, [5] ready, [6] clones under way, [7] their number, [8] the line, [9] the line by last asked
--   ARGV[6] now as text, [7] the pool's size, [8] the limit, [9] seconds after which one who does not ask is passed over
-- Returns 'ok', 'full' (the pool), 'limit' (wait for your turn) or 'taken' (the name).
if redis.call('EXISTS', KEYS[2]) == 1 then return 'taken' end
if redis.call('SCARD', KEYS[4]) + redis.call('SCARD', KEYS[5]) >= tonumber(ARGV[7]) then return 'full' end
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[9], '-inf', tonumber(now) - tonumber(ARGV[9]))) do
  redis.call('ZREM', KEYS[8], gone)
  redis.call('ZREM', KEYS[9], gone)
end
local free = tonumber(ARGV[8]) - redis.call('HLEN', KEYS[6])
local before = redis.call('ZRANK', KEYS[8], pool) or redis.call('ZCARD', KEYS[8])
if free <= before then
  local last = redis.call('ZREVRANGE', KEYS[8], 0, 0, 'WITHSCORES')
  redis.call('ZADD', KEYS[8], 'NX', (last[2] or 0) + 1, pool)
  redis.call('ZADD', KEYS[9], now, pool)
  return 'limit'
end
redis.call('ZREM', KEYS[8], pool)
redis.call('ZREM', KEYS[9], pool)
redis.call('SADD', KEYS[4], vm)
redis.call('HSET', KEYS[2], 'clone', ARGV[6], 'template', pool, 'pool', pool)
redis.call('HSET', KEYS[6], vm, pool)
redis.call('SET', KEYS[7], redis.call('HLEN', KEYS[6]))
emit('clone')
return 'ok'
