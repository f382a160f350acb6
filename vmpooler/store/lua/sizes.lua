-- Count the VMs in each of some queues, at one moment.
--   KEYS the queues
local sizes = {}
for i, queue in ipairs(KEYS) do sizes[i] = redis.call('SCARD', queue) end
return sizes
