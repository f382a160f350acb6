-- uses: prelude, ahead
-- Record that a VM is missing from the inventory, or that it is back.
--   KEYS[4] its queue, [5] since when VMs are missing or unknown
--   ARGV[6] 1 when it is missing, 0 when it is back
-- A stored moment in the future is replaced by now, without an event: a clock was set back.
-- Returns 1, or 0 when nothing changed.
if redis.call('SISMEMBER', KEYS[4], vm) == 0 then return 0 end
if ARGV[6] == '1' then
  local known = tonumber(redis.call('HGET', KEYS[5], vm) or nil)
  if known and known <= now + AGREE then return 0 end
  redis.call('HSET', KEYS[5], vm, now)
  if known then return 1 end
  emit('missing')
else
  if redis.call('HDEL', KEYS[5], vm) == 0 then return 0 end
  emit('found')
end
return 1
