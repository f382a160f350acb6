-- A pool was compared with its provider: its VMs may be checked out again, if the mark of Redis is still the one that
-- was read before.
--   KEYS[1] the mark of a Redis that may lack writes, [2] verified pools
--   ARGV[1] the pool, [2] that mark when the pool was read
-- Returns 1, or 0 when the mark has changed since.
if redis.call('GET', KEYS[1]) ~= ARGV[2] then return 0 end
redis.call('SADD', KEYS[2], ARGV[1])
return 1
