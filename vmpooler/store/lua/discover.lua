-- uses: prelude, held, quarantine
-- Record a VM that is in the inventory and in no queue: as discovered, or as quarantined after a failover that may have
-- lost its checkout.
-- keys: discovered since uncertain others...
-- args: stamped hours
--   others: the other queues; stamped: 1 when the VM has a stamp of this service, else 0; hours: lifetime of a VM that
--   may be in use
-- Returns 1, or 0 when the VM is already in a queue.
for _, queue in ipairs(others) do if redis.call('SISMEMBER', queue, vm) == 1 then return 0 end end
-- A record with a checkout that has not ended names the client: the next round restores that checkout.
local held = redis.call('HEXISTS', record, 'checkout') == 1 and redis.call('HEXISTS', record, 'completed') == 0
  and redis.call('HEXISTS', record, 'quarantined') == 0
  and redis.call('HEXISTS', record, 'destroy') == 0
local why = stamped == '1' and not held and redis.call('GET', uncertain)
if why and redis.call('SISMEMBER', discovered, vm) == 0 then
  quarantine(why, hours)
  return 1
end
if redis.call('SADD', discovered, vm) == 0 then return 0 end
redis.call('HSET', since, vm, now)
emit('discovered', '', {'stamped', stamped})
return 1
