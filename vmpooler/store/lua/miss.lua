-- uses: prelude, ahead
-- Record that a VM is missing from the inventory, or that it is back.
-- keys: queue since
-- args: missing
--   missing: 1 when it is missing, 0 when it is back
-- A stored moment in the future is replaced by now, without an event: a clock was set back.
-- Returns 1, or 0 when nothing changed.
if redis.call('SISMEMBER', queue, vm) == 0 then return 0 end
if missing == '1' then
  local known = tonumber(redis.call('HGET', since, vm) or nil)
  if known and known <= now + AGREE then return 0 end
  redis.call('HSET', since, vm, now)
  if known then return 1 end
  emit('missing')
else
  if redis.call('HDEL', since, vm) == 0 then return 0 end
  emit('found')
end
return 1
