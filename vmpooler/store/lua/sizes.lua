-- Count the VMs in each of some queues, at one moment.
-- keys: queues...
local sizes = {}
for i, queue in ipairs(queues) do sizes[i] = redis.call('SCARD', queue) end
return sizes
