-- Store the sums of a day that is over.
-- keys: summary
-- args: keep sums...
--   keep: seconds to keep them, 0 forever; sums: route, the size of its hash and the sum, ...
redis.call('HSET', summary, unpack(sums))
if keep ~= '0' then redis.call('EXPIRE', summary, keep) end
return 1
