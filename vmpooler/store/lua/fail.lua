-- uses: prelude
-- Note that something did not work, and when to try it again. What fails while a wait is on counts as the same failure.
--   KEYS[4] the pool's troubles
--   ARGV[6] what failed: a VM, ':clone' or ':inventory'; [7] why, [8] the first wait in seconds, [9] the longest
-- Returns the seconds to wait, as text.
local trouble = decoded(redis.call('HGET', KEYS[4], ARGV[6]))
trouble.tries, trouble['until'] = tonumber(trouble.tries) or 0, tonumber(trouble['until']) or 0
if trouble['until'] > tonumber(now) then return tostring(trouble['until'] - tonumber(now)) end
trouble.tries = trouble.tries + 1
local wait = math.min(tonumber(ARGV[9]), tonumber(ARGV[8]) * 2 ^ math.min(trouble.tries - 1, 30))
trouble['until'], trouble.why = tonumber(now) + wait, ARGV[7]
redis.call('HSET', KEYS[4], ARGV[6], cjson.encode(trouble))
local more = {'subject', ARGV[6], 'tries', tostring(trouble.tries), 'seconds', tostring(wait)}
if vm == '' then emit('failed', ARGV[7], more, nil, nil, false) else emit('failed', ARGV[7], more) end
return tostring(wait)
