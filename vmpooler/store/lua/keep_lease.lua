-- Renew the leadership lease. A lease that expired is renewed, too, unless another manager took it.
--   KEYS[1] the leadership lease, [2] the epoch and name of the last leader
--   ARGV[1] the epoch and name of the caller, [2] milliseconds that the lease lasts
-- Returns 1, or 0 when another manager leads or has led since.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
