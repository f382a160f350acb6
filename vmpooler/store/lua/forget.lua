-- uses: prelude, held
-- A completed VM has been destroyed: it leaves its last queue, and its record is kept for a while.
-- keys: completed trouble confirmed active
-- args: now_text seconds keep
--   seconds: that it took; keep: seconds to keep the record
-- Returns 1, or 0 when the VM was not completed.
if redis.call('SREM', completed, vm) == 0 then return 0 end
redis.call('HSET', record, 'destroy', now_text, 'template', pool, 'pool', pool)
redis.call('EXPIRE', record, keep)
redis.call('HDEL', trouble, vm)
redis.call('SREM', confirmed, vm)
redis.call('HDEL', active, vm)
unbook(pool, vm)
emit('destroyed', '', {'seconds', seconds})
return 1
