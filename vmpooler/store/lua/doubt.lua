-- uses: prelude, ahead, trouble
-- A check of a VM failed. One failure proves nothing; the next check must fail, too. The record stores when the first
-- check in a row failed, and the pool's troubles when the next one is due.
--   KEYS[4] the queue of the VM, [5] the pool's troubles
--   ARGV[6] why, [7] 1 for the first failed check in a row, else 0; [8] the first wait in seconds, [9] the longest
-- Returns 1, or 0 when the VM is not in the queue.
if redis.call('SISMEMBER', KEYS[4], vm) == 0 then return 0 end
if ARGV[7] == '1' then redis.call('HSET', KEYS[2], 'doubt', now) end
note_failure(KEYS[5], vm, ARGV[6], ARGV[8], ARGV[9])
return 1
