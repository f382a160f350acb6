-- uses: prelude, ahead, trouble
-- A check of a VM failed. One failure proves nothing; the next check must fail, too. The record stores when the first
-- check in a row failed, and the pool's troubles when the next one is due.
-- keys: queue trouble
-- args: why first first_wait longest
--   queue: that of the VM; first: 1 for the first failed check in a row, else 0; first_wait, longest: in seconds
-- Returns 1, or 0 when the VM is not in the queue.
if redis.call('SISMEMBER', queue, vm) == 0 then return 0 end
if first == '1' then redis.call('HSET', record, 'doubt', now) end
note_failure(trouble, vm, why, first_wait, longest)
return 1
