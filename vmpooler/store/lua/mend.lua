-- Fill in a moment that a VM lacks, or that cannot be read: the clock of its timer starts now. No transition, hence no
-- event.
--   KEYS[1] its record, [2] checkout times, [3] since when unexplained, [4] the queue
--   ARGV[1] VM, [2] the queue's name, [3] now as text, [4] now (epoch)
-- Returns 1, or 0 when it does not stand in the queue.
if redis.call('SISMEMBER', KEYS[4], ARGV[1]) == 0 then return 0 end
if ARGV[2] == 'discovered' then redis.call('HSET', KEYS[3], ARGV[1], ARGV[4])
elseif ARGV[2] == 'running' then
  redis.call('HSET', KEYS[1], 'checkout', ARGV[3])
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
else redis.call('HSET', KEYS[1], ARGV[2] == 'ready' and 'ready' or 'clone', ARGV[3]) end
return 1
