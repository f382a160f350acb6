-- uses: prelude, held, quarantine
-- After a loss, quarantine every VM of some pools that a missing process may have given to a client. Does nothing once
-- the wait is over: the VMs that are ready then became ready after the loss.
--   KEYS[4] the mark of this Redis, [5] the deadline of the wait for processes, [6] clones in progress; then for each
--   pool its pending and its ready queue
--   ARGV[6] now as text, [7] the mark that this process knows, [8] why, [9] lifetime in hours of
--   a quarantined VM, [10..] the pools
-- Returns the number of VMs that were quarantined.
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
