-- uses: line
-- A client found pools without ready VMs. Until they have some, or this record expires, their clones come before those
-- that refill other pools.
--   KEYS[1] pools that clients wait for, [2] the line, then the pools' ready queues
--   ARGV[1] now (epoch), [2] seconds until the record expires, then the pools
for i = 3, #KEYS do
  if redis.call('SCARD', KEYS[i]) == 0 then
    redis.call('ZADD', KEYS[1], ARGV[1], ARGV[i])
    if tonumber(redis.call('ZSCORE', KEYS[2], ARGV[i]) or -1) >= 0 then join(KEYS[2], ARGV[i], true) end
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
