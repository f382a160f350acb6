-- uses: prelude, held
-- Complete a VM: it moves from the queue that the caller names to completed, where it stays until it is destroyed.
--   KEYS[4] a client's token, [5] the queue to leave, [6] completed, [7] checkout times, [8] clones in progress,
--   [9] their number, [10] since when VMs are missing or unknown
--   ARGV[6] now as text, [7] and [8] ``need`` and ``own`` of refusal, [9] the name of the queue, [10] why,
--   [11] and [12], optional, the checkout and the lifetime that the record must still contain
-- Returns 1; 0 when the VM is not in that queue, or its record has changed; or the result of refusal.
local no = refusal(KEYS[4], ARGV[6], ARGV[7], ARGV[8])
if no then return no end
local function field(name) return redis.call('HGET', KEYS[2], name) or '' end
if ARGV[11] and (field('checkout') ~= ARGV[11] or field('lifetime') ~= ARGV[12]) then return 0 end
if redis.call('SMOVE', KEYS[5], KEYS[6], vm) == 0 then return 0 end
redis.call('HDEL', KEYS[7], vm)
redis.call('HDEL', KEYS[10], vm)
if redis.call('HDEL', KEYS[8], vm) == 1 then redis.call('SET', KEYS[9], redis.call('HLEN', KEYS[8])) end
unbook(pool, vm)
if ARGV[9] == 'running' then redis.call('HSET', KEYS[2], 'completed', ARGV[6]) end
emit('completed', ARGV[10], {'queue', ARGV[9]})
return 1
