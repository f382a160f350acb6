-- uses: prelude
-- A clone has finished: its VM boots, and another clone may start.
--   KEYS[4] clones in progress, [5] their number, [6] the day's clone times, [7] the pool's troubles
--   ARGV[6] seconds that it took, '' when that is unknown because the service stopped waiting for it; [7] seconds to
--   keep the day's times, 0 forever
-- Returns 1, or 0 when the clone was not in progress.
if redis.call('HDEL', KEYS[4], vm) == 0 then return 0 end
redis.call('SET', KEYS[5], redis.call('HLEN', KEYS[4]))
if ARGV[6] == '' then return 1 end
redis.call('HSET', KEYS[2], 'clone_time', ARGV[6])
note_daily(KEYS[6], pool .. ':' .. vm, ARGV[6], ARGV[7])
emit('cloned', '', {'seconds', ARGV[6]})
if redis.call('HDEL', KEYS[7], ':clone') == 1 then
  emit('recovered', '', {'subject', ':clone'}, {pool = pool, vm = ''}, nil, false)
end
return 1
