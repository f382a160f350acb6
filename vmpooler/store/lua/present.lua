-- uses: witness
-- Heartbeat. After a loss it also reports whether this process has replayed its recent writes, and ends the wait for
-- the other processes when all have replayed theirs, or when the wait has lasted too long.
--   KEYS[1] the mark of this Redis, [2] processes by last heartbeat, [3] processes waited for, [4] deadline of the
--   wait, [5] those of [3] whose checkouts may be lost, [6] event stream, [7] the mark for VMs that are found later
--   ARGV[1] the mark that this process knows, [2] its name, [3] seconds after which a silent process is forgotten, [4]
--   the longest wait, [5] '' when this process could not restore a checkout, else '1', [6] '1' when a checkout that was
--   answered may be lost, else '', [7] why VMs that are found later are quarantined, once all others have been, else
--   '', [8] seconds for which that applies, [9] the time of this process's last heartbeat, 0 for none; then event ids
--   that it knows
-- Returns what to do ('' nothing, 'arrive' again, 'wait', 'quarantine' the VMs that the missing processes may have
-- given to clients), the missing processes, the time, the id of the newest event, and the live processes.
local time = tonumber(redis.call('TIME')[1])
local less = lacks(KEYS[6], 10, #ARGV) or unsigned(KEYS[2], ARGV[2], tonumber(ARGV[9]), tonumber(ARGV[3]), time)
if less or redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'arrive', {}, time, '', {}} end
redis.call('ZADD', KEYS[2], time, ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', time - ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[2], time + 10, '+inf')  -- from before the clock was set back, by over 10 s
local function answer(what, missing)
  return {what, missing, time, newest(KEYS[6]), redis.call('ZRANGE', KEYS[2], 0, -1)}
end
local wait = tonumber(redis.call('GET', KEYS[4]))
if ARGV[5] == '1' then
  redis.call('SREM', KEYS[3], ARGV[2])
  redis.call('SREM', KEYS[5], ARGV[2])
elseif wait then  -- this process could not restore a checkout
  redis.call('SADD', KEYS[3], ARGV[2])
  redis.call('SADD', KEYS[5], ARGV[2])
end
if not wait then return answer('', {}) end
if wait > time + ARGV[4] then  -- from before the clock was set back
  wait = time + ARGV[4]
  redis.call('SET', KEYS[4], wait)
end
local missing = redis.call('SMEMBERS', KEYS[3])
if #missing > 0 and time < wait then return answer('wait', missing) end
local lost = redis.call('SINTER', KEYS[3], KEYS[5])
if #lost > 0 and ARGV[6] == '1' then
  if ARGV[7] == '' then return answer('quarantine', lost) end
  redis.call('SET', KEYS[7], ARGV[7], 'EX', ARGV[8])
end
redis.call('DEL', KEYS[3], KEYS[4], KEYS[5])
return answer('', {})
