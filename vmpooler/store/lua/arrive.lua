-- uses: witness
-- A process connects to a Redis. If that is another Redis than before, was restarted, or lacks something that the
-- process knows, it may lack the last writes. Then all processes that were alive are waited for, until they have
-- replayed their recent writes.
-- keys: primary processes awaited barrier vouched verified events doubted
-- args: run_id dead_after longest known alone elsewhere heartbeat who forgotten_after event_count witnesses...
--   run_id: of this Redis; dead_after: seconds without a heartbeat after which a process counts as dead; longest: the
--   longest wait; known: the mark that this process knows, '' for none; alone: '1' when no earlier process can be
--   alive, else ''; elsewhere: '1' when another server may have taken over, else ''; heartbeat: the time of Redis at
--   this process's last heartbeat, 0 for none; who: its name; forgotten_after: seconds after which a silent process is
--   forgotten; witnesses: as many event ids as event_count says, then the processes that were alive at that heartbeat
-- Returns the mark, what was found ('' nothing, 'another' Redis, one that 'lacks' what this process knows), and the id
-- of the newest event.
local function number(mark) return tonumber(mark:match(' (%d+)$')) or 0 end
local noted = redis.call('GET', primary) or ''
local ids, sign = tonumber(event_count), tonumber(heartbeat)
local same = noted:match('^%S*') == run_id
local less = lacks(events, witnesses, ids) or number(noted) < number(known)
if noted == known then
  local time = same and tonumber(redis.call('TIME')[1])
  less = less or unsigned(processes, who, sign, tonumber(forgotten_after), time)
end
if same and not less then
  if alone == '1' then redis.call('DEL', awaited, barrier, vouched) end
  return {noted, '', newest(events)}
end
-- If another process detected this loss before, this one only adds the processes that it knew to be alive.
local under_way = same and number(noted) > number(known) and redis.call('EXISTS', barrier) == 1
local mark = noted
if not under_way then
  mark = string.format('%s %d', run_id, math.max(number(noted), number(known)) + 1)
  redis.call('SET', primary, mark)
end
redis.call('DEL', verified)
-- An empty Redis lacks nothing. A Redis with data but no mark was never used by this version; it may lack writes, too.
if noted ~= '' or known ~= '' or redis.call('DBSIZE') > 1 then redis.call('SET', doubted, mark) end
if noted == '' and known == '' then return {mark, '', newest(events)} end
if alone == '1' then
  redis.call('DEL', processes, awaited, barrier, vouched)
  return {mark, '', newest(events)}
end
local absent = {}
if not under_way then
  -- Redis has what was written before the newest heartbeat of any process. So the age of a heartbeat is measured from
  -- that one, by the clock that both were taken from.
  local last = math.max(tonumber(redis.call('ZREVRANGE', processes, 0, 0, 'WITHSCORES')[2] or 0), sign)
  absent = redis.call('ZRANGEBYSCORE', processes, last - dead_after, '+inf')
  redis.call('DEL', processes)  -- this Redis may run on another machine, with another clock
end
for i = ids + 1, #witnesses do
  if not redis.call('ZSCORE', processes, witnesses[i]) then absent[#absent + 1] = witnesses[i] end
end
for _, each in ipairs(absent) do
  redis.call('SADD', awaited, each)
  if less or elsewhere == '1' then redis.call('SADD', vouched, each) end
end
if not under_way and redis.call('EXISTS', awaited) == 1 then
  redis.call('SET', barrier, redis.call('TIME')[1] + longest)
end
return {mark, less and 'lacks' or 'another', newest(events)}
