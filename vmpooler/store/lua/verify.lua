-- A pool was compared with its provider: its VMs may be checked out again, if the mark of Redis is still the one that
-- was read before.
-- keys: doubted verified
-- args: pool mark
--   mark: what doubted was when the pool was read
-- Returns 1, or 0 when the mark has changed since.
if redis.call('GET', doubted) ~= mark then return 0 end
redis.call('SADD', verified, pool)
return 1
