-- uses: prelude
-- A client's task failed: it is retried later, or given up, with the reason in the VM's record.
-- keys: tasks
-- args: id why first_wait longest most text
--   first_wait, longest: in seconds; most: the number of tries; text: the task, for people
-- Returns the seconds to wait, as text; '' when the task is given up, or does not exist any more.
local known = redis.call('HGET', tasks, id)
if not known then return '' end
local task = decoded(known)
task.id, task.tries = id, (tonumber(task.tries) or 0) + 1
local more = {'task', task.id, 'tries', tostring(task.tries)}
for _, name in ipairs({'kind', 'argument'}) do more[#more + 1] = name; more[#more + 1] = tostring(task[name] or '') end
if task.tries >= tonumber(most) then
  redis.call('HDEL', tasks, id)
  if redis.call('EXISTS', record) == 1 then
    redis.call('HSET', record, 'failed:' .. task.id, text .. ': ' .. why)
  end
  emit('gave_up', why, more)
  return ''
end
local wait = math.min(tonumber(longest), tonumber(first_wait) * 2 ^ math.min(task.tries - 1, 30))
task.retry_at = tonumber(now) + wait
redis.call('HSET', tasks, id, cjson.encode(task))
more[#more + 1] = 'seconds'
more[#more + 1] = tostring(wait)
emit('delayed', why, more)
return tostring(wait)
