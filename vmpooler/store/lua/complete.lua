-- uses: prelude, held
-- Complete a VM: it moves from the queue that the caller names to completed, where it stays until it is destroyed.
-- keys: token queue completed active cloning tasks_clone since
-- args: now_text need own queue_name why terms...
--   token: that of the client; queue: the one to leave, with its name; need, own: see refusal; terms: none, or the
--   checkout and the lifetime that the record must still contain
-- Returns 1; 0 when the VM is not in that queue, or its record has changed; or the result of refusal.
local no = refusal(token, now_text, need, own)
if no then return no end
local function field(name) return redis.call('HGET', record, name) or '' end
if terms[1] and (field('checkout') ~= terms[1] or field('lifetime') ~= terms[2]) then return 0 end
if redis.call('SMOVE', queue, completed, vm) == 0 then return 0 end
redis.call('HDEL', active, vm)
redis.call('HDEL', since, vm)
if redis.call('HDEL', cloning, vm) == 1 then redis.call('SET', tasks_clone, redis.call('HLEN', cloning)) end
unbook(pool, vm)
if queue_name == 'running' then redis.call('HSET', record, 'completed', now_text) end
emit('completed', why, {'queue', queue_name})
return 1
