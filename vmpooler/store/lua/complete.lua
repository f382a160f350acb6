-- uses: prelude
-- Finish with a VM: from the queue it is believed in to completed, where it stays until it is destroyed.
--   KEYS[4] from, [5] completed, [6] checkout times, [7] clones under way, [8] their number, [9] since when unexplained,
--   [10] a client's token
--   ARGV[6] the name of the queue, [7] why, [8] 'client' when a client asks: then a VM that was checked out with a token
--   needs one that is known; [9] now as text
-- Returns 1; 0 when it does not stand there; -1 when a token is needed.
if ARGV[8] == 'client' then
  local known = redis.call('EXISTS', KEYS[10]) == 1
  if not known and redis.call('HEXISTS', KEYS[2], 'token:token') == 1 then return -1 end
  if known then
    redis.call('HSET', KEYS[10], 'last', ARGV[9])
    by = redis.call('HGET', KEYS[10], 'user') or by
  end
end
if redis.call('SMOVE', KEYS[4], KEYS[5], vm) == 0 then return 0 end
redis.call('HDEL', KEYS[6], vm)
redis.call('HDEL', KEYS[9], vm)
if redis.call('HDEL', KEYS[7], vm) == 1 then redis.call('SET', KEYS[8], redis.call('HLEN', KEYS[7])) end
emit('completed', ARGV[7], {'queue', ARGV[6]})
return 1
