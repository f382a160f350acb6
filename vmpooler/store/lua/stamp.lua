-- uses: prelude
-- Record that the client of a checkout is about to be written on its VM, as a stamp: from now on the VM returns to
-- ready only after the stamp is cleared. This is not a transition, so no event is written.
--   KEYS[4] running
--   ARGV[6] the checkout's id, or '' where it has none
-- Returns 1, or 0 when that client does not have the VM any more.
if redis.call('SISMEMBER', KEYS[4], vm) == 0 or redis.call('HEXISTS', KEYS[2], 'unclaimed') == 1 then return 0 end
if (redis.call('HGET', KEYS[2], 'checkout_id') or '') ~= ARGV[6] then return 0 end
redis.call('HSET', KEYS[2], 'stamping', ARGV[6] == '' and '-' or ARGV[6])
return 1
