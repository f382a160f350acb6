-- uses: prelude
-- Set or clear the mass guard of a pool.
--   KEYS[4] flagged pools
--   ARGV[6] why; '' clears it
-- Returns 1, or 0 when nothing changed.
if ARGV[6] == '' then
  if redis.call('HDEL', KEYS[4], pool) == 0 then return 0 end
  emit('unflagged', '', nil, nil, nil, false)
else
  if redis.call('HSET', KEYS[4], pool, ARGV[6]) == 0 then return 0 end
  emit('flagged', ARGV[6], nil, nil, nil, false)
end
return 1
