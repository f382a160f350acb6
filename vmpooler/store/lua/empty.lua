-- uses: prelude
-- Set or remove a pool's empty mark, according to its ready queue.
--   KEYS[4] ready, [5] the pool's empty mark
-- Returns 1, or 0 when nothing changed.
if redis.call('SCARD', KEYS[4]) == 0 then
  if not redis.call('SET', KEYS[5], 'true', 'NX') then return 0 end
  emit('empty', '', nil, nil, nil, false)
else
  if redis.call('DEL', KEYS[5]) == 0 then return 0 end
  emit('filled', '', nil, nil, nil, false)
end
return 1
