-- uses: prelude, held, quarantine
-- After a loss, quarantine every VM of some pools that a missing process may have given to a client. Does nothing once
-- the wait is over: the VMs that are ready then became ready after the loss.
-- keys: primary barrier cloning queues...
-- args: mark why hours pools...
--   queues: for each pool its pending and its ready queue; mark: the mark that this process knows; hours: lifetime of a
--   quarantined VM
-- Returns the number of VMs that were quarantined.
if redis.call('GET', primary) ~= mark or redis.call('EXISTS', barrier) == 0 then return 0 end
local found = 0
for i, name in ipairs(pools) do
  for _, queue in ipairs({queues[2 * i - 1], queues[2 * i]}) do
    local vms = redis.call('SMEMBERS', queue)
    table.sort(vms)
    for _, each in ipairs(vms) do
      if redis.call('HEXISTS', cloning, each) == 0 then
        redis.call('SREM', queue, each)
        turn_to(name, each)
        quarantine(why, hours)
        found = found + 1
      end
    end
  end
end
return found
