-- uses: prelude, held, quarantine
-- Record a VM that is in the inventory and in no queue: as discovered, or as quarantined after a failover that may have
-- lost its checkout.
--   KEYS[4] discovered, [5] since when VMs are missing or unknown, [6..9] the other queues, [10] the mark of a failover
--   that may have lost checkouts
--   ARGV[6] 1 when the VM has a stamp of this service, else 0; [7] now as text, [8] lifetime in hours of a VM that may
--   be in use
-- Returns 1, or 0 when the VM is already in a queue.
for i = 6, 9 do if redis.call('SISMEMBER', KEYS[i], vm) == 1 then return 0 end end
-- A record with a checkout that has not ended names the client: the next round restores that checkout.
local held = redis.call('HEXISTS', KEYS[2], 'checkout') == 1 and redis.call('HEXISTS', KEYS[2], 'completed') == 0
  and redis.call('HEXISTS', KEYS[2], 'quarantined') == 0
  and redis.call('HEXISTS', KEYS[2], 'destroy') == 0
local why = ARGV[6] == '1' and not held and redis.call('GET', KEYS[10])
if why and redis.call('SISMEMBER', KEYS[4], vm) == 0 then
  quarantine(pool, vm, why, ARGV[7], ARGV[8])
  return 1
end
if redis.call('SADD', KEYS[4], vm) == 0 then return 0 end
redis.call('HSET', KEYS[5], vm, now)
emit('discovered', '', {'stamped', ARGV[6]})
return 1
