-- uses: prelude
-- pending -> ready: the VM answers.
--   KEYS[4] pending, [5] ready, [6] the day's boot times, [7] last boots, [8] clones in progress, [9] their number
--   ARGV[6] now as text, [7] its address, [8] seconds since its clone was ordered, '' when unknown; [9] seconds to keep
--   the day's times, 0 forever
-- Returns 1, or 0 when the VM was not pending.
if redis.call('SMOVE', KEYS[4], KEYS[5], vm) == 0 then return 0 end
redis.call('HSET', KEYS[2], 'ready', ARGV[6], 'check', ARGV[6], 'template', pool, 'pool', pool)
if ARGV[7] ~= '' then redis.call('HSET', KEYS[2], 'ip', ARGV[7]) end
redis.call('HSET', KEYS[7], pool, ARGV[6])
if redis.call('HDEL', KEYS[8], vm) == 1 then redis.call('SET', KEYS[9], redis.call('HLEN', KEYS[8])) end
if ARGV[8] ~= '' then note_daily(KEYS[6], pool .. ':' .. vm, ARGV[8], ARGV[9]) end
emit('ready', '', {'seconds', ARGV[8]})
return 1
