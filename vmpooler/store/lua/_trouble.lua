-- Troubles of a pool: a hash of what keeps failing (a VM, or a subject that begins with a colon) -> JSON.

-- The longest first wait of any trouble; domain/backoff.py has the same value, and the same rule of how long a wait may
-- be after so many failures.
local SECOND_CHECK_DELAY = 8

-- Records a failure and when to retry: after ``first`` seconds, then twice as long each time, at most ``longest``. A
-- failure during a wait counts as the same failure. Returns the seconds to wait.
local function note_failure(troubles, subject, why, first, longest)
  local trouble = decoded(redis.call('HGET', troubles, subject))
  trouble.tries, trouble['until'] = tonumber(trouble.tries) or 0, tonumber(trouble['until']) or 0
  local possible = math.min(longest, SECOND_CHECK_DELAY * 2 ^ math.min(math.max(trouble.tries, 1) - 1, 30))
  if waits(trouble['until'], possible) then return trouble['until'] - tonumber(now) end
  trouble.tries = trouble.tries + 1
  local wait = math.min(tonumber(longest), tonumber(first) * 2 ^ math.min(trouble.tries - 1, 30))
  trouble['until'], trouble.why = tonumber(now) + wait, why
  redis.call('HSET', troubles, subject, cjson.encode(trouble))
  local more = {'subject', subject, 'tries', tostring(trouble.tries), 'seconds', tostring(wait)}
  emit('failed', why, more)
  return wait
end
