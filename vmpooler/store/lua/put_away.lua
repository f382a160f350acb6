-- uses: prelude, held, quarantine
-- After a loss, puts every VM of some pools that one who did not come may have given away out of everybody's reach. Nothing
-- is done once the wait is over: then the VMs that are ready are those of after the loss.
--   KEYS[4] the mark of this Redis, [5] until when processes are waited for, [6] clones under way; then for each pool its
--   pending and its ready queue
--   ARGV[6] now as text, [7] the mark that this process knows, [8] why, [9] hours to live of
--   what is quarantined, [10..] the pools
-- Returns how many VMs that are.
if redis.call('GET', KEYS[4]) ~= ARGV[7] or redis.call('EXISTS', KEYS[5]) == 0 then return 0 end
local found = 0
for i = 10, #ARGV do
  for queue = 2 * i - 13, 2 * i - 12 do
    local vms = redis.call('SMEMBERS', KEYS[queue])
    table.sort(vms)
    for _, each in ipairs(vms) do
      if redis.call('HEXISTS', KEYS[6], each) == 0 then
        redis.call('SREM', KEYS[queue], each)
        quarantine(ARGV[i], each, ARGV[8], ARGV[6], ARGV[9])
        found = found + 1
      end
    end
  end
end
return found
