-- uses: witness
-- A process connects to a Redis. If that is another Redis than before, was restarted, or lacks something that the
-- process knows, it may lack the last writes. Then all processes that were alive are waited for, until they have
-- replayed their recent writes.
--   KEYS[1] the mark of the Redis that processes connected to last: its run id, a space, a number that grows with each
--   loss; [2] processes by last heartbeat, [3] processes waited for, [4] deadline of the wait, [5] those of [3] whose
--   checkouts may be lost, [6] verified pools (compared with the provider), which must be verified again, [7] event
--   stream, [8] the mark of a Redis that may lack writes
--   ARGV[1] the run id of this Redis, [2] seconds without a heartbeat after which a process counts as dead, [3] the
--   longest wait, [4] the mark that this process knows, '' for none, [5] '1' when no earlier process can be alive, else
--   '', [6] '1' when another server may have taken over, else '', [7] the time of Redis at this process's last
--   heartbeat, 0 for none, [8] its name, [9] seconds after which a silent process is forgotten, [10] how many event ids
--   follow; these; then the processes that were alive at that heartbeat
-- Returns the mark, what was found ('' nothing, 'another' Redis, one that 'lacks' what this process knows), and the id
-- of the newest event.
local function number(mark) return tonumber(mark:match(' (%d+)$')) or 0 end
local noted, known = redis.call('GET', KEYS[1]) or '', ARGV[4]
local ids, sign = tonumber(ARGV[10]), tonumber(ARGV[7])
local same = noted:match('^%S*') == ARGV[1]
local less = lacks(KEYS[7], 11, 10 + ids) or number(noted) < number(known)
if noted == known then
  local time = same and tonumber(redis.call('TIME')[1])
  less = less or unsigned(KEYS[2], ARGV[8], sign, tonumber(ARGV[9]), time)
end
if same and not less then
  if ARGV[5] == '1' then redis.call('DEL', KEYS[3], KEYS[4], KEYS[5]) end
  return {noted, '', newest(KEYS[7])}
end
-- If another process detected this loss before, this one only adds the processes that it knew to be alive.
local under_way = same and number(noted) > number(known) and redis.call('EXISTS', KEYS[4]) == 1
local mark = noted
if not under_way then
  mark = string.format('%s %d', ARGV[1], math.max(number(noted), number(known)) + 1)
  redis.call('SET', KEYS[1], mark)
end
redis.call('DEL', KEYS[6])
-- An empty Redis lacks nothing. A Redis with data but no mark was never used by this version; it may lack writes, too.
if noted ~= '' or known ~= '' or redis.call('DBSIZE') > 1 then redis.call('SET', KEYS[8], mark) end
if noted == '' and known == '' then return {mark, '', newest(KEYS[7])} end
if ARGV[5] == '1' then
  redis.call('DEL', KEYS[2], KEYS[3], KEYS[4], KEYS[5])
  return {mark, '', newest(KEYS[7])}
end
local awaited = {}
if not under_way then
  -- Redis has what was written before the newest heartbeat of any process. So the age of a heartbeat is measured from
  -- that one, by the clock that both were taken from.
  local last = math.max(tonumber(redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2] or 0), sign)
  awaited = redis.call('ZRANGEBYSCORE', KEYS[2], last - ARGV[2], '+inf')
  redis.call('DEL', KEYS[2])  -- this Redis may run on another machine, with another clock
end
for i = 11 + ids, #ARGV do
  if not redis.call('ZSCORE', KEYS[2], ARGV[i]) then awaited[#awaited + 1] = ARGV[i] end
end
for _, each in ipairs(awaited) do
  redis.call('SADD', KEYS[3], each)
  if less or ARGV[6] == '1' then redis.call('SADD', KEYS[5], each) end
end
if not under_way and redis.call('EXISTS', KEYS[3]) == 1 then
  redis.call('SET', KEYS[4], redis.call('TIME')[1] + ARGV[3])
end
return {mark, less and 'lacks' or 'another', newest(KEYS[7])}
