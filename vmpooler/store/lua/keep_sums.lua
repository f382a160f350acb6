-- Store the sums of a day that is over.
--   KEYS[1] the stored sums of that day
--   ARGV[1] seconds to keep them, 0 forever; [2..] route, the size of its hash and the sum, ...
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
if ARGV[1] ~= '0' then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return 1
