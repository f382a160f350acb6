-- uses: ahead
-- Fill in a moment that a VM lacks, or that cannot be read: the clock of its timer starts now. No transition, hence no
-- event. A moment that lies ahead for a manager which has not noticed that the clock of Redis was set forward is right.
--   KEYS[1] its record, [2] checkout times, [3] since when unexplained, [4] the queue
--   ARGV[1] VM, [2] the queue's name, [3] now as text, [4] now (epoch)
-- Returns 1, or 0 when it does not stand in the queue, or now is long past.
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
