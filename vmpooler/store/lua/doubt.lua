-- uses: prelude, ahead, trouble
-- A look at a VM failed. Nothing is concluded from it before the next look fails too: the record keeps when the first of
-- them failed, and the pool's troubles when the next is due.
--   KEYS[4] the queue that the VM stands in, [5] the pool's troubles
--   ARGV[6] why, [7] 1 for the first look of a row, else 0; [8] the first wait in seconds, [9] the longest
-- Returns 1, or 0 when it does not stand in the queue.
if redis.call('SISMEMBER', KEYS[4], vm) == 0 then return 0 end
if ARGV[7] == '1' then redis.call('HSET', KEYS[2], 'doubt', now) end
note_failure(KEYS[5], vm, ARGV[6], ARGV[8], ARGV[9])
return 1
