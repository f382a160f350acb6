-- uses: prelude
-- Record that the client of a checkout is about to be written on its VM, as a stamp: from now on the VM returns to
-- ready only after the stamp is cleared. This is not a transition, so no event is written.
-- keys: running
-- args: checkout_id
--   checkout_id: '' where it has none
-- Returns 1, or 0 when that client does not have the VM any more.
if redis.call('SISMEMBER', running, vm) == 0 or redis.call('HEXISTS', record, 'unclaimed') == 1 then return 0 end
if (redis.call('HGET', record, 'checkout_id') or '') ~= checkout_id then return 0 end
redis.call('HSET', record, 'stamping', checkout_id == '' and '-' or checkout_id)
return 1
