-- uses: prelude, held
-- Return a VM that its client never received to ready. If its stamp may name the client, the VM stays in running until
-- the stamp is cleared; see put_back.lua.
-- keys: running ready active since
-- args: why checkout_id fields
--   fields: those that a checkout writes (JSON array)
-- Returns 1; 2 when the VM waits for its stamp to be cleared; 0 when the VM does not belong to that checkout any more.
if redis.call('HGET', record, 'checkout_id') ~= checkout_id or redis.call('SISMEMBER', running, vm) == 0 then
  return 0
end
local stamped = redis.call('HEXISTS', record, 'stamping') == 1
if not stamped then redis.call('SMOVE', running, ready, vm) end  -- first: if Redis refuses it, nothing has changed
redis.call('HDEL', active, vm)
if stamped then redis.call('HSET', since, vm, now) else redis.call('HDEL', since, vm) end
unbook(pool, vm)
for _, field in ipairs(cjson.decode(fields)) do redis.call('HDEL', record, field) end
if stamped then
  book(pool, vm)
  redis.call('HSET', record, 'unclaimed', why)
  emit('unclaimed', why)
  return 2
end
emit('returned', why)
return 1
