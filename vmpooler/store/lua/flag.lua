-- uses: prelude
-- Set or clear the mass guard of a pool.
-- keys: flagged
-- args: why
--   why: '' clears it
-- Returns 1, or 0 when nothing changed.
if why == '' then
  if redis.call('HDEL', flagged, pool) == 0 then return 0 end
  emit('unflagged')
else
  if redis.call('HSET', flagged, pool, why) == 0 then return 0 end
  emit('flagged', why)
end
return 1
