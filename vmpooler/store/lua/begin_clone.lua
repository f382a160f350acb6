-- uses: prelude, ahead, line
-- Order a clone: the VM becomes pending. Never more VMs than the pool's size, never more clones in progress than the
-- limit, and in turn: a pool that is refused joins a line, and free clones are reserved for the pools before it in the
-- line. Pools that clients wait for come before pools that only refill.
-- keys: cloning tasks_clone line line_asked wanted pending ready others...
-- args: now_text size limit passed_over priority_seconds
--   others: the other queues; size: of the pool; limit: the most clones in progress; passed_over: seconds without a
--   request after which a pool loses its place in the line; priority_seconds: for which a pool counts as waited for
-- Returns 'ok', 'full' (the pool), 'limit' (the pool must wait for its turn) or 'taken' (the name).
if redis.call('EXISTS', record) == 1 then return 'taken' end
for _, queue in ipairs({pending, ready, unpack(others)}) do
  if redis.call('SISMEMBER', queue, vm) == 1 then return 'taken' end
end
if redis.call('SCARD', pending) + redis.call('SCARD', ready) >= tonumber(size) then return 'full' end
redis.call('ZADD', line_asked, 'XX', now, pool)
-- A pool whose last request is in the future would keep its place until then. A clock was set back, so the request
-- counts as made now.
for _, each in ipairs(redis.call('ZRANGEBYSCORE', line_asked, '(' .. now + AGREE, '+inf')) do
  redis.call('ZADD', line_asked, now, each)
end
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', line_asked, '-inf', tonumber(now) - tonumber(passed_over))) do
  redis.call('ZREM', line, gone)
  redis.call('ZREM', line_asked, gone)
end
local free = tonumber(limit) - redis.call('HLEN', cloning)
local asked = tonumber(redis.call('ZSCORE', wanted, pool) or '-inf')
local recent = asked > now - priority_seconds and asked <= now + AGREE
local urgent = recent and redis.call('SCARD', ready) == 0
local place = redis.call('ZRANK', line, pool)
local before = place or redis.call('ZCOUNT', line, '-inf', urgent and '(0' or '+inf')
if free <= before then
  if not place then join(line, pool, urgent) end
  redis.call('ZADD', line_asked, now, pool)
  return 'limit'
end
redis.call('ZREM', line, pool)
redis.call('ZREM', line_asked, pool)
redis.call('SADD', pending, vm)
redis.call('HSET', record, 'clone', now_text, 'template', pool, 'pool', pool)
redis.call('HSET', cloning, vm, pool)
redis.call('SET', tasks_clone, redis.call('HLEN', cloning))
emit('clone')
return 'ok'
