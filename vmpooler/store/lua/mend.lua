-- uses: ahead
-- Set a moment that a VM lacks, or that cannot be read: its timer starts now. This is not a transition, so no event is
-- written. A moment that is in the future only for a manager that has not noticed that the clock of Redis was set
-- forward is correct, and stays.
-- keys: record active since queue
-- args: vm queue_name now_text now
-- Returns 1; 0 when the VM is not in the queue, when it is unclaimed and so has no checkout, or when its moment stays
-- because ``now`` is behind the clock of Redis.
if redis.call('SISMEMBER', queue, vm) == 0 then return 0 end
if queue_name == 'running' and redis.call('HEXISTS', record, 'unclaimed') == 1 then return 0 end  -- it has no checkout
if queue_name == 'discovered' then
  redis.call('HSET', since, vm, now)
  return 1
end
local field = ({running = 'checkout', ready = 'ready'})[queue_name] or 'clone'
local known = redis.call('HGET', record, field)
local ahead = known and known:match('^%d%d%d%d%-') and known > now_text
if ahead and tonumber(redis.call('TIME')[1]) > now + AGREE then return 0 end
redis.call('HSET', record, field, now_text)
if queue_name == 'running' then redis.call('HSET', active, vm, now_text) end
return 1
