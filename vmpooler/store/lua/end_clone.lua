-- uses: prelude
-- A clone has finished: its VM boots, and another clone may start.
-- keys: cloning tasks_clone clone_times trouble
-- args: seconds keep
--   seconds: that it took, '' when that is unknown because the service stopped waiting for it; keep: seconds to keep
--   the day's times, 0 forever
-- Returns 1, or 0 when the clone was not in progress.
if redis.call('HDEL', cloning, vm) == 0 then return 0 end
redis.call('SET', tasks_clone, redis.call('HLEN', cloning))
if seconds == '' then return 1 end
redis.call('HSET', record, 'clone_time', seconds)
note_daily(clone_times, pool .. ':' .. vm, seconds, keep)
emit('cloned', '', {'seconds', seconds})
if redis.call('HDEL', trouble, ':clone') == 1 then
  vm = ''  -- the clones of the pool have recovered, not this VM
  emit('recovered', '', {'subject', ':clone'})
end
return 1
