-- uses: prelude, held, quarantine
-- A client has a VM, according to its stamp or its record, and its queue contradicts this. The VM moves to running for
-- that client. If the checkout is not known, the VM is quarantined. See Note [Two witnesses].
--   KEYS[4] the VM's queue, [5] running, [6] checkout times, [7] since when VMs are missing or unknown, [8] clones in
--   progress, [9] their number, [10] confirmed
--   ARGV[6] now as text, [7] why, [8] when it was checked out, as text, '' unknown; [9] the checkout's id or '', [10]
--   the user or '', [11] lifetime in hours from its checkout, '' to keep that of its record; counted from now where the
--   checkout is unknown
-- Returns 1, or 0 when the VM is not in that queue.
if redis.call('SISMEMBER', KEYS[4], vm) == 0 then return 0 end
redis.call('SREM', KEYS[4], vm)
redis.call('HDEL', KEYS[7], vm)
redis.call('SREM', KEYS[10], vm)
if redis.call('HDEL', KEYS[8], vm) == 1 then redis.call('SET', KEYS[9], redis.call('HLEN', KEYS[8])) end
local id = redis.call('HGET', KEYS[2], 'checkout_id')
unbook(pool, vm)
if id and id ~= ARGV[9] then redis.call('HDEL', KEYS[2], 'token:token', 'token:user', 'lifetime') end
redis.call('HDEL', KEYS[2], 'unclaimed', 'quarantined', 'completed', 'destroy')
if ARGV[8] == '' then
  quarantine(pool, vm, ARGV[7], ARGV[6], ARGV[11])
  return 1
end
redis.call('SADD', KEYS[5], vm)
redis.call('HSET', KEYS[6], vm, ARGV[8])
redis.call('PERSIST', KEYS[2])
redis.call('HSET', KEYS[2], 'checkout', ARGV[8], 'template', pool, 'pool', pool)
if ARGV[9] ~= '' then redis.call('HSET', KEYS[2], 'checkout_id', ARGV[9], 'stamping', ARGV[9]) end
if ARGV[10] ~= '' then redis.call('HSET', KEYS[2], 'token:user', ARGV[10]); by = ARGV[10] end
if ARGV[11] ~= '' then
  -- A lifetime in a record that lacks the checkout is what the client requested after the checkout was lost: it stays
  -- if it is longer.
  local hours, asked = tonumber(ARGV[11]), not id and tonumber(redis.call('HGET', KEYS[2], 'lifetime') or '')
  if not asked or asked > 0 and (hours <= 0 or asked <= hours) then redis.call('HDEL', KEYS[2], 'lifetime') end
  redis.call('HSET', KEYS[2], 'lifetime_default', ARGV[11])
end
book(pool, vm, redis.call('HGET', KEYS[2], 'token:token'))
emit('restored', ARGV[7], {'checkout_id', ARGV[9]})
return 1
