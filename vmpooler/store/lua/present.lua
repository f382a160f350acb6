-- uses: witness
-- Heartbeat. After a loss it also reports whether this process has replayed its recent writes, and ends the wait for
-- the other processes when all have replayed theirs, or when the wait has lasted too long.
-- keys: primary processes awaited barrier vouched events uncertain
-- args: mark who forgotten_after longest restored may_lose why uncertain_seconds heartbeat known...
--   mark: the mark that this process knows; who: its name; forgotten_after: seconds after which a silent process is
--   forgotten; longest: the longest wait; restored: '' when this process could not restore a checkout, else '1';
--   may_lose: '1' when a checkout that was answered may be lost, else ''; why: the reason to quarantine VMs that are
--   found later, once all others have been, else ''; uncertain_seconds: for which that applies; heartbeat: the time of
--   this process's last heartbeat, 0 for none; known: event ids that it knows
-- Returns what to do ('' nothing, 'arrive' again, 'wait', 'quarantine' the VMs that the missing processes may have
-- given to clients), the missing processes, the time, the id of the newest event, and the live processes.
local time = tonumber(redis.call('TIME')[1])
local less = lacks(events, known, #known)
  or unsigned(processes, who, tonumber(heartbeat), tonumber(forgotten_after), time)
if less or redis.call('GET', primary) ~= mark then return {'arrive', {}, time, '', {}} end
redis.call('ZADD', processes, time, who)
redis.call('ZREMRANGEBYSCORE', processes, '-inf', time - forgotten_after)
redis.call('ZREMRANGEBYSCORE', processes, time + 10, '+inf')  -- from before the clock was set back, by over 10 s
local function answer(what, missing)
  return {what, missing, time, newest(events), redis.call('ZRANGE', processes, 0, -1)}
end
local wait = tonumber(redis.call('GET', barrier))
if restored == '1' then
  redis.call('SREM', awaited, who)
  redis.call('SREM', vouched, who)
elseif wait then  -- this process could not restore a checkout
  redis.call('SADD', awaited, who)
  redis.call('SADD', vouched, who)
end
if not wait then return answer('', {}) end
if wait > time + longest then  -- from before the clock was set back
  wait = time + longest
  redis.call('SET', barrier, wait)
end
local missing = redis.call('SMEMBERS', awaited)
if #missing > 0 and time < wait then return answer('wait', missing) end
local lost = redis.call('SINTER', awaited, vouched)
if #lost > 0 and may_lose == '1' then
  if why == '' then return answer('quarantine', lost) end
  redis.call('SET', uncertain, why, 'EX', uncertain_seconds)
end
redis.call('DEL', awaited, barrier, vouched)
return answer('', {})
