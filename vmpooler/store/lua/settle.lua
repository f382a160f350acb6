-- uses: prelude
-- Take a VM that stands in several queues out of all but one. Only a crash of the original can leave it so.
--   KEYS[4] the queue to believe, [5] since when unexplained, [6..] the other queues
--   ARGV[6] their names
-- Returns 1, or 0 when it does not stand in the first, or in none of the others.
if redis.call('SISMEMBER', KEYS[4], vm) == 0 then return 0 end
local left = 0
for i = 6, #KEYS do left = left + redis.call('SREM', KEYS[i], vm) end
if left == 0 then return 0 end
redis.call('HDEL', KEYS[5], vm)
emit('settled', ARGV[6])
return 1
