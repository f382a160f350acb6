-- uses: prelude
-- A client's task is done. A record that is gone meanwhile is not created again: it would never expire.
-- keys: tasks
-- args: now_text id kind argument
-- Returns 1, or 0 when the task does not exist any more.
if redis.call('HDEL', tasks, id) == 0 then return 0 end
if redis.call('EXISTS', record) == 0 then -- no record to write to
elseif kind == 'disk' then
  local disks = redis.call('HGET', record, 'disk')
  redis.call('HSET', record, 'disk', (disks and disks ~= '' and disks .. ':' or '') .. '+' .. argument .. 'gb')
elseif kind == 'snapshot' then
  redis.call('HSET', record, 'snapshot:' .. argument, now_text)
end
emit('done', '', {'task', id, 'kind', kind, 'argument', argument})
return 1
