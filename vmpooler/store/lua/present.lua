-- uses: prelude, held, quarantine
-- A sign of life. After a fail-over it also says that this process has said again what it had promised; when the wait for
-- the others is over, every VM that one who did not come may have given away is put out of everybody's reach.
--   KEYS[4] processes, [5] those awaited, [6] until when, [7] the mark for VMs that come to light, [8] clones under way;
--   then for each pool its pending and its ready queue
--   ARGV[6] now as text, [7] who this is, [8] seconds after which a silent process is forgotten, [9] seconds that the mark
--   stays, [10] '1' when a checkout that was answered may be lost, else '', [11] hours to live of what is
--   quarantined, [12..] the pools
-- Returns the processes that are waited for.
local time = tonumber(redis.call('TIME')[1])
redis.call('ZADD', KEYS[4], time, ARGV[7])
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', time - ARGV[8])
redis.call('SREM', KEYS[5], ARGV[7])
local wait = redis.call('GET', KEYS[6])
if not wait then return {} end
local missing = redis.call('SMEMBERS', KEYS[5])
if #missing > 0 and time < tonumber(wait) then return missing end
redis.call('DEL', KEYS[5], KEYS[6])
if #missing == 0 or ARGV[10] == '' then return {} end
table.sort(missing)
local why = 'a fail-over may have lost its checkout, by ' .. table.concat(missing, ', ')
redis.call('SET', KEYS[7], why, 'EX', ARGV[9])
for i = 12, #ARGV do
  for queue = 2 * i - 15, 2 * i - 14 do
    local vms = redis.call('SMEMBERS', KEYS[queue])
    table.sort(vms)
    for _, each in ipairs(vms) do
      if redis.call('HEXISTS', KEYS[8], each) == 0 then
        redis.call('SREM', KEYS[queue], each)
        quarantine(ARGV[i], each, why, ARGV[6], ARGV[11])
      end
    end
  end
end
return {}
