-- uses: prelude
-- Take a VM that stands in several queues out of all but one. Only a crash of the original can leave it so.
--   KEYS[4] the queue to believe, [5..] the others
--   ARGV[6] their names
-- Returns 1, or 0 when it does not stand in the first.
if redis.call('SISMEMBER', KEYS[4], vm) == 0 then return 0 end
for i = 5, #KEYS do redis.call('SREM', KEYS[i], vm) end
emit('settled', ARGV[6])
return 1
