-- uses: prelude, held, quarantine
-- A client has a VM, according to its stamp or its record, and its queue contradicts this. The VM moves to running for
-- that client. If the checkout is not known, the VM is quarantined. See Note [Two sources].
-- keys: queue running active since cloning tasks_clone confirmed
-- args: why checked_out checkout_id user lifetime
--   queue: that of the VM; checked_out: when it was checked out, as text, '' unknown; checkout_id, user: or '';
--   lifetime: hours from its checkout, '' to keep that of its record; counted from now where the checkout is unknown
-- Returns 1, or 0 when the VM is not in that queue.
if redis.call('SISMEMBER', queue, vm) == 0 then return 0 end
redis.call('SREM', queue, vm)
redis.call('HDEL', since, vm)
redis.call('SREM', confirmed, vm)
if redis.call('HDEL', cloning, vm) == 1 then redis.call('SET', tasks_clone, redis.call('HLEN', cloning)) end
local id = redis.call('HGET', record, 'checkout_id')
unbook(pool, vm)
if id and id ~= checkout_id then redis.call('HDEL', record, 'token:token', 'token:user', 'lifetime') end
redis.call('HDEL', record, 'unclaimed', 'quarantined', 'completed', 'destroy')
if checked_out == '' then
  quarantine(why, lifetime)
  return 1
end
redis.call('SADD', running, vm)
redis.call('HSET', active, vm, checked_out)
redis.call('PERSIST', record)
redis.call('HSET', record, 'checkout', checked_out, 'template', pool, 'pool', pool)
if checkout_id ~= '' then redis.call('HSET', record, 'checkout_id', checkout_id, 'stamping', checkout_id) end
if user ~= '' then redis.call('HSET', record, 'token:user', user); by = user end
if lifetime ~= '' then
  -- A lifetime in a record that lacks the checkout is what the client requested after the checkout was lost: it stays
  -- if it is longer.
  local hours, asked = tonumber(lifetime), not id and tonumber(redis.call('HGET', record, 'lifetime') or '')
  if not asked or asked > 0 and (hours <= 0 or asked <= hours) then redis.call('HDEL', record, 'lifetime') end
  redis.call('HSET', record, 'lifetime_default', lifetime)
end
book(pool, vm, redis.call('HGET', record, 'token:token'))
emit('restored', why, {'checkout_id', checkout_id})
return 1
