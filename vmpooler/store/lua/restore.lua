-- uses: prelude, held
-- Restore a checkout that Redis has lost: its VM moves to running.
--   KEYS[4] running, [5] completed, [6] checkout times, [7] since when VMs are missing or unknown, [8] clones in
--   progress, [9] their number, [10] confirmed, [11..] the other queues
--   ARGV[6] when it was checked out, as text, [7] the checkout's id, [8] the token or '', [9] lifetime in hours or '',
--   [10] default lifetime in hours
-- Returns 1; 0 when Redis knows the checkout, or its end; -1 when another client has the VM since.
for _, entry in ipairs(redis.call('LRANGE', KEYS[3], 0, -1)) do
  if string.find(entry, ARGV[7], 1, true) then
    -- A checkout that was restored from a stamp lacks its token.
    local mine = redis.call('HGET', KEYS[2], 'checkout_id') == ARGV[7] and redis.call('SISMEMBER', KEYS[4], vm) == 1
    if mine and ARGV[8] ~= '' and redis.call('HSETNX', KEYS[2], 'token:token', ARGV[8]) == 1 then
      book(pool, vm, ARGV[8])
    end
    return 0
  end
end
if redis.call('SISMEMBER', KEYS[5], vm) == 1 or redis.call('HEXISTS', KEYS[2], 'destroy') == 1
  or redis.call('HGET', KEYS[2], 'completed') and redis.call('HGET', KEYS[2], 'checkout_id') == ARGV[7] then return 0 end
local runs = redis.call('SISMEMBER', KEYS[4], vm) == 1
local nobodys = redis.call('HEXISTS', KEYS[2], 'quarantined') == 1 or redis.call('HEXISTS', KEYS[2], 'unclaimed') == 1
-- An earlier checkout has ended: otherwise the VM would not have been checked out again.
local given = redis.call('HGET', KEYS[2], 'checkout')
local before = given and given:match('^%d%d%d%d%-') and given < ARGV[6]
if runs and not nobodys and not before then return -1 end
if before then
  unbook(pool, vm)
  redis.call('HDEL', KEYS[2], 'token:token', 'token:user', 'lifetime')
end
for i = 11, #KEYS do redis.call('SREM', KEYS[i], vm) end
redis.call('SREM', KEYS[10], vm)
redis.call('HDEL', KEYS[7], vm)
if redis.call('HDEL', KEYS[8], vm) == 1 then redis.call('SET', KEYS[9], redis.call('HLEN', KEYS[8])) end
redis.call('SADD', KEYS[4], vm)
redis.call('HSET', KEYS[6], vm, ARGV[6])
redis.call('HDEL', KEYS[2], 'quarantined', 'completed', 'unclaimed')
redis.call('PERSIST', KEYS[2])
redis.call('HSET', KEYS[2], 'checkout', ARGV[6], 'checkout_id', ARGV[7], 'template', pool, 'pool', pool,
  'lifetime_default', ARGV[10])
if ARGV[8] ~= '' then
  local user = redis.call('HGET', TOKEN .. ARGV[8], 'user') or ''
  redis.call('HSET', KEYS[2], 'token:token', ARGV[8], 'token:user', user)
  if ARGV[9] ~= '' then redis.call('HSET', KEYS[2], 'lifetime', ARGV[9]) end
  if user ~= '' then by = user end
end
book(pool, vm, ARGV[8] ~= '' and ARGV[8])
emit('restored', 'a fail-over had lost its checkout', {'checkout_id', ARGV[7]})
return 1
