-- uses: prelude
-- A client's task failed: it is retried later, or given up, with the reason in the VM's record.
--   KEYS[4] the pool's tasks
--   ARGV[6] the task's id, [7] why, [8] the first wait in seconds, [9] the longest, [10] the number of tries,
--   [11] the task, as a text for people
-- Returns the seconds to wait, as text; '' when the task is given up, or does not exist any more.
local known = redis.call('HGET', KEYS[4], ARGV[6])
if not known then return '' end
local task = decoded(known)
task.id, task.tries = ARGV[6], (tonumber(task.tries) or 0) + 1
local more = {'task', task.id, 'tries', tostring(task.tries)}
for _, name in ipairs({'kind', 'argument'}) do more[#more + 1] = name; more[#more + 1] = tostring(task[name] or '') end
if task.tries >= tonumber(ARGV[10]) then
  redis.call('HDEL', KEYS[4], ARGV[6])
  if redis.call('EXISTS', KEYS[2]) == 1 then
    redis.call('HSET', KEYS[2], 'failed:' .. task.id, ARGV[11] .. ': ' .. ARGV[7])
  end
  emit('gave_up', ARGV[7], more)
  return ''
end
local wait = math.min(tonumber(ARGV[9]), tonumber(ARGV[8]) * 2 ^ math.min(task.tries - 1, 30))
task.retry_at = tonumber(now) + wait
redis.call('HSET', KEYS[4], ARGV[6], cjson.encode(task))
more[#more + 1] = 'seconds'
more[#more + 1] = tostring(wait)
emit('delayed', ARGV[7], more)
return tostring(wait)
