-- uses: prelude, held
-- Restore a checkout that Redis has lost: its VM moves to running.
-- keys: running completed active since cloning tasks_clone confirmed others...
-- args: checked_out checkout_id token lifetime default_lifetime
--   others: the other queues; checked_out: when it was checked out, as text; token: its name, or ''; lifetime: in
--   hours, or ''; default_lifetime: in hours
-- Returns 1; 0 when Redis knows the checkout, or its end; -1 when another client has the VM since.
for _, entry in ipairs(redis.call('LRANGE', history, 0, -1)) do
  if string.find(entry, checkout_id, 1, true) then
    -- A checkout that was restored from a stamp lacks its token.
    local mine = redis.call('HGET', record, 'checkout_id') == checkout_id and redis.call('SISMEMBER', running, vm) == 1
    if mine and token ~= '' and redis.call('HSETNX', record, 'token:token', token) == 1 then
      book(pool, vm, token)
    end
    return 0
  end
end
if redis.call('SISMEMBER', completed, vm) == 1 or redis.call('HEXISTS', record, 'destroy') == 1
  or redis.call('HGET', record, 'completed') and redis.call('HGET', record, 'checkout_id') == checkout_id then
  return 0
end
local runs = redis.call('SISMEMBER', running, vm) == 1
local nobodys = redis.call('HEXISTS', record, 'quarantined') == 1 or redis.call('HEXISTS', record, 'unclaimed') == 1
-- An earlier checkout has ended: otherwise the VM would not have been checked out again.
local given = redis.call('HGET', record, 'checkout')
local before = given and given:match('^%d%d%d%d%-') and given < checked_out
if runs and not nobodys and not before then return -1 end
if before then
  unbook(pool, vm)
  redis.call('HDEL', record, 'token:token', 'token:user', 'lifetime')
end
for _, queue in ipairs(others) do redis.call('SREM', queue, vm) end
redis.call('SREM', confirmed, vm)
redis.call('HDEL', since, vm)
if redis.call('HDEL', cloning, vm) == 1 then redis.call('SET', tasks_clone, redis.call('HLEN', cloning)) end
redis.call('SADD', running, vm)
redis.call('HSET', active, vm, checked_out)
redis.call('HDEL', record, 'quarantined', 'completed', 'unclaimed')
redis.call('PERSIST', record)
redis.call('HSET', record, 'checkout', checked_out, 'checkout_id', checkout_id, 'template', pool, 'pool', pool,
  'lifetime_default', default_lifetime)
if token ~= '' then
  local user = redis.call('HGET', TOKEN .. token, 'user') or ''
  redis.call('HSET', record, 'token:token', token, 'token:user', user)
  if lifetime ~= '' then redis.call('HSET', record, 'lifetime', lifetime) end
  if user ~= '' then by = user end
end
book(pool, vm, token ~= '' and token)
emit('restored', 'a fail-over had lost its checkout', {'checkout_id', checkout_id})
return 1
