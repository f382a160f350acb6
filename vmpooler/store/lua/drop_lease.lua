-- Give up the leadership lease, so that another manager can lead at once. The epoch stays and the name is removed, so
-- that the fence refuses everything that this manager still sends.
-- keys: lease epoch
-- args: mark
--   mark: the epoch and name of the caller
-- Returns 1, or 0 when another manager leads or has led since.
if redis.call('GET', epoch) ~= mark then return 0 end
redis.call('DEL', lease)
redis.call('SET', epoch, string.match(mark, '^%d+'))
return 1
