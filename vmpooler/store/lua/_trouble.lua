-- Troubles of a pool: a hash of what keeps failing (a VM, or a subject that begins with a colon) -> JSON.

-- Records a failure and when to retry: after ``first`` seconds, then twice as long each time, at most ``longest``. A
-- failure during a wait counts as the same failure. Returns the seconds to wait.
local function note_failure(troubles, subject, why, first, longest)
  local trouble = decoded(redis.call('HGET', troubles, subject))
  trouble.tries, trouble['until'] = tonumber(trouble.tries) or 0, tonumber(trouble['until']) or 0
  if waits(trouble['until'], longest) then return trouble['until'] - tonumber(now) end
  trouble.tries = trouble.tries + 1
  local wait = math.min(tonumber(longest), tonumber(first) * 2 ^ math.min(trouble.tries - 1, 30))
  trouble['until'], trouble.why = tonumber(now) + wait, why
  redis.call('HSET', troubles, subject, cjson.encode(trouble))
  local more = {'subject', subject, 'tries', tostring(trouble.tries), 'seconds', tostring(wait)}
  emit('failed', why, more)
  return wait
end
