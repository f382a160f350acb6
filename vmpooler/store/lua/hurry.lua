-- uses: line
-- A client found pools without ready VMs. Until they have some, or this record expires, their clones come before those
-- that refill other pools.
-- keys: wanted line ready...
-- args: now keep pools...
--   keep: seconds until the record expires
for i, pool in ipairs(pools) do
  if redis.call('SCARD', ready[i]) == 0 then
    redis.call('ZADD', wanted, now, pool)
    if tonumber(redis.call('ZSCORE', line, pool) or -1) >= 0 then join(line, pool, true) end
  end
end
redis.call('EXPIRE', wanted, keep)
