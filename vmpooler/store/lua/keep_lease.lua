-- Renew the leadership lease. A lease that expired is renewed, too, unless another manager took it.
-- keys: lease epoch
-- args: mark holds
--   mark: the epoch and name of the caller; holds: milliseconds that the lease lasts
-- Returns 1, or 0 when another manager leads or has led since.
if redis.call('GET', epoch) ~= mark then return 0 end
redis.call('SET', lease, mark, 'PX', holds)
return 1
