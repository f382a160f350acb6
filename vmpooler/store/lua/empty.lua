-- uses: prelude
-- Set or remove a pool's empty mark, according to its ready queue.
-- keys: ready empty
-- Returns 1, or 0 when nothing changed.
if redis.call('SCARD', ready) == 0 then
  if not redis.call('SET', empty, 'true', 'NX') then return 0 end
  emit('empty')
else
  if redis.call('DEL', empty) == 0 then return 0 end
  emit('filled')
end
return 1
