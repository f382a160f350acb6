-- Evidence that Redis has lost writes. Included by the scripts whose first line names it.

-- Returns the milliseconds and the sequence number of an event id.
local function order(id)
  local ms, part = id:match('^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(part)
end

-- Returns whether the event stream lacks an event that a process saw in it. An event older than the first entry was
-- trimmed, which is no loss.
--   stream: its key; ids: the event ids, as many as ``count`` says
local function lacks(stream, ids, count)
  for i = 1, count do
    if #redis.call('XRANGE', stream, ids[i], ids[i], 'COUNT', 1) == 0 then
      local oldest = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
      if not oldest then return true end
      local ms, part = order(ids[i])
      local oldest_ms, oldest_part = order(oldest[1])
      if ms > oldest_ms or (ms == oldest_ms and part > oldest_part) then return true end
    end
  end
  return false
end

-- Returns the id of the newest event, '' when the stream is empty.
local function newest(stream)
  local found = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  return found and found[1] or ''
end

-- Returns whether Redis lacks the last heartbeat of process ``who``, which was sent at ``known``. Two absences are no
-- loss: a process that was silent for ``forgotten`` seconds is removed, and so is a heartbeat that is later than
-- ``time``, the time of Redis, because a clock was set back.
local function unsigned(processes, who, known, forgotten, time)
  if known == 0 or (time and (known > time + 1 or time - known >= forgotten)) then return false end
  if tonumber(redis.call('ZSCORE', processes, who) or 0) >= known then return false end
  local last = tonumber(redis.call('ZREVRANGE', processes, 0, 0, 'WITHSCORES')[2] or 0)
  return last - known < forgotten
end
