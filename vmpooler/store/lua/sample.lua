-- Write a sample of each of some pools, at the same place.
--   KEYS[1] when the last sample was taken, KEYS[2..] the samples of each pool
--   ARGV[1] the value for KEYS[1], '' to leave it; [2] the place in bytes, [3] seconds to keep the samples, [4..] the
--   samples
if ARGV[1] ~= '' then redis.call('SET', KEYS[1], ARGV[1]) end
for i = 2, #KEYS do
  redis.call('SETRANGE', KEYS[i], ARGV[2], ARGV[i + 2])
  redis.call('EXPIRE', KEYS[i], ARGV[3])
end
return 1
