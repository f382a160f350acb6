-- uses: prelude
-- pending -> ready: the VM answers.
-- keys: pending ready boot_times lastboot cloning tasks_clone
-- args: now_text address seconds keep
--   seconds: since its clone was ordered, '' when unknown; keep: seconds to keep the day's times, 0 forever
-- Returns 1, or 0 when the VM was not pending.
if redis.call('SMOVE', pending, ready, vm) == 0 then return 0 end
redis.call('HSET', record, 'ready', now_text, 'check', now_text, 'template', pool, 'pool', pool)
if address ~= '' then redis.call('HSET', record, 'ip', address) end
redis.call('HSET', lastboot, pool, now_text)
if redis.call('HDEL', cloning, vm) == 1 then redis.call('SET', tasks_clone, redis.call('HLEN', cloning)) end
if seconds ~= '' then note_daily(boot_times, pool .. ':' .. vm, seconds, keep) end
emit('ready', '', {'seconds', seconds})
return 1
