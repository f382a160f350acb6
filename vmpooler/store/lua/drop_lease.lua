-- Give up the leadership lease, so that another manager can lead at once. The epoch stays and the name is removed, so
-- that the fence refuses everything that this manager still sends.
--   KEYS[1] the leadership lease, [2] the epoch and name of the last leader
--   ARGV[1] the epoch and name of the caller
-- Returns 1, or 0 when another manager leads or has led since.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[2], string.match(ARGV[1], '^%d+'))
return 1
