-- uses: prelude
-- A clone is done: its VM boots, and another may begin.
--   KEYS[4] clones under way, [5] their number, [6] the day's clone times, [7] the pool's troubles
--   ARGV[6] seconds it took; empty when nobody knows, since its clone was only given up waiting for; [7] seconds to keep
--   the day's times, 0 for ever
-- Returns 1, or 0 when it was not under way.
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
