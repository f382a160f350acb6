-- uses: witness
-- A process has come to a Redis. When that is another than before, was started anew, or lacks something that the process
-- knows, it may lack what was written last: then every process that was alive is waited for, until it has said again what
-- it had promised.
--   KEYS[1] the mark of the Redis that processes came to last: its run id, a space, a number that grows with each loss;
--   [2] processes, [3] those awaited, [4] until when, [5] those of them whose checkouts may be lost, [6] pools that were
--   compared with the provider, which is to be done anew, [7] event stream, [8] the mark of a Redis that may lack writes
--   ARGV[1] the run id of this Redis, [2] seconds without a sign of life after which a process was dead, [3] the longest
--   wait, [4] the mark that this process knows, '' for none, [5] '1' when no process of before can live, else '',
--   [6] '1' when another server may have taken over, else '', [7] the time of Redis at this process's last sign of life, 0
--   for none, [8] its name, [9] seconds after which a silent process is forgotten, [10] how many event ids follow; these;
--   then the processes that lived at that sign
-- Returns the mark, what was found ('' nothing, 'another' Redis, one that 'lacks' what this process knows), and the id of
-- the newest event.
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
-- Another has seen it before: then this process only says whom it knew to live.
local under_way = same and number(noted) > number(known) and redis.call('EXISTS', KEYS[4]) == 1
local mark = noted
if not under_way then
  mark = string.format('%s %d', ARGV[1], math.max(number(noted), number(known)) + 1)
  redis.call('SET', KEYS[1], mark)
end
redis.call('DEL', KEYS[6])
-- A Redis that had nothing lacks nothing. One that has something and no mark was never used by this version.
if noted ~= '' or known ~= '' or redis.call('DBSIZE') > 1 then redis.call('SET', KEYS[8], mark) end
if noted == '' and known == '' then return {mark, '', newest(KEYS[7])} end
if ARGV[5] == '1' then
  redis.call('DEL', KEYS[2], KEYS[3], KEYS[4], KEYS[5])
  return {mark, '', newest(KEYS[7])}
end
local awaited = {}
if not under_way then
  -- What came before the last sign of life of anybody is here. So the clock of those signs is the one to go by.
  local last = math.max(tonumber(redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2] or 0), sign)
  awaited = redis.call('ZRANGEBYSCORE', KEYS[2], last - ARGV[2], '+inf')
  redis.call('DEL', KEYS[2])  -- this Redis may stand elsewhere, and have another clock
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
