-- uses: prelude
-- Note that a VM is missing from the inventory, or that it is back.
--   KEYS[4] its queue, [5] since when unexplained
--   ARGV[6] 1 when it is missing, 0 when it is back
-- Returns 1, or 0 when nothing changed.
if redis.call('SISMEMBER', KEYS[4], vm) == 0 then return 0 end
if ARGV[6] == '1' then
  if redis.call('HSETNX', KEYS[5], vm, now) == 0 then return 0 end
  emit('missing')
else
  if redis.call('HDEL', KEYS[5], vm) == 0 then return 0 end
  emit('found')
end
return 1
