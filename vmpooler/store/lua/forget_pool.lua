-- Delete everything about a pool that is not configured and has no VM.
--   KEYS[1..5] its queues, [6..10] hashes and [11..13] sorted sets with the pool as a member, [14] a set of
--   pools, [15..] keys of this pool alone, which are deleted
--   ARGV[1] the pool
-- Returns 1, or 0 when it has a VM.
for i = 1, 5 do if redis.call('EXISTS', KEYS[i]) == 1 then return 0 end end
for i = 6, 10 do redis.call('HDEL', KEYS[i], ARGV[1]) end
for i = 11, 13 do redis.call('ZREM', KEYS[i], ARGV[1]) end
redis.call('SREM', KEYS[14], ARGV[1])
for i = 15, #KEYS do redis.call('DEL', KEYS[i]) end
return 1
