-- uses: prelude, held
-- Return a VM that its client never received to ready. If its stamp may name the client, the VM stays in running until
-- the stamp is cleared; see put_back.lua.
--   KEYS[4] running, [5] ready, [6] checkout times, [7] since when VMs are missing or unknown
--   ARGV[6] why, [7] the checkout's id, [8] the fields that a checkout writes (JSON array)
-- Returns 1; 2 when the VM waits for its stamp to be cleared; 0 when the VM does not belong to that checkout any more.
if redis.call('HGET', KEYS[2], 'checkout_id') ~= ARGV[7] or redis.call('SISMEMBER', KEYS[4], vm) == 0 then return 0 end
local stamped = redis.call('HEXISTS', KEYS[2], 'stamping') == 1
if not stamped then redis.call('SMOVE', KEYS[4], KEYS[5], vm) end  -- first: if Redis refuses it, nothing has changed
redis.call('HDEL', KEYS[6], vm)
if stamped then redis.call('HSET', KEYS[7], vm, now) else redis.call('HDEL', KEYS[7], vm) end
unbook(pool, vm)
for _, field in ipairs(cjson.decode(ARGV[8])) do redis.call('HDEL', KEYS[2], field) end
if stamped then
  book(pool, vm)
  redis.call('HSET', KEYS[2], 'unclaimed', ARGV[6])
  emit('unclaimed', ARGV[6])
  return 2
end
emit('returned', ARGV[6])
return 1
