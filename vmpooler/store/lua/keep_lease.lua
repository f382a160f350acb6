-- Go on leading. A lease that ran out while nobody else took it is as good as kept.
--   KEYS[1] the lease, [2] who led last
--   ARGV[1] epoch and name of who asks, [2] milliseconds that the lease holds
-- Returns 1, or 0 when another manager leads or has led since.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
