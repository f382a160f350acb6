-- uses: ahead
-- Set a moment that a VM lacks, or that cannot be read: its timer starts now. This is not a transition, so no event is
-- written. A moment that is in the future only for a manager that has not noticed that the clock of Redis was set
-- forward is correct, and stays.
--   KEYS[1] its record, [2] checkout times, [3] since when VMs are missing or unknown, [4] the queue
--   ARGV[1] VM, [2] the queue's name, [3] now as text, [4] now (epoch)
-- Returns 1, or 0 when the VM is not in the queue, or its moment stays because ``now`` is behind the clock of Redis.
if redis.call('SISMEMBER', KEYS[4], ARGV[1]) == 0 then return 0 end
if ARGV[2] == 'discovered' then
  redis.call('HSET', KEYS[3], ARGV[1], ARGV[4])
  return 1
end
local field = ({running = 'checkout', ready = 'ready'})[ARGV[2]] or 'clone'
local known = redis.call('HGET', KEYS[1], field)
local ahead = known and known:match('^%d%d%d%d%-') and known > ARGV[3]
if ahead and tonumber(redis.call('TIME')[1]) > ARGV[4] + AGREE then return 0 end
redis.call('HSET', KEYS[1], field, ARGV[3])
if ARGV[2] == 'running' then redis.call('HSET', KEYS[2], ARGV[1], ARGV[3]) end
return 1
