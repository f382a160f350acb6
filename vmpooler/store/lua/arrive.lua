-- A process has come to a Redis. When that is another than before, or started anew, it may lack what was written last:
-- then every process that was alive is waited for, until it has said again what it had promised.
--   KEYS[1] the Redis that processes came to last, [2] processes, [3] those awaited, [4] until when,
--   [5] pools that were compared with the provider, which is to be done anew, [6] the Redis that may lack writes
--   ARGV[1] the id of this Redis, [2] seconds without a sign of life after which a process was dead, [3] the longest wait
-- Returns 1 when a wait begins, else 0.
local known = redis.call('GET', KEYS[1])
if known == ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[5])
-- A Redis that had nothing lacks nothing. One that has something and no mark was never used by this version.
if known or redis.call('DBSIZE') > 1 then redis.call('SET', KEYS[6], ARGV[1]) end
if not known then return 0 end
-- What came before the last sign of life of anybody is here. So the clock of those signs is the one to go by.
local last = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
if not last then return 0 end
redis.call('SADD', KEYS[3], unpack(redis.call('ZRANGEBYSCORE', KEYS[2], tonumber(last) - ARGV[2], '+inf')))
redis.call('SET', KEYS[4], redis.call('TIME')[1] + ARGV[3])
redis.call('DEL', KEYS[2])  -- this Redis may stand elsewhere, and have another clock
return 1
