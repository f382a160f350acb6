-- uses: prelude
-- A client's task is done. A record that is gone meanwhile is not created again: it would never expire.
--   KEYS[4] the pool's tasks
--   ARGV[6] now as text, [7] the task's id, [8] its kind, [9] its argument
-- Returns 1, or 0 when the task does not exist any more.
if redis.call('HDEL', KEYS[4], ARGV[7]) == 0 then return 0 end
if redis.call('EXISTS', KEYS[2]) == 0 then -- no record to write to
elseif ARGV[8] == 'disk' then
  local disks = redis.call('HGET', KEYS[2], 'disk')
  redis.call('HSET', KEYS[2], 'disk', (disks and disks ~= '' and disks .. ':' or '') .. '+' .. ARGV[9] .. 'gb')
elseif ARGV[8] == 'snapshot' then
  redis.call('HSET', KEYS[2], 'snapshot:' .. ARGV[9], ARGV[6])
end
emit('done', '', {'task', ARGV[7], 'kind', ARGV[8], 'argument', ARGV[9]})
return 1
